"""Random geometries, the case table and networks beside NumPy and float64: the quick part of `campaign geometries`.

Rows of the case table and networks keep to four times NumPy's own error. Drawn models may have twice that: NumPy adds
up results of few columns in as many parts as its registers hold, the native engine in chains of up to 160 products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from striate.runtime import InferenceSession

from .busy import convolution, options
from .geometries import KINDS, SPECIALS, draw
from .guard import posix
from .guarded import NETWORKS
from .isolation import isolated
from .trials import TABLE, everything_lowered, try_draw, try_network, try_row
from .truth import DIRECT, DRAWN, WINOGRAD, Beside, Report, Verdict

SHARES = {"conv": 120, "product": 30, "pool": 30, "broadcast": 15, "reduction": 15}
NETWORK = ("squeezenet", "shufflenet", "densenet")
pytestmark = [posix, pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")]


def within(names: Sequence[str], work: Callable[[int], Verdict], direct: float) -> Verdict:
    """The worst of so many; fails with the names of those beyond their bounds, and of those that died."""
    wrong, found = [], []
    for i, outcome, result in isolated(len(names), lambda i: work(i).plain()):
        if outcome == "done":
            found.append(Verdict.plainly(result))
            if not found[-1].within(direct):
                wrong.append(f"{names[i]}: {found[-1]}")
        else:
            wrong.append(f"{names[i]}: {outcome} {result}")
    assert not wrong, "\n".join(wrong)
    return Verdict.worst(found)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_models(kind: str, record_property: Callable[[str, object], None]) -> None:
    seeds = range(SHARES[kind])
    worst = within([draw(kind, seed).name for seed in seeds], lambda i: try_draw(draw(kind, i)), DRAWN)
    record_property("summary", f"native engine, {len(seeds)} drawn models of kind {kind}, worst: {worst}")


def test_the_case_table(record_property: Callable[[str, object], None]) -> None:
    chosen = TABLE[::4]
    worst = within([case.id for case, _ in chosen], lambda i: try_row(*chosen[i]), DIRECT)
    record_property("summary", f"native engine, {len(chosen)} rows of the case table, worst: {worst}")


@pytest.mark.parametrize("name", NETWORK)
def test_networks(name: str) -> None:
    (path,) = (p for p in NETWORKS if name in p.stem)
    within([name], lambda _: try_network(path), DIRECT)


def test_the_bounds_notice() -> None:
    """A result that is a little wrong is beyond them; so is NaN where there should be none."""
    fine = Report(native=1e-6, numpy=1e-6, largest=1.0, elements=100)
    assert Verdict(fine, None).within(DIRECT)
    assert not Verdict(Report(5e-6, 1e-6, 1.0, 100), None).within(DIRECT)
    assert not Verdict(fine, Report(1.1 * WINOGRAD, 1e-6, 1.0, 100)).within(DIRECT)
    drawn = draw("conv", 5, "normal")
    beside = Beside(drawn.model)
    run = beside._strict.run
    beside._strict.run = lambda *given: [np.where(y == y.max(), np.nan, y) for y in run(*given)]  # type: ignore
    with pytest.raises(AssertionError, match="NaN elsewhere"):
        beside.run(drawn.inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_repeat_and_differ(kind: str) -> None:
    first, again, other = draw(kind, 3), draw(kind, 3), draw(kind, 4)
    assert first.content == again.content != other.content
    for name, x in first.inputs.items():
        np.testing.assert_array_equal(x, again.inputs[name])


def test_draws_reach_what_they_are_for() -> None:
    """Padding as wide as windows, one position, odd groups, empty batches, every sort of numbers."""
    drawn = [draw("conv", seed) for seed in range(400)]
    nodes = [next(n for n in d.model.graph.node if n.op_type == "Conv") for d in drawn]
    attributes = [{a.name: list(a.ints) or a.i for a in n.attribute} for n in nodes]
    shapes = [d.inputs["x0"].shape for d in drawn]
    kernels = [list(d.model.graph.initializer[0].dims[2:]) for d in drawn]
    assert any(max(a["pads"]) >= max(k) for a, k in zip(attributes, kernels, strict=True))
    assert any(s[2:] == (1, 1) for s in shapes)
    assert any(a["group"] % 2 and a["group"] > 1 for a in attributes)
    assert any(a["group"] == s[1] > 1 for a, s in zip(attributes, shapes, strict=True))
    assert {s[0] for s in shapes} == {0, 1, 2, 3, 4, 5}
    assert {d.special for d in drawn} == set(SPECIALS)
    assert max(max(k) for k in kernels) == 11
    assert max(max(a["dilations"]) for a in attributes) == 4
    assert max(max(a["strides"]) for a in attributes) == 5


@pytest.mark.parametrize("seed", range(6))
def test_any_batch_through_one_session(seed: int) -> None:
    """Plans for new shapes are made as they come, empty batches included, and the old ones still hold."""
    drawn = draw("conv", 1000 + seed, "normal")
    with everything_lowered():
        native = InferenceSession(drawn.content, options("native", 2, "strict"))
        arrays = InferenceSession(drawn.content, options("arrays"))
        for batch in (1, 3, 0, 2, 5, 1, 3):
            inputs = {name: np.resize(x if x.size else 0.5, (batch, *x.shape[1:])) for name, x in drawn.inputs.items()}
            inputs = {name: x.astype(np.float32) for name, x in inputs.items()}
            got, want = native.run(None, inputs)[0], arrays.run(None, inputs)[0]
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_winograd_and_nan() -> None:
    """Strict: NaN where NumPy has it. Fast: also elsewhere in the tiles of four by four positions that read it."""
    rng = np.random.default_rng(0)
    content = convolution(32, 32, 3)
    x = rng.standard_normal((1, 32, 24, 24)).astype(np.float32)
    x[0, 5, 11, 13] = np.nan
    want = np.isnan(InferenceSession(content, options("arrays")).run(None, {"x": x})[0])
    strict = np.isnan(InferenceSession(content, options("native", 1, "strict")).run(None, {"x": x})[0])
    fast = np.isnan(InferenceSession(content, options("native", 1, "fast")).run(None, {"x": x})[0])
    np.testing.assert_array_equal(strict, want)
    assert (fast >= want).all()
    rows, columns = fast.any((0, 1, 3)).nonzero()[0], fast.any((0, 1, 2)).nonzero()[0]
    assert {*rows} <= {*range(8, 16)}
    assert {*columns} <= {*range(12, 16)}
