"""One random model against onnxruntime, or the onnx reference where onnxruntime has no kernel; disagreements explained.

Numbers agree within `TOLERANCES`. Where they do not, nothing is widened by hand; it must be shown that rounding alone
can do it. Two proofs are asked for:

1. The model is run again, here, several times, with every inexact result (and every input of an inexact operator)
   moved by a few units in its last place. The difference must lie within a small multiple of the spread: this scales
   with cancellation and long sums, and shows a Floor, Cast or ArgMax that stands on an edge.
2. Every node, given the other side's own inputs, gives the other side's results: so no operator is wrong.

A node that fails 2 where the reference sides with us is the other's fault only if `known.py` says so, and why.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx.inliner
from onnx import helper

from striate.runtime import GraphOptimizationLevel, InferenceSession, SessionOptions, executor

from . import known
from .graphs import Sample, names_read, type_of
from .rows import BODIES, ROWS

TOLERANCES = {"float64": (1e-9, 1e-11), "float32": (1e-5, 1e-6), "float16": (4e-3, 2e-3)}
"""(relative, absolute) by dtype; all else agrees exactly."""
RUNS, MARGIN = 10, 4.0
"""Perturbed runs, and by how many times their spread a difference may exceed it."""
ULPS = {"float64": 4.0, "float32": 4.0, "float16": 1.0}
"""Size of a perturbation in units of the dtype's eps."""
MOVED = {"Resize": 1, "Range": 0}
"""How many of an inexact operator's inputs are perturbed, where not all: floats there decide about shapes."""

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """`kind` is a line of the summary; `failed` ones are faults."""

    kind: str
    detail: str = ""

    @property
    def bad(self) -> bool:
        return self.kind == "failed"


class Missing(Exception):
    """onnxruntime has no kernel for it."""


def check(sample: Sample) -> Verdict:
    """The verdict on one model."""
    names = [v.name for v in sample.model.graph.output]
    theirs, who, refusal = _others(sample, names)
    try:
        ours = _ours_twice(sample, names)
        plain = run_ours(sample.model, sample.feeds, names, optimize=False)
    except AssertionError as error:
        return Verdict("failed", str(error))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if theirs is not None:
            return _explained(known.reason(known.OURS, text), f"{who} runs it, we refuse: {text}")
        return _explained(known.reason(known.BOTH, text), f"both refuse: {text} | {refusal}")
    if theirs is None:
        return _explained(known.reason(known.THEIRS, str(refusal)), f"we run it, {who} refuses: {refusal}")
    if sample.refused:
        return Verdict("failed", f"the kernel alone refuses what the session runs: {sample.refused}")
    differ = [n for n in names if not agree(ours[n], theirs[n]) or not agree(plain[n], theirs[n])]
    if not differ:
        return Verdict(f"agree with {who}")
    return _explain(sample, ours, plain, theirs, who, differ)


def _explained(reason: str | None, failure: str) -> Verdict:
    return Verdict("failed", failure) if reason is None else Verdict(reason, failure)


# ---- runs


def strict() -> SessionOptions:
    """Graphs hold NaN and infinity everywhere, which fast numerics may spread."""
    options = SessionOptions()
    options.numerics = "strict"
    return options


def run_ours(model: onnx.ModelProto, feeds: Outputs, names: list[str], *, optimize: bool) -> Outputs:
    options = strict()
    if not optimize:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(model.SerializeToString(), options)
    return dict(zip(names, session.run(names, feeds), strict=True))


def _ours_twice(sample: Sample, names: list[str]) -> Outputs:
    """All passes; a second run gives the same bits, one output alone too, and the inputs stay as they were."""
    session = InferenceSession(sample.model.SerializeToString(), strict())
    before = {n: x.copy() for n, x in sample.feeds.items()}
    first = dict(zip(names, session.run(names, sample.feeds), strict=True))
    kept = {n: np.copy(y) if isinstance(y, np.ndarray) else y for n, y in first.items()}
    second = dict(zip(names, session.run(names, sample.feeds), strict=True))
    for n in names:
        assert _same(kept[n], second[n]), f"two runs of one session differ in {n}"
        assert _same(kept[n], first[n]), f"a run changes {n}, a result of the run before"
    assert _same(kept[names[-1]], session.run([names[-1]], sample.feeds)[0]), f"{names[-1]} alone is another"
    for n, x in before.items():
        assert _same(x, sample.feeds[n]), f"a run changes its input {n}"
    return first


