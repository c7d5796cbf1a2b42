"""Whole graphs on the native engine beside the arrays engine: the case table, ONNX's light models, threads, faults."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from striate.runtime import InferenceSession, SessionOptions
from striate.runtime.engines.native import compiler, lowering
from striate.runtime.engines.native.operators import OPERATORS
from striate.runtime.errors import InvalidInput
from striate.runtime.executor import Executor
from striate.runtime.reader import read

from ..conformance.suites import LIGHT, all_tests
from ..ops.cases import CASES
from ..ops.running import arrays_of, assert_close, feeds_of, model_proto, tensors
from ..ops.table import Case


class Everything:
    """Stands in for the operators that make a stretch worth compiling."""

    def __contains__(self, name: str) -> bool:
        return True


def _is_full(case: Case) -> bool:
    return all(t.size for x in case.inputs for t in tensors(x))


LOWERED = [c for c in CASES if c.op in OPERATORS and not c.domain and "float32" in c.dtypes and _is_full(c)]
TYPED = [(c, dtype) for c in LOWERED for dtype in ("float32", "float64") if dtype in c.dtypes]


@pytest.mark.parametrize(("case", "dtype"), TYPED, ids=lambda part: getattr(part, "id", part))
def test_case_table(case: Case, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowered or not, with constant operands or not, the result is that of the arrays engine."""
    monkeypatch.setattr(lowering, "WORTH", Everything())
    arrays = arrays_of(case, dtype)
    for constants in (False, True):
        model = ir.from_proto(model_proto(case, arrays))
        feeds = feeds_of(arrays)
        if constants:
            feeds = _with_constants(model, feeds)
        want = Executor(model).run(feeds)
        got = Executor(model, threads=2).run(feeds)
        for y, right in zip(got, want, strict=True):
            assert (y.dtype, y.shape) == (right.dtype, right.shape)
            assert_close(case, y, right)


