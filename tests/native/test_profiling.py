"""Times read inside of a run: they belong to the right nodes and threads, lie within the run, and change nothing."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from onnx import numpy_helper, parser

from striate.runtime import InferenceSession, SessionOptions
from striate.runtime.engines.native import peaks
from striate.runtime.engines.native.emit import FLOAT, Function
from striate.runtime.engines.native.host import host
from striate.runtime.engines.native.profiling import Traced, clock
from striate.runtime.engines.native.program import Kernel, Program, Step
from striate.runtime.profile import Profile, _stretch, profile

NET = """
<ir_version: 10, opset_import: ["" : 21]>
net (float[2, 3, 20, 20] x) => (float[2, 5] y, float[2, 8, 20, 20] s) {
    c = Conv<pads = [1, 1, 1, 1]>(x, w)
    r = Relu(c)
    s = CumSum(r, axis)
    k = Conv<pads = [1, 1, 1, 1]>(s, v)
    t = Add(k, s)
    p = GlobalAveragePool(t)
    f = Flatten(p)
    y = Gemm(f, g)
}
"""


def _session(threads: int, engine: str = "native") -> InferenceSession:
    rng = np.random.default_rng(0)
    model = parser.parse_model(NET)
    for name, shape in {"w": (8, 3, 3, 3), "v": (8, 8, 3, 3), "g": (8, 5)}.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape, np.float32), name))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(2, np.int64), "axis"))
    for node in model.graph.node:
        node.name = f"node {node.output[0]}"
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("striate.engine", engine)
    return InferenceSession(model.SerializeToString(), options)


@pytest.fixture(scope="module")
def feeds() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((2, 3, 20, 20), np.float32)}


@pytest.fixture(scope="module", params=[1, 2])
def found(request: pytest.FixtureRequest, feeds: dict[str, np.ndarray]) -> Profile:
    return profile(_session(request.param), feeds, 4, request.param)


def test_nodes_are_those_of_the_graph(found: Profile) -> None:
    kinds = {node.name: (node.operator, node.main, node.engine) for node in found.nodes}
    assert kinds == {
        "node c": ("Conv + Relu", "Conv", "native"),
        "node s": ("CumSum", "CumSum", "arrays"),
        "node k": ("Conv + Add", "Conv", "native"),
        "node p": ("GlobalAveragePool", "GlobalAveragePool", "native"),
        "node f": ("Flatten", "Flatten", "native"),
        "node y": ("Gemm", "Gemm", "native"),
    }
    assert [node.name for node in found.nodes] == [f"node {name}" for name in "cskpfy"]
    flops = {node.name: node.flops for node in found.nodes}
    elements = 2 * 8 * 20 * 20
    assert flops["node c"] == 2 * elements * 27 + elements
    assert flops["node k"] == 2 * elements * 72 + elements
    assert flops["node y"] == 2 * 2 * 8 * 5
    sizes = {node.name: node.nbytes for node in found.nodes}
    assert sizes["node c"] == 4 * (2 * 3 * 400 + 8 * 27 + elements)
    assert sizes["node k"] == 4 * (2 * elements + 8 * 72)


def test_times_add_up(found: Profile) -> None:
    assert all(len(node.times) == 4 == len(found.runs) == len(found.traced) for node in found.nodes)
    for i, total in enumerate(found.traced):
        assert 0 < sum(node.times[i] for node in found.nodes) <= total
    best = found.traced.index(min(found.traced))
    behind = [span for span in found.trace if span.node >= 2]
    together = max(s.end for s in behind) - min(s.begin for s in behind)
    assert sum(node.times[best] for node in found.nodes[2:]) == pytest.approx(together)
    for node in found.nodes:
        assert all(t > 0 for t in node.times)
        if node.engine == "native":
            pieces = np.sum([piece.times for piece in node.pieces], axis=0)
            assert pieces == pytest.approx(node.times)
            assert node.label in {piece.label for piece in node.pieces}


def test_the_trace_is_one_run(found: Profile) -> None:
    assert {span.node for span in found.trace} == set(range(len(found.nodes)))
    assert {span.thread for span in found.trace} <= set(range(found.threads))
    total = min(found.traced)
    for thread in range(found.threads):
        spans = [s for s in found.trace if s.thread == thread]
        assert all(0 <= s.begin <= s.end <= total for s in spans)
        assert all(a.end <= b.begin for a, b in pairwise(spans))
    assert (found.flops_per_second or 0) > 1e9
    assert (found.bytes_per_second or 0) > 1e8


def test_a_profile_changes_no_result(feeds: dict[str, np.ndarray]) -> None:
    session = _session(2)
    before = session.run(None, feeds)
    plan = session._executor.plan_for(feeds)
    programs = [s.program for s in map(_stretch, plan.steps) if s is not None]
    assert len(programs) == 2
    profile(session, feeds, 2, 2)
    after = [s.program for s in map(_stretch, plan.steps) if s is not None]
    assert all(a is b for a, b in zip(after, programs, strict=True))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, session.run(None, feeds), strict=True))


def test_on_arrays(feeds: dict[str, np.ndarray]) -> None:
    made = profile(_session(1, "arrays"), feeds, 2, 1)
    assert {node.engine for node in made.nodes} == {"arrays"}
    assert [node.operator for node in made.nodes] == [
        "Conv", "Relu", "CumSum", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm",
    ]  # fmt: skip
    assert made.nodes[0].flops == 2 * 6400 * 27


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_task_is_on_its_thread(threads: int) -> None:
    """Tasks of known lengths: each writes which it is; the log has them all, within the time of the call."""
    f = Function("profiling_test_task", ["y", "turns"])
    y, task = f.pointer("y"), f.task
    total = f.variable(FLOAT, 1.0)
    with f.range(f.number("turns") * (task + 1)):
        total.set(total.get() * 1.0000001)
    f.store(total.get(), y + task * 4)
    kernel = Kernel.of(f)
    out = np.zeros(7, np.float32)
    program = Program(
        [Step(kernel, {"y": 0, "turns": 20_000}, 7), Step(kernel, {"y": 0, "turns": 10}, 2)], {}, {}, 0, 1
    )
    traced = Traced(program)
    ticks = clock()
    begin = time.perf_counter()
    traced.program.run({0: out.ctypes.data}, threads)
    end = time.perf_counter()
    first, second = traced.times(threads)
    assert (out > 1).all()
    used = min(threads, host().cores)
    assert first.threads.tolist() == {1: [0] * 7, 2: [0] * 3 + [1] * 4, 3: [0] * 2 + [1] * 2 + [2] * 3}[used]
    lengths = first.end - first.begin
    assert (lengths > 0).all()
    assert lengths[6] > lengths[0] * 2
    assert first.end.max() <= second.begin.min()
    moments = ticks.seconds(np.concatenate([first.begin, second.end]))
    assert begin - 1e-4 <= moments.min() < moments.max() <= end + 1e-4


def test_peaks_are_measured_once() -> None:
    assert peaks.flops_per_second(1) == peaks.flops_per_second(1) > 1e9
    assert peaks.bytes_per_second(1) == peaks.bytes_per_second(1) > 1e8