def run_onnxruntime(model: onnx.ModelProto, feeds: Outputs, names: list[str]) -> Outputs:
    """Without its optimisations: they are not what we compare with.

    Raises:
        Missing: there is no kernel.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, feeds), strict=True))
    except Exception as error:
        if known.no_kernel(str(error)):
            raise Missing(str(error)) from None
        raise


def run_reference(model: onnx.ModelProto, feeds: Outputs, names: list[str]) -> Outputs:
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return dict(zip(names, ReferenceEvaluator(model).run(names, feeds), strict=True))


def _others(sample: Sample, names: list[str]) -> tuple[Outputs | None, str, Exception | None]:
    """Their outputs, who they are, and why there are none."""
    try:
        return run_onnxruntime(sample.model, sample.feeds, names), "onnxruntime", None
    except Missing:
        pass
    except Exception as error:
        return None, "onnxruntime", error
    values: Outputs = {}
    try:
        for node in _nodes(sample, values):
            values |= node.theirs
    except Exception as error:
        return None, "onnxruntime node by node", error
    return {n: values[n] for n in names}, "onnxruntime node by node", None


@dataclass(frozen=True)
class _Single:
    """A node as a model of its own, fed what the other side computed, and the other side's results.

    `by` is onnxruntime, the reference where that has no kernel, or nobody: then the results are ours, unchecked.
    """

    proto: onnx.NodeProto
    sample: Sample
    theirs: Outputs
    by: str


def _nodes(sample: Sample, values: Outputs) -> Iterator[_Single]:
    """Every node in turn; the caller keeps `values` up to date."""
    model = onnx.inliner.inline_local_functions(sample.model)
    values |= {t.name: _fed(onnx.numpy_helper.to_array(t)) for t in model.graph.initializer}
    values |= sample.feeds
    opset = model.opset_import[0].version
    for node in model.graph.node:
        feeds = {n: _fed(values[n]) for n in dict.fromkeys(names_read(node)) if n in values}
        alone = Sample(one_node(node, feeds, opset, model.ir_version), feeds)
        yield _Single(node, alone, *_single(alone, [n for n in node.output if n]))


def _single(alone: Sample, names: list[str]) -> tuple[Outputs, str]:
    try:
        return run_onnxruntime(alone.model, alone.feeds, names), "onnxruntime"
    except Exception:
        pass
    node = alone.model.graph.node[0]
    if any(x.dtype.name in ("float64", "float16") for x in alone.feeds.values() if isinstance(x, np.ndarray)):
        with suppress(Exception):
            return _in_float32(alone, names), "onnxruntime in float32"
    if node.op_type not in known.REFERENCE_LACKS:
        with suppress(Exception):
            right = run_reference(alone.model, alone.feeds, names)
            if all(_of_type(right[n], kind) for n, kind in _types(alone.model).items()):
                return right, "the reference"
    return run_ours(alone.model, alone.feeds, names, optimize=False), "nobody"


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """The element types that the specification gives the outputs, where it is tensors."""
    inferred = onnx.shape_inference.infer_shapes(model)
    return {v.name: v.type.tensor_type.elem_type for v in inferred.graph.output if v.type.HasField("tensor_type")}


def _of_type(x: Any, kind: int) -> bool:
    """The reference gives some results in another type, and numbers among text; those we cannot compare with."""
    if kind == onnx.TensorProto.STRING:
        return all(isinstance(word, str) for word in np.ravel(x))
    return np.asarray(x).dtype == helper.tensor_dtype_to_np_dtype(kind)


def _in_float32(alone: Sample, names: list[str]) -> Outputs:
    """A node that onnxruntime computes in float32 only: our result if it is the one of float32 there, else theirs."""
    node = alone.model.graph.node[0]
    narrow = {n: x.astype(np.float32) if x.dtype.name in TOLERANCES else x for n, x in alone.feeds.items()}
    single = Sample(one_node(node, narrow, alone.model.opset_import[0].version, alone.model.ir_version), narrow)
    theirs = run_onnxruntime(single.model, narrow, names)
    ours = run_ours(alone.model, alone.feeds, names, optimize=False)
    ours32 = run_ours(single.model, narrow, names, optimize=False)
    made: Outputs = {}
    for n in names:
        right = agree(ours32[n], theirs[n])
        if not right:
            right = within_spread(ours32[n], theirs[n], [m[n] for m in _perturbed(single, [n])])
        near = ours[n].shape == ours32[n].shape and np.allclose(ours[n], ours32[n], 2e-2, 2e-2, equal_nan=True)
        if right and not near:
            raise Missing("float32 is too narrow for it")
        made[n] = ours[n] if right else theirs[n].astype(ours[n].dtype)
    return made


# ---- comparison


def agree(ours: Any, theirs: Any) -> bool:
    """Same kind, dtype, shape; and numbers within the tolerance of the dtype."""
    if isinstance(ours, list) or isinstance(theirs, list):
        both = isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs)
        return both and all(map(agree, ours, theirs))
    if ours is None or theirs is None:
        return ours is theirs
    return like(ours, theirs) and bool(np.all(close(ours, theirs)))


def like(ours: Any, theirs: Any) -> bool:
    """Same dtype and shape."""
    theirs = np.asarray(theirs)
    return ours.shape == theirs.shape and (
        ours.dtype == theirs.dtype or {ours.dtype.kind, theirs.dtype.kind} <= set("OUT")
    )


def close(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Which elements agree."""
    if ours.dtype.name not in TOLERANCES:
        return np.asarray(ours == theirs)
    rtol, atol = TOLERANCES[ours.dtype.name]
    with np.errstate(all="ignore"):
        return np.isclose(ours.astype(float), np.asarray(theirs).astype(float), rtol, atol, equal_nan=True)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if a.dtype.kind == "O":
        return bool(np.array_equal(a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ---- explanations


def _explain(sample: Sample, ours: Outputs, plain: Outputs, theirs: Outputs, who: str, differ: list[str]) -> Verdict:
    faults: list[tuple[str | None, str]] = []
    try:
        for found in _faulty_nodes(sample):
            faults.append(found)
    except Exception:  # what a known fault gave is no input for a later node; without one, it is ours
        if not faults:
            raise
    mistakes = [text for reason, text in faults if reason is None]
    if mistakes:
        return Verdict("failed", f"{differ}: " + "; ".join(mistakes))
    if faults:
        if unlike := [n for n in differ if not agree(ours[n], plain[n])]:
            moved = list(_perturbed(sample, unlike))
            if unlike := [n for n in unlike if not within_spread(plain[n], ours[n], [m[n] for m in moved])]:
                return Verdict(
                    "failed", f"the passes change {unlike[0]}: {_difference(ours[unlike[0]], plain[unlike[0]])}"
                )
        return Verdict(str(faults[0][0]), "; ".join(text for _, text in faults))
    moved = list(_perturbed(sample, differ))
    for n in differ:
        for side, values in (("optimised", ours), ("as it stands", plain)):
            if not within_spread(values[n], theirs[n], [m[n] for m in moved]):
                return Verdict("failed", f"{n} ({side}) differs from {who}, though each node agrees: "
                               f"{_difference(values[n], theirs[n])}")  # fmt: skip
    jump = any(not isinstance(ours[n], np.ndarray) or ours[n].dtype.name not in TOLERANCES for n in differ)
    return Verdict("rounding decides (ties, edges)" if jump else "rounding, enlarged", str(differ))


def within_spread(ours: Any, theirs: Any, moved: list[Any]) -> bool:
    """Whether the perturbed results spread as far as the two differ."""
    if isinstance(ours, list):
        if len({len(x) for x in (ours, theirs, *moved)}) > 1:
            return len(theirs) in {len(m) for m in moved}
        return all(within_spread(a, b, list(m)) for a, b, *m in zip(ours, theirs, *moved, strict=True))
    if not (ours.dtype == theirs.dtype or ours.dtype.kind in "OUT"):
        return False
    if any(m.shape != ours.shape for m in moved):  # rounding decides about the shape, as of Unique or NonZero
        return ours.ndim == theirs.ndim
    if ours.shape != theirs.shape:
        return False
    right = np.asarray(close(ours, theirs))
    all_moved = np.stack([ours, *moved])
    if ours.dtype.kind in "OUT":
        return bool(np.all(right | (all_moved != ours).any(0)))
    with np.errstate(all="ignore"):
        wide = all_moved.astype(float)
        spread = np.fmax.reduce(wide) - np.fmin.reduce(wide)
        near = np.abs(ours.astype(float) - theirs.astype(float)) <= MARGIN * spread
        classes = (_class(wide) == _class(theirs.astype(float))).any(0) & (_class(wide) != _class(wide[:1])).any(0)
    return bool(np.all(right | near | classes))


def _class(x: np.ndarray) -> np.ndarray:
    """0 for finite numbers; each of NaN, ∞ and -∞ has its own."""
    return np.where(np.isnan(x), 2, np.where(np.isinf(x), np.sign(x), 0))


def _perturbed(sample: Sample, names: list[str]) -> Iterator[Outputs]:
    for seed in range(RUNS):
        with _noise(seed):
            try:
                yield run_ours(sample.model, sample.feeds, names, optimize=False)
            except Exception:  # an index or divisor that rounding moved out of range
                continue


@contextmanager
def _noise(seed: int) -> Iterator[None]:
    """While this lasts, executors here round badly."""
    random, step_of = np.random.default_rng(seed), executor._run_step

    def move(x: Any) -> Any:
        if isinstance(x, list):
            return [move(item) for item in x]
        if not isinstance(x, np.ndarray) or x.dtype.name not in ULPS or not x.size:
            return x
        size = ULPS[x.dtype.name] * float(np.finfo(x.dtype).eps)
        factor = 1 + random.choice([-1, 1], x.shape) * random.uniform(0.25, 1, x.shape) * size
        with np.errstate(all="ignore"):
            wide = x.astype(np.longdouble) * factor
            return wide.astype(x.dtype)

    def step(step: Any, values: list[Any], arena: list[Any], overwrite: Callable[..., None]) -> None:
        if step.op_type in BODIES or (  # the nodes in them are perturbed
            step.op_type in ROWS and ROWS[step.op_type].exact
        ):
            step_of(step, values, arena, overwrite)
            return
        kept = {slot: values[slot] for slot in step.inputs[: MOVED.get(step.op_type)]}
        for slot, x in kept.items():
            values[slot] = move(x)
        step_of(step, values, arena, overwrite)
        for slot, x in kept.items():
            if slot not in step.frees and slot not in step.outputs:
                values[slot] = x
        for slot in step.outputs:
            values[slot] = move(values[slot])

    with mock.patch.object(executor, "_run_step", step):
        yield


# ---- node by node


def _faulty_nodes(sample: Sample) -> Iterator[tuple[str | None, str]]:
    """(reason known, sentence) for each node that, on their inputs, does not give their outputs."""
    values: Outputs = {}
    for node in _nodes(sample, values):
        values |= node.theirs
        ours = run_ours(node.sample.model, node.sample.feeds, list(node.theirs), optimize=False)
        wrong = [n for n, right in node.theirs.items() if not agree(ours[n], right)]
        if wrong:
            moved = list(_perturbed(node.sample, wrong))
            wrong = [n for n in wrong if not within_spread(ours[n], node.theirs[n], [m[n] for m in moved])]
        for name in wrong:
            difference = _difference(ours[name], node.theirs[name])
            text = f"{node.proto.op_type} {node.proto.name}, output {name}, against {node.by}: {difference}"
            yield known.fault(node.by, node.proto, node.sample.feeds, ours, node.theirs), text


def one_node(node: onnx.NodeProto, feeds: Outputs, opset: int, ir_version: int) -> onnx.ModelProto:
    inputs = [helper.make_value_info(n, type_of(x, None if isinstance(x, list) else x.shape)) for n, x in feeds.items()]
    outputs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
    graph = helper.make_graph([node], "node", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def _fed(x: Any) -> Any:
    if isinstance(x, list):
        return [_fed(item) for item in x]
    x = np.asarray(x)
    return x.astype(object) if x.dtype.kind in "UST" else x


def _difference(ours: Any, theirs: Any) -> str:
    """What differs, in a line."""
    if not isinstance(ours, np.ndarray) or not isinstance(theirs, np.ndarray) or not like(ours, theirs):
        return f"ours is {_described(ours)}, theirs {_described(theirs)}"
    wrong = np.argwhere(~np.asarray(close(ours, theirs)))
    at = tuple(wrong[0]) if len(wrong) else ()
    where = f"{len(wrong)} of {ours.size} differ, at {list(map(int, at))}"
    return f"{_described(ours)}: {where} ours {ours[at]!r}, theirs {theirs[at]!r}"


def _described(x: Any) -> str:
    if isinstance(x, list):
        return f"a list [{', '.join(map(_described, x))}]"
    return f"{x.dtype.name}{list(x.shape)}" if isinstance(x, np.ndarray) else repr(x)
