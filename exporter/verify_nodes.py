"""Every value inside a model, here and in another runtime: which node is the first that differs, and by how much.

Two differences are measured at each node. *Local*: our kernel on the other runtime's inputs (against `float64`: both on
our inputs), which is the node's own error and decides whether it agrees. *Accumulated*: both runtimes from the model's
inputs on, which is what has come together up to there. A node is therefore blamed only for what it does itself: its
inputs agree by construction, and an error made early or merely amplified does not hide behind it.

The other runtime runs the graph in stretches (see `Pieces`), every value of a stretch exposed, its optimisations off. A
stretch is as long as its values fit into the memory limit, so a model of any size is checked in one walk. Our side runs
node by node with no pass applied, and forgets a value after its last reader.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..runtime.builder import attributes
from ..runtime.dtypes import is_float
from ..runtime.errors import InvalidInput, StriateError
from ..runtime.reader import read
from .verify_measure import Difference, Statistics, describe, identical, measure, statistics
from .verify_pieces import Pieces
from .verify_results import NodeResult, NodesReport, OutputResult
from .verify_runners import RUNNERS, run_ours
from .verify_tolerance import Allowed, allowed_for, bound_of
from .verify_widen import wide, widen

if TYPE_CHECKING:
    from .verify_reproducer import Evidence

__all__ = ["AGAINST", "DEFAULT_MEMORY", "NodeResult", "NodesReport", "OutputResult", "check_nodes", "values_of"]

AGAINST = (*RUNNERS, "float64")
DEFAULT_MEMORY = 1 << 30
"""Bytes that the values of one stretch may take in the other runtime."""

JUDGED_ELEMENTS = 1 << 22
"""Of a node's inputs and outputs; the reference evaluator is slow on more."""

Values = dict[str, Any]
Progress = Callable[[int, int], None]


def check_nodes(
    source: str | os.PathLike[str] | bytes | ir.Model,
    feeds: Mapping[str, Any],
    *,
    against: str = "onnxruntime",
    tolerance: float | None = None,
    memory: int = DEFAULT_MEMORY,
    stop_at_first: bool = False,
    progress: Progress | None = None,
) -> NodesReport:
    """Compares every node of a model.

    Args:
        source: an `.onnx` file, its content, or a model that was read.
        feeds: the inputs.
        against: one of `AGAINST`; `float64` is our own kernels on everything widened to float64.
        tolerance: instead of the table of `verify_tolerance`: |ours − theirs| ≤ tolerance · (1 + |theirs|).
        memory: bytes that the values of a stretch may take.
        stop_at_first: end at the first node that differs.
        progress: called with (nodes done, nodes in all).

    Raises:
        InvalidInput: `against` is unknown, or an input is missing.
        RunFailed: the other runtime does not run the model.
    """
    if against not in AGAINST:
        raise InvalidInput(f"against is {against!r}; expected one of: {', '.join(AGAINST)}")
    began = time.perf_counter()
    pieces = Pieces(source if isinstance(source, ir.Model) else read(source), feeds)
    walk = (_Oracle if against == "float64" else _Pairwise)(pieces, feeds, against, tolerance, memory)
    results: list[NodeResult] = []
    whose, evidence = "", None
    for start, stop in walk.stretches:
        walk.enter(start, stop)
        for index in range(start, stop):
            result, held = walk.node(index)
            results.append(result)
            if not result.agrees and evidence is None:
                evidence = held
                whose = walk.whose_error(index, held) if result.status == "differs" else ""
            walk.forget(index)
            if progress is not None:
                progress(index + 1, len(pieces.nodes))
            if stop_at_first and evidence is not None:
                break
        if stop_at_first and evidence is not None:
            break
    elapsed = time.perf_counter() - began
    return NodesReport(against, tuple(results), len(pieces.nodes), len(walk.stretches), elapsed, whose, evidence)


def values_of(
    source: str | os.PathLike[str] | bytes | ir.Model, feeds: Mapping[str, Any]
) -> Iterator[tuple[str, Any, str, int, int]]:
    """Every value of a model as this runtime computes it, the inputs first; each is forgotten after its last reader.

    Yields:
        (name, value, title of the node, nodes done, nodes in all).
    """
    pieces = Pieces(source if isinstance(source, ir.Model) else read(source), feeds)
    walk = _Walk(pieces, feeds, "", None, DEFAULT_MEMORY)
    total = len(pieces.nodes)
    for name, value in feeds.items():
        yield name, value, "", 0, total
    for index, node in enumerate(pieces.nodes):
        walk.ours |= walk.run(index, walk.inputs_of(index, walk.ours))
        for name in pieces.writes[index]:
            yield name, walk.ours[name], f"#{index} {node.name or node.op_type}", index + 1, total
        walk.forget(index)


