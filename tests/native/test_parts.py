"""Batches that are computed in parts: same results on any number of threads, and only where images are independent."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from onnx import ModelProto, numpy_helper, parser, shape_inference

from striate.runtime import InferenceSession
from striate.runtime.engines.native import lowering, parts, stored
from striate.runtime.engines.native.host import host
from striate.runtime.engines.native.profiling import Traced
from striate.runtime.engines.native.program import Program
from striate.runtime.engines.native.rounds import teams
from striate.runtime.engines.native.stretch import Stretch
from striate.runtime.profile import _stretch, profile

from .busy import options
from .guard import Guards

SIZE = 6
_HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'
NETS = {
    "joined": """net (float[6, 3, 12, 12] x) => (float[6, 40, 6, 6] y) {
        a = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w3_32)
        b = Relu(a)
        c = Conv(b, w32_16_1)
        d = Conv<pads = [1, 1, 1, 1]>(c, w16_8)
        e = Concat<axis = 1>(b, d)
        f = Clip(e, low, high)
        y = Conv<pads = [1, 1, 1, 1]>(f, w40_40)
    }""",
    "residual": """net (float[6, 3, 11, 13] x) => (float[6, 16, 11, 13] y, float[6, 16, 11, 13] b, float[6, 5] p) {
        a = Conv<pads = [1, 1, 1, 1]>(x, w3_16)
        b = Relu(a)
        c = Conv<pads = [1, 1, 1, 1]>(b, w16_16)
        d = Add(c, b)
        y = Conv<group = 16, pads = [1, 1, 1, 1]>(d, w1_16)
        m = GlobalAveragePool(y)
        f = Flatten(m)
        p = Gemm(f, g16_5)
    }""",
    "plain": """net (float[6, 3, 9, 9] x, float[6, 20, 16] u) => (float[6, 81, 16] y, float[6, 81, 20] s) {
        a = Conv<pads = [1, 1, 1, 1]>(x, w3_16)
        r = Reshape(a, flat)
        t = Transpose<perm = [0, 2, 1]>(r)
        y = MatMul(t, g16_16)
        v = Transpose<perm = [0, 2, 1]>(u)
        q = MatMul(t, v)
        s = Softmax<axis = -1>(q)
    }""",
}
SHAPES = {
    "w3_32": (32, 3, 3, 3), "w32_16_1": (16, 32, 1, 1), "w16_8": (8, 16, 3, 3), "w40_40": (40, 40, 3, 3),
    "w3_16": (16, 3, 3, 3), "w16_16": (16, 16, 3, 3), "w1_16": (16, 1, 3, 3), "g16_5": (16, 5), "g16_16": (16, 16),
}  # fmt: skip
FIXED = {"low": np.float32(-0.5), "high": np.float32(2.0), "flat": np.array([0, 16, 81])}


_NODES = {name: len(parser.parse_model(_HEAD + text).graph.node) for name, text in NETS.items()}


def _model(name: str) -> ModelProto:
    text = NETS[name]
    model = parser.parse_model(_HEAD + text)
    rng = np.random.default_rng(0)
    made = {n: rng.standard_normal(s, np.float32) / np.float32(np.prod(s[1:]) ** 0.5) for n, s in SHAPES.items()}
    for key, value in {**made, **FIXED}.items():
        if key in text:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, value.dtype), key))
    return model


def _feeds(model: ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def _session(name: str, threads: int, engine: str = "native") -> InferenceSession:
    return InferenceSession(_model(name).SerializeToString(), options(engine, threads))


def _program(session: InferenceSession, feeds: dict[str, np.ndarray]) -> Program:
    (made,) = [s for s in map(_stretch, session._executor.plan_for(feeds).steps) if s is not None]
    return made.program


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last node are computed for two images at a time."""
    _force(monkeypatch, lambda nodes: parts.Cut(len(nodes) - 1, 2))


def _force(monkeypatch: pytest.MonkeyPatch, choose: Callable[[Sequence[ir.Node]], parts.Cut]) -> None:
    monkeypatch.setattr(lowering, "cut", lambda nodes, ops: choose(nodes))