def _with_constants(model: ir.Model, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All inputs but the first become initializers."""
    for value in list(model.graph.inputs)[1:]:
        model.graph.inputs.remove(value)
        value.const_value = ir.tensor(feeds[str(value.name)], name=value.name)
        model.graph.register_initializer(value)
    return {str(v.name): feeds[str(v.name)] for v in model.graph.inputs}


def test_every_lowering_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table above is about machine code: each operator has a row that is compiled."""
    reached: set[str] = set()
    original = lowering.ops_of

    def noted(node: ir.Node) -> object:
        ops = original(node)
        if ops:
            reached.add(node.op_type)
        return ops

    monkeypatch.setattr(lowering, "ops_of", noted)
    monkeypatch.setattr(lowering, "WORTH", ())
    for case in LOWERED:
        arrays = arrays_of(case, "float32")
        model, feeds = ir.from_proto(model_proto(case, arrays)), feeds_of(arrays)
        Executor(model, threads=1, optimize=False).plan_for(feeds)
        first = _with_constants(model, feeds)
        Executor(model, threads=1, optimize=False).plan_for(first)
    Executor(read(net()), threads=1).plan_for({"x": X})
    assert sorted(set(OPERATORS) - reached) == []


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_light_models(path: Path) -> None:
    """All nine, against the outputs stored beside them."""
    (test,) = (t for t in all_tests("light") if t.name == path.stem)
    ((inputs, right),) = test.data_sets()
    session = InferenceSession(str(path), options("native"))
    got = session.run(None, {session.get_inputs()[0].name: inputs[0]})
    for y, want in zip(got, right, strict=True):
        np.testing.assert_allclose(y, want, rtol=1e-3, atol=1e-7)


def options(engine: str, threads: int = 0) -> SessionOptions:
    made = SessionOptions()
    made.intra_op_num_threads = threads
    made.add_session_config_entry("striate.engine", engine)
    return made


NET = """<ir_version: 10, opset_import: ["" : 21]>
net (float[N, 3, 20, 20] x) => (float[N, 10] y, float[N, 24, 10, 10] b) {
  a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1)
  r = Relu (a)
  c = Conv <pads = [1, 1, 1, 1]> (r, w2)
  d = Add (c, r)
  b = LeakyRelu <alpha = 0.1> (d)
  p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
  q = Conv (p, w4)
  j = Concat <axis = 1> (q, p)
  g = GlobalAveragePool (j)
  f = Flatten (g)
  h = Gemm <transB = 1> (f, w3)
  y = Softmax (h)
}"""


def net() -> bytes:
    model = parser.parse_model(NET)
    rng = np.random.default_rng(0)
    for name, shape in {"w1": (24, 3, 3, 3), "w2": (24, 24, 3, 3), "w3": (10, 40), "w4": (16, 24, 1, 1)}.items():
        array = (rng.standard_normal(shape) * 0.3).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model.SerializeToString()


X = np.random.default_rng(1).standard_normal((2, 3, 20, 20)).astype(np.float32)


def test_one_node_is_left_of_a_network_that_can_be_lowered() -> None:
    executor = Executor(read(net()), threads=2)
    got = executor.run({"x": X})
    (step,) = executor.plan_for({"x": X}).steps
    assert step.op_type == "Stretch"
    for y, want in zip(got, Executor(read(net())).run({"x": X}), strict=True):
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_batches_are_independent(batch: int) -> None:
    session = InferenceSession(net(), options("native"))
    x = np.concatenate([X] * 4)[:batch]
    y, b = session.run(None, {"x": x})
    for i in range(batch):
        yi, bi = session.run(None, {"x": x[i : i + 1]})
        np.testing.assert_allclose(y[i], yi[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(b[i], bi[0], rtol=1e-4, atol=1e-5)


def test_the_same_bits_for_any_number_of_threads_and_every_run() -> None:
    first = InferenceSession(net(), options("native", 1)).run(None, {"x": X})
    for threads in (1, 2, 3):
        session = InferenceSession(net(), options("native", threads))
        for _ in range(3):
            for y, want in zip(session.run(None, {"x": X}), first, strict=True):
                np.testing.assert_array_equal(y, want)


def test_eight_callers_of_one_session() -> None:
    session = InferenceSession(net(), options("native", 2))
    inputs = [np.roll(X, i) for i in range(8)]
    want = [session.run(None, {"x": x}) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(100):
            if any((a != b).any() for a, b in zip(session.run(None, {"x": inputs[i]}), want[i], strict=True)):
                wrong.append(i)

    callers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_results_belong_to_the_caller() -> None:
    session = InferenceSession(net(), options("native"))
    first = session.run(None, {"x": X})
    kept = [y.copy() for y in first]
    for y in first:
        y[...] = 7
    for y, want in zip(session.run(None, {"x": X}), kept, strict=True):
        np.testing.assert_array_equal(y, want)


def test_what_is_not_finite_stays_where_it_belongs() -> None:
    session = InferenceSession(net(), options("native"))
    x = X.copy()
    x[0, 0, 0, 0] = np.nan
    y, _ = session.run(None, {"x": x})
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[1], session.run(None, {"x": X})[0][1])


def test_a_wrong_engine_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'turbo'"):
        InferenceSession(net(), options("turbo"))


def test_without_llvmlite_numpy_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.warns(UserWarning, match="llvmlite"):
        session = InferenceSession(net(), options("native"))
    assert session.run(None, {"x": X})[0].shape == (2, 10)


def test_a_fault_of_lowering_costs_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, and the half-lowered graph is not used."""
    want = Executor(read(net())).run({"x": X})

    def fails(asm: object, threads: int) -> object:
        raise IndexError("of ours")

    monkeypatch.setattr(lowering, "stretch", fails)
    with pytest.warns(RuntimeWarning, match="please report: IndexError"):
        got = Executor(read(net()), threads=2).run({"x": X})
    for y, right in zip(got, want, strict=True):
        np.testing.assert_array_equal(y, right)


IN_A_PROCESS = """
import sys, numpy as np
from striate.runtime import InferenceSession, SessionOptions
o = SessionOptions()
o.add_session_config_entry("striate.engine", "native")
s = InferenceSession(sys.argv[1], o)
y, b = s.run(None, {"x": np.load(sys.argv[2])})
np.save(sys.argv[3], y)
"""


def run_in_a_process(folder: Path, cache: str, result: str) -> subprocess.Popen[bytes]:
    import os

    arguments = [str(folder / name) for name in ("net.onnx", "x.npy", result)]
    return subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS, *arguments], env={**os.environ, "STRIATE_CACHE": cache}
    )


def test_the_cache_on_disk(tmp_path: Path) -> None:
    """Two processes fill it at once; a damaged entry, or a folder that is no folder, costs time only."""
    (tmp_path / "net.onnx").write_bytes(net())
    np.save(tmp_path / "x.npy", X)
    cache = tmp_path / "cache"
    both = [run_in_a_process(tmp_path, str(cache), f"{i}.npy") for i in range(2)]
    assert [p.wait(120) for p in both] == [0, 0]
    entries = [path for path in cache.rglob("*") if path.is_file()]
    assert len(entries) > 3
    written = {path: path.stat().st_mtime_ns for path in entries}
    assert run_in_a_process(tmp_path, str(cache), "again.npy").wait(120) == 0
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == written, "compiled again"
    for i, path in enumerate(entries):
        content = path.read_bytes()
        path.write_bytes((b"", content[:-7], content[:30] + b"x" + content[31:])[i % 3])
    (tmp_path / "file").write_text("")
    for name, folder in {"damaged": str(cache), "nowhere": str(tmp_path / "file"), "none": ""}.items():
        assert run_in_a_process(tmp_path, folder, f"{name}.npy").wait(120) == 0
    want = np.load(tmp_path / "0.npy")
    for name in ("1", "damaged", "nowhere", "none"):
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), want)


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    assert compiler.cache_folder() == tmp_path
    monkeypatch.setenv("STRIATE_CACHE", "")
    assert compiler.cache_folder() is None


@pytest.mark.parametrize(
    ("platform", "variable", "folder"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("darwin", "", "Library/Caches"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ],
)
def test_the_cache_of_a_user(
    platform: str, variable: str, folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the place of the platform; nowhere for an account without a home."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("STRIATE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert compiler.cache_folder() == tmp_path / folder / "striate"
    monkeypatch.setattr(Path, "home", homeless)
    assert compiler.cache_folder() is None
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "caches"))
        assert compiler.cache_folder() == tmp_path / "caches" / "striate"


JOINED = """<ir_version: 10, opset_import: ["" : 21]>
joined (float[N, 16, 9, 7] x) => (float[N, 51, 9, 7] y, float[N, 16, 9, 7] r, float[N, 32, 9, 7] t) {
  a = Conv <pads = [1, 1, 1, 1]> (x, w1)
  r = Relu (a)
  b = Conv (r, w2)
  c = Concat <axis = 1> (r, b)
  d = Conv <pads = [2, 2, 2, 2], dilations = [2, 2]> (c, w3)
  y = Concat <axis = 1> (c, d)
  t = Concat <axis = 1> (r, r)
}"""


@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_joined_is_computed_in_place(batch: int) -> None:
    """Values inside of values inside of values, under the widest of their readers' frames; only r and r are copied."""
    model = parser.parse_model(JOINED)
    rng = np.random.default_rng(0)
    for name, shape in {"w1": (16, 16, 3, 3), "w2": (16, 16, 1, 1), "w3": (19, 32, 3, 3)}.items():
        array = (rng.standard_normal(shape) * 0.1).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    x = rng.standard_normal((batch, 16, 9, 7)).astype(np.float32)
    read_model = read(model.SerializeToString())
    executor = Executor(read_model, threads=2)
    for got, want in zip(executor.run({"x": x}), Executor(read_model).run({"x": x}), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    (step,) = executor.plan_for({"x": x}).steps
    labels = [s.label for s in step.call.func.__self__.program.steps]  # type: ignore[attr-defined]
    assert labels.count("copy blocks") == 2