class _Walk:
    """Both sides' values while they are needed: `theirs` are the other runtime's, `ours` ours.

    Where they are the same bit for bit, they are one object.
    """

    def __init__(
        self, pieces: Pieces, feeds: Mapping[str, Any], against: str, tolerance: float | None, memory: int
    ) -> None:
        self.pieces = pieces
        self.against = against
        self.tolerance = tolerance
        self.theirs: Values = dict(feeds)
        self.ours: Values = dict(feeds)
        self.stretches = pieces.stretches(memory)

    def enter(self, start: int, stop: int) -> None:
        """Makes the other runtime's values of a stretch."""

    def node(self, index: int) -> tuple[NodeResult, Evidence]:
        """Runs one node and compares it; values of both sides are then there."""
        raise NotImplementedError

    def forget(self, index: int) -> None:
        """Drops what nobody reads any more."""
        for name in (*self.pieces.reads[index], *self.pieces.writes[index]):
            if self.pieces.last.get(name, -1) <= index:
                self.theirs.pop(name, None)
                self.ours.pop(name, None)

    def is_read(self, index: int, name: str) -> bool:
        """Whether anybody reads an output of the node."""
        return self.pieces.last[name] > index

    def inputs_of(self, index: int, values: Values) -> Values:
        """What the node must be fed, from one side's values."""
        pieces = self.pieces
        return {n: values[n] if n in values else pieces.weight(n) for n in pieces.needs(index, index + 1)}

    def run(self, index: int, inputs: Mapping[str, Any], *, in_float64: bool = False) -> Values:
        """Our kernel on one node."""
        inputs = {name: wide(value) for name, value in inputs.items()} if in_float64 else inputs
        narrow = {name: self.ours.get(name, value) for name, value in inputs.items()} if in_float64 else inputs
        proto = self.pieces.proto(index, index + 1, narrow, self.pieces.writes[index])
        return run_ours(proto, inputs, in_float64=in_float64)

    def bounds(self, index: int, values: Values) -> Callable[[Any, Any, float], Allowed]:
        """What the table allows on an output of this node."""
        node, pieces = self.pieces.nodes[index], self.pieces
        bound = bound_of(node.op_type, node.domain, composite=pieces.is_composite(index))
        inputs = [
            None if v is None else values[v.name] if v.name in values else self._stored(str(v.name))
            for v in node.inputs
        ]
        given = {} if pieces.is_composite(index) else attributes(node)

        def allowed(ours: np.ndarray, theirs: np.ndarray, largest: float) -> Allowed:
            dtypes = (ours.dtype,) if self.against == "float64" else (ours.dtype, theirs.dtype)
            return allowed_for(bound, dtypes, largest, inputs, theirs, given, self.tolerance)

        return allowed

    def _stored(self, name: str) -> np.ndarray | None:
        return self.pieces.weight(name) if name in self.pieces.initializers else None

    def result(self, index: int, outputs: tuple[OutputResult, ...], status: str = "", remark: str = "") -> NodeResult:
        node = self.pieces.nodes[index]
        status = status or ("agrees" if all(o.agrees for o in outputs) else "differs")
        faults = [f"output {o.name!r}: {o.local.fault}" for o in outputs if o.local.fault and o.read]
        return NodeResult(
            index,
            node.name or "",
            node.op_type,
            node.domain,
            self.pieces.reads[index],
            outputs,
            status,
            remark or "; ".join(faults),
        )

    def evidence(self, index: int, inputs: Values, expected: Values, found: Values, error: str = "") -> Evidence:
        from .verify_reproducer import Evidence

        return Evidence(self.pieces, index, inputs, expected, found, self.against, error)

    def whose_error(self, index: int, held: Evidence) -> str:
        """By ONNX's reference evaluator in float64: a judge that shares no kernel with either side."""
        if (
            self.against == "reference"
            or sum(_elements(v) for v in (*held.inputs.values(), *held.expected.values())) > JUDGED_ELEMENTS
        ):
            return ""
        given = {name: wide(value) for name, value in held.inputs.items()}
        proto = self.pieces.proto(index, index + 1, held.inputs, self.pieces.writes[index])
        try:
            right = RUNNERS["reference"](widen(proto), given)
        except Exception:  # it does not have every operator in every type: then there is no judge
            return ""
        parts = []
        for name, exact in right.items():
            if not isinstance(exact, np.ndarray) or name not in held.found or not is_float(exact.dtype):
                continue
            ours, theirs = (measure(side[name], exact, _no_bound, wide=True) for side in (held.found, held.expected))
            if not ours.fault and not theirs.fault:
                parts.append(f"ours is off by {ours.max_abs:.3g} on {name!r}, {self.against} by {theirs.max_abs:.3g}")
        return f"by the reference evaluator in float64, {'; '.join(parts)}" if parts else ""


def _elements(value: Any) -> int:
    return sum(map(_elements, value)) if isinstance(value, list) else int(np.size(value))


def _no_bound(ours: Any, theirs: Any, largest: float) -> Allowed:
    return Allowed(0.0, 1.0, 1.0)