@pytest.mark.parametrize(("name", "end"), [(name, end) for name in NETS for end in range(1, _NODES[name] + 1)])
@pytest.mark.parametrize("images", [1, 2, 3])
def test_results(name: str, end: int, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is cut the same as NumPy's, and the same bits for any number of threads, over and over."""
    _force(monkeypatch, lambda nodes: parts.Cut(min(end, len(nodes)), images))
    feeds = _feeds(_model(name))
    want = _session(name, 1, "arrays").run(None, feeds)
    first = None
    for threads in (1, 2, 16):
        session = _session(name, threads)
        rounds = _program(session, feeds).rounds
        assert rounds is not None
        assert rounds.parts == SIZE // images
        assert rounds.teams == (2 if threads == 2 else 1)
        got = [session.run(None, feeds) for _ in range(3)]
        first = first or [y.tobytes() for y in got[0]]
        for each in got:
            assert [y.tobytes() for y in each] == first
        for y, right in zip(got[0], want, strict=True):
            np.testing.assert_allclose(y, right, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_within_guards(name: str, before: bool) -> None:
    feeds = _feeds(_model(name))
    want = _session(name, 2).run(None, feeds)
    with Guards(before) as guards:
        got = _session(name, 2).run(None, feeds)
        assert all(program.rounds is not None for program in guards._programs)
    assert guards.runs == 1
    assert [y.tobytes() for y in got] == [y.tobytes() for y in want]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("threads", [1, 2, 16])
def test_profile(threads: int) -> None:
    """Every round is in it, on the thread that walked it; results stay."""
    session, feeds = _session("joined", threads), _feeds(_model("joined"))
    before = session.run(None, feeds)[0].tobytes()
    program = _program(session, feeds)
    assert program.rounds is not None
    traced = Traced(program)
    x, y = feeds["x"], np.empty((SIZE, 40, 6, 6), np.float32)
    traced.program.call((x, y), threads)
    assert y.tobytes() == before
    for i, step in enumerate(traced.times(threads)):
        assert step.rounds == (program.rounds.parts if i < program.rounds.steps else 1)
        assert len(step.begin) == len(step.threads) == step.rounds * step.step.tasks
        assert (step.begin > 0).all()
        assert (step.end >= step.begin).all()
    found = profile(session, feeds, 2, threads)
    for i, total in enumerate(found.traced):
        assert 0 < sum(node.times[i] for node in found.nodes) <= total * 1.001
    for node in found.nodes:
        assert np.sum([piece.times for piece in node.pieces], axis=0) == pytest.approx(node.times)


@pytest.mark.usefixtures("small")
def test_is_kept_in_a_file() -> None:
    session, feeds = _session("joined", 2), _feeds(_model("joined"))
    want = session.run(None, feeds)[0]
    program = _program(session, feeds)
    assert program.rounds is not None
    file = io.BytesIO()
    outputs = [(want.shape, want.dtype)]
    stored.write(Stretch(program, 2, [feeds["x"].dtype], outputs), {}, file)
    file.seek(0)
    read, _ = stored.read(file)
    assert read.program.rounds is not None
    assert read.direct((feeds["x"],))[0].tobytes() == want.tobytes()


@pytest.mark.parametrize("order", ["d, k", "k, d"])
def test_a_constant_of_the_batch_is_joined_after_the_parts(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there for all images, which a part of the batch is not."""

    def farthest(nodes: Sequence[ir.Node], ops: object) -> parts.Cut:
        reach = next((i for i, node in enumerate(nodes) if not parts._independent(node, SIZE)), len(nodes))
        return parts.Cut(reach, 1)

    monkeypatch.setattr(lowering, "cut", farthest)
    text = f"""net (float[6, 3, 9, 9] x) => (float[6, 20, 9, 9] y) {{
        a = Conv<pads = [1, 1, 1, 1]>(x, w)
        d = Relu(a)
        j = Concat<axis = 1>({order})
        y = Sigmoid(j)
    }}"""
    model, rng = parser.parse_model(_HEAD + text), np.random.default_rng(2)
    for name, shape in {"w": (16, 3, 3, 3), "k": (6, 4, 9, 9)}.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape, np.float32), name))
    feeds = _feeds(model)
    got, want = (
        InferenceSession(model.SerializeToString(), options(engine, 1)).run(None, feeds)[0]
        for engine in ("native", "arrays")
    )
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("batch", "size", "channels", "expected"),
    [
        pytest.param(8, 64, 32, 1, id="large pictures one by one"),
        pytest.param(64, 16, 32, 8, id="small ones together"),
        pytest.param(2, 16, 32, 0, id="a batch that fits the cache"),
        pytest.param(8, 4, 512, 0, id="more weights than values"),
        pytest.param(1, 64, 32, 0, id="no batch"),
    ],
)
def test_cuts(batch: int, size: int, channels: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By estimate, with a cache of a megabyte: so many images at a time, before the product of many weights."""
    monkeypatch.setattr(parts, "host", lambda: replace(host(), l2=1 << 20))
    found: list[parts.Cut | None] = []
    monkeypatch.setattr(lowering, "cut", lambda nodes, ops: found.append(parts.cut(nodes, ops)))
    body = " ".join(f"v{i + 1} = Conv<pads = [1, 1, 1, 1]>(v{i}, w)" for i in range(4))
    text = f"net (float[{batch}, {channels}, {size}, {size}] v0) => (y) {{ {body} f = Flatten(v4) y = Gemm(f, g) }}"
    model = parser.parse_model(_HEAD + text.replace("(y)", f"(float[{batch}, 64] y)"))
    for name, shape in {"w": (channels, channels, 3, 3), "g": (channels * size * size, 64)}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.full(shape, 0.01, np.float32), name))
    InferenceSession(model.SerializeToString(), options("native", 2)).run(
        None, {"v0": np.zeros((batch, channels, size, size), np.float32)}
    )
    assert found == [parts.Cut(5, expected) if expected else None] or found == [parts.Cut(4, expected)]


@pytest.mark.parametrize(
    ("body", "independent"),
    [
        ("y = Softmax<axis = 1>(x)", True),
        ("y = Softmax<axis = 0>(x)", False),
        ("y = Softmax<axis = -4>(x)", False),
        ("y = Concat<axis = 0>(x, x)", False),
        ("y = Concat<axis = 1>(x, x)", True),
        ("y = Concat<axis = 1>(x, each)", False),
        ("y = Add(x, same)", True),
        ("y = Add(x, each)", False),
        ("y = Add(x, x)", True),
        ("y = Transpose<perm = [0, 2, 3, 1]>(x)", True),
        ("y = Transpose<perm = [1, 0, 2, 3]>(x)", False),
        ("y = Transpose(x)", False),
        ("y = Flatten<axis = 1>(x)", True),
        ("y = Flatten<axis = 2>(x)", False),
        ("y = MatMul(x, x)", True),
        ("y = MatMul(each, x)", False),
        ("y = MatMul(row, square)", False),
        ("y = CumSum(x, zero)", False),
        ("y = MaxPool<kernel_shape = [2, 2]>(x)", True),
    ],
)
def test_independence(body: str, independent: bool) -> None:
    """Of images that are also as many as channels, rows and columns."""
    text = (
        f'<ir_version: 10, opset_import: ["" : 21]> net (float[4, 4, 4, 4] x, float[4] row) => (float y) {{ {body} }}'
    )
    proto = parser.parse_model(text)
    constants = {
        "same": np.ones((1, 4, 1, 1), np.float32),
        "each": np.ones((4, 4, 4, 4), np.float32),
        "zero": np.int64(0),
        "square": np.ones((4, 4), np.float32),
    }
    for name, value in constants.items():
        if f" {name}" in body or f"({name}" in body:
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    (node,) = ir.from_proto(shape_inference.infer_shapes(proto)).graph
    assert parts._independent(node, 4) is independent


@pytest.mark.parametrize(
    ("count", "threads", "expected"),
    [(8, 1, 1), (8, 2, 2), (8, 3, 3), (8, 8, 8), (8, 16, 1), (5, 2, 2), (3, 2, 2), (9, 8, 1), (1, 2, 1), (32, 5, 5)],
)
def test_teams(count: int, threads: int, expected: int) -> None:
    assert teams(count, threads) == expected