class _Pairwise(_Walk):
    """Against another runtime, stretch by stretch."""

    def enter(self, start: int, stop: int) -> None:
        pieces = self.pieces
        names = list(dict.fromkeys(name for i in range(start, stop) for name in pieces.writes[i]))
        inputs = {n: self.theirs[n] if n in self.theirs else pieces.weight(n) for n in pieces.needs(start, stop)}
        if names:
            self.theirs |= RUNNERS[self.against](pieces.proto(start, stop, inputs, names), inputs)

    def node(self, index: int) -> tuple[NodeResult, Evidence]:
        names = self.pieces.writes[index]
        inputs = self.inputs_of(index, self.theirs)
        expected = {name: self.theirs[name] for name in names}
        held = self.evidence(index, inputs, expected, {})
        if self.pieces.draws(index):
            self.ours |= expected
            return self.result(index, self._shown(index, expected), "random", "draws random numbers"), held
        try:
            found = self.run(index, inputs)
        except InvalidInput as error:
            if "cannot be told" in str(error):
                self.ours |= expected
                return self.result(index, self._shown(index, expected), "skipped", str(error)), held
            return self._failed(index, inputs, expected, error)
        except Exception as error:
            return self._failed(index, inputs, expected, error)
        held = self.evidence(index, inputs, expected, found)
        came = self._accumulate(index, inputs, found)
        allowed = self.bounds(index, self.theirs)
        outputs = []
        for name in names:
            if identical(found[name], expected[name]):
                found[name] = expected[name]
            local = measure(found[name], expected[name], allowed)
            shared = came[name] is found[name] or identical(came[name], found[name])
            total = local if shared else measure(came[name], expected[name], allowed)
            outputs.append(self._output(index, name, found[name], expected[name], local, total))
            self.ours[name] = found[name] if shared else came[name]
        return self.result(index, tuple(outputs)), held

    def _accumulate(self, index: int, inputs: Values, found: Values) -> Values:
        """Our results on our inputs; where those have become unfit for the node (another shape, say), on theirs."""
        mine = self.inputs_of(index, self.ours)
        if all(mine[n] is inputs[n] for n in mine if n in self.theirs):
            return found
        try:
            return self.run(index, mine)
        except Exception:
            return found

    def _failed(self, index: int, inputs: Values, expected: Values, error: Exception) -> tuple[NodeResult, Evidence]:
        self.ours |= expected
        text = " ".join(str(error if isinstance(error, StriateError) else f"{type(error).__name__}: {error}").split())
        held = self.evidence(index, inputs, expected, {}, text)
        return self.result(index, self._shown(index, expected), "failed", text), held

    def _output(
        self, index: int, name: str, ours: Any, theirs: Any, local: Difference, accumulated: Difference | None
    ) -> OutputResult:
        right = statistics(theirs)
        left = right if ours is theirs else statistics(ours)
        return OutputResult(name, *describe(ours), local, accumulated, left, right, self.is_read(index, name))

    def _shown(self, index: int, values: Values) -> tuple[OutputResult, ...]:
        """Outputs of a node that was not compared."""
        return tuple(
            replace(self._output(index, name, v, v, Difference(), None), ours=Statistics())
            for name, v in values.items()
        )


class _Oracle(_Pairwise):
    """Against our own kernels in float64: `theirs` are wide values, computed node by node beside ours."""

    def __init__(self, pieces: Pieces, feeds: Mapping[str, Any], *args: Any) -> None:
        super().__init__(pieces, feeds, *args)
        self.theirs = {name: wide(value) for name, value in feeds.items()}
        self.stretches = [(0, len(pieces.nodes))] if pieces.nodes else []

    def enter(self, start: int, stop: int) -> None:
        """There is nothing to be made in advance."""

    def node(self, index: int) -> tuple[NodeResult, Evidence]:
        names = self.pieces.writes[index]
        inputs = self.inputs_of(index, self.ours)
        held = self.evidence(index, inputs, {}, {})
        try:
            found = self.run(index, inputs)
        except Exception as error:
            text = f"node {self.pieces.nodes[index].name!r} ({self.pieces.nodes[index].op_type}) does not run: {error}"
            raise type(error)(text) if isinstance(error, StriateError) else error from error
        if self.pieces.draws(index):
            return self._passed_on(index, found, "random", "draws random numbers"), held
        try:
            near = self.run(index, inputs, in_float64=True)
            far = self._far(index, inputs, near)
        except Exception as error:
            return self._passed_on(index, found, "skipped", f"does not run in float64: {error}"), held
        allowed = self.bounds(index, self.ours)
        outputs = []
        for name in names:
            local = measure(found[name], near[name], allowed, wide=True)
            total = local if far is near else measure(found[name], far[name], allowed, wide=True)
            outputs.append(self._output(index, name, found[name], far[name], local, total))
        self.ours |= found
        self.theirs |= far
        return self.result(index, tuple(outputs)), self.evidence(index, inputs, near, found)

    def _far(self, index: int, inputs: Values, near: Values) -> Values:
        """What comes of the wide inputs, which were never rounded."""
        distant = self.inputs_of(index, self.theirs)
        if all(identical(wide(distant[n]), wide(inputs[n])) for n in inputs):
            return near
        return self.run(index, distant, in_float64=True)

    def _passed_on(self, index: int, found: Values, status: str, remark: str) -> NodeResult:
        self.ours |= found
        self.theirs |= {name: wide(value) for name, value in found.items()}
        return self.result(index, self._shown(index, found), status, remark)

    def whose_error(self, index: int, held: Evidence) -> str:
        return ""
