"""How long each node of a model takes: the plan that a session runs, step by step, and inside its native stretches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from .cost.flops import count
from .cost.lifetimes import value_bytes
from .engines import native
from .executor import Executor, _run_step
from .plan import Plan, Step, specialise

if TYPE_CHECKING:
    import onnx_ir as ir

    from .engines.native.profiling import Clock, StepTimes, Traced
    from .engines.native.stretch import Stretch
    from .session import InferenceSession

__all__ = ["NodeTime", "Piece", "Profile", "Span", "profile"]

NATIVE, ARRAYS = "native", "arrays"
VIEWS = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"))
"""Beside others in one node, these say least of what it does."""


@dataclass(frozen=True)
class Span:
    """Something that happened on a thread, in seconds from the begin of the run; `node` is an index of the nodes."""

    node: int
    label: str
    thread: int
    begin: float
    end: float
    tasks: int


@dataclass
class Piece:
    """One step of machine code of a node: what it does, seconds in each run."""

    label: str
    times: list[float] = field(default_factory=list)


@dataclass
class NodeTime:
    """A node, or several that were computed as one.

    Attributes:
        name: of the first.
        operators: of all, in order; `main`: the one that computes most.
        engine: `native` or `arrays`.
        times: seconds in each run, waiting for other threads included.
        pieces: of native nodes, the steps that these are made of.
        flops: of the direct algorithm, 2 per multiply-accumulate; None where not known.
        nbytes: of what is read from other nodes and constants, and of what is written for others.
    """

    name: str
    operators: Sequence[str]
    main: str
    engine: str
    flops: int | None = None
    nbytes: int | None = None
    times: list[float] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    @property
    def operator(self) -> str:
        """`Conv + Relu` and the like."""
        return " + ".join(self.operators)

    @property
    def median(self) -> float:
        return median(self.times)

    @property
    def label(self) -> str:
        """What the longest of its steps does."""
        longest = max(self.pieces, key=lambda p: median(p.times), default=None)
        return longest.label if longest is not None else ""


@dataclass
class Profile:
    """Where the time of runs goes.

    Attributes:
        nodes: in the order in which they run.
        runs: seconds of whole runs, as a caller sees them, nothing measured inside.
        traced: seconds of the runs whose nodes were timed.
        trace: of the quickest of these.
        flops_per_second, bytes_per_second: what the machine can do with so many threads; None without machine code.
    """

    threads: int
    nodes: list[NodeTime]
    runs: list[float]
    traced: list[float]
    trace: list[Span]
    flops_per_second: float | None = None
    bytes_per_second: float | None = None


def profile(session: InferenceSession, feeds: Mapping[str, np.ndarray], runs: int, threads: int) -> Profile:
    """Runs a model often, as it is and with its nodes timed, by turns; its results are dropped.

    Args:
        feeds: arrays as `session.run` takes them.
        threads: that the session was made for.

    Raises:
        StriateError: as `session.run`.
    """
    session.run(None, dict(feeds))
    executor = session._executor
    recorder = _Recorder(executor, executor.plan_for(feeds), feeds, threads)
    recorder.run()
    recorder.forget()
    whole = []
    for _ in range(runs):
        begin = time.perf_counter()
        session.run(None, dict(feeds))
        whole.append(time.perf_counter() - begin)
        recorder.run()
    made = Profile(threads, recorder.nodes, whole, recorder.totals, recorder.best)
    if native.available():
        from .engines.native import peaks

        made.flops_per_second = peaks.flops_per_second(threads)
        made.bytes_per_second = peaks.bytes_per_second(threads)
    return made


class _Recorder:
    """Runs a plan as the executor does, with an eye on the clock."""

    def __init__(self, executor: Executor, plan: Plan, feeds: Mapping[str, Any], threads: int) -> None:
        self.executor, self.plan, self.feeds = executor, plan, feeds
        self.stretches = [_stretch(step) for step in plan.steps]
        self.threads = [0 if s is None else min(threads, s.threads) for s in self.stretches]
        self.traced = [None if s is None else _traced(s) for s in self.stretches]
        self.clock = _clock() if any(self.traced) else None
        self.nodes: list[NodeTime] = []
        self.totals: list[float] = []
        self.best: list[Span] = []
        graph = _Graph(executor, feeds)
        self.rows = [
            [self._new(graph.arrays(step))] if traced is None else self._native_rows(graph, traced)
            for step, traced in zip(plan.steps, self.traced, strict=True)
        ]

    def _new(self, node: NodeTime) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _native_rows(self, graph: _Graph, traced: Traced) -> list[int]:
        """The node of each step of a program; a step that no node asked for goes to that of the next."""
        rows: list[int] = []
        known: dict[str, int] = {}
        for step in traced.program.steps:
            names = step.nodes
            if names and names[-1] not in known:
                known |= dict.fromkeys(names, self._new(graph.native(names)))
            rows.append(known[names[-1]] if names else -1)
        following = -1
        for i in reversed(range(len(rows))):
            following = rows[i] = rows[i] if rows[i] >= 0 else following
        rows = [row if row >= 0 else rows[0] for row in rows]
        for step, row in zip(traced.program.steps, rows, strict=True):
            self.nodes[row].pieces.append(Piece(step.label or step.kernel.name))
        return rows

    def forget(self) -> None:
        """Drops all times."""
        self.totals, self.best = [], []
        for node in self.nodes:
            node.times.clear()
            for piece in node.pieces:
                piece.times.clear()

    def run(self) -> None:
        """One run; its times are added."""
        moments = self._timed()
        start, total = (moments[0][0], moments[-1][1] - moments[0][0]) if moments else (0.0, 0.0)
        seconds = [0.0] * len(self.nodes)
        spans: list[Span] = []
        for rows, threads, traced, (begin, end) in zip(self.rows, self.threads, self.traced, moments, strict=True):
            if traced is None:
                seconds[rows[0]] += end - begin
                spans.append(Span(rows[0], self.nodes[rows[0]].operator, 0, begin - start, end - start, 1))
            else:
                spans += self._inside(traced.times(threads), rows, seconds, start)
        for node, spent in zip(self.nodes, seconds, strict=True):
            node.times.append(spent)
        if not self.totals or total < min(self.totals):
            self.best = spans
        self.totals.append(total)

    def _inside(self, steps: Sequence[StepTimes], rows: list[int], seconds: list[float], start: float) -> list[Span]:
        """Adds the times of a stretch. A step takes from the end of the step before to its own.

        Steps that are walked in rounds share the time of all rounds as they share that of their tasks.
        """
        assert self.clock is not None
        spans = []
        before: float | None = None
        looped = [found for found in steps if found.rounds > 1]
        busy = sum(float((found.end - found.begin).sum()) for found in looped)
        if looped:
            first = min(found.begin.min() for found in looped)
            last = max(found.end.max() for found in looped)
            around = float(np.diff(self.clock.seconds(np.array([first, last])))[0])
        pieces = {row: iter(self.nodes[row].pieces) for row in rows}
        for found, row in zip(steps, rows, strict=True):
            begin, end = self.clock.seconds(found.begin) - start, self.clock.seconds(found.end) - start
            if found.rounds > 1:
                spent = around * float((found.end - found.begin).sum()) / busy
                before = max(float(end.max()), before or 0.0)
            else:
                spent = float(end.max()) - (float(begin.min()) if before is None else before)
                before = float(end.max())
            seconds[row] += spent
            piece = next(pieces[row])
            piece.times.append(spent)
            runs = found.threads * found.rounds + np.repeat(np.arange(found.rounds), len(begin) // found.rounds)
            for run in np.unique(runs):
                own = runs == run
                first, last = float(begin[own].min()), float(end[own].max())
                spans.append(Span(row, piece.label, int(run) // found.rounds, first, last, int(own.sum())))
        return sorted(spans, key=lambda span: span.begin)

    def _timed(self) -> list[tuple[float, float]]:
        """Begin and end of each step of the plan in one run."""
        plan, executor = self.plan, self.executor
        values = plan.values.copy()
        for name, slot in plan.feeds.items():
            values[slot] = self.feeds[name]
        arena = executor._arena(plan)
        moments = []
        self.clock = None if self.clock is None else self.clock.now()
        with _programs(self.stretches, self.traced), np.errstate(all="ignore"):
            for step in plan.steps:
                begin = time.perf_counter()
                _run_step(step, values, arena, executor.engine.overwrite)
                moments.append((begin, time.perf_counter()))
        plan.arenas.append(arena)
        return moments


class _Graph:
    """The graph that became the plan, for what its nodes are and cost."""

    def __init__(self, executor: Executor, feeds: Mapping[str, Any]) -> None:
        signature = tuple((name, a.dtype, a.shape) for name, a in sorted(feeds.items()))
        model = specialise(executor.model, signature, optimize=executor._layout["optimize"])
        self.nodes = list(model.graph)
        self.by_output = {v.name: node for node in self.nodes for v in node.outputs if v.name}
        self.rest = iter(self.nodes)

    def native(self, names: Sequence[str]) -> NodeTime:
        """The nodes that compute some values."""
        found = dict.fromkeys(self.by_output[name] for name in names if name in self.by_output)
        if not found:
            return NodeTime(names[-1], ("?",), "?", NATIVE)
        return _described([node for node in self.nodes if node in found], NATIVE)

    def arrays(self, step: Step) -> NodeTime:
        """The next node that a step of the plan can be."""
        for node in self.rest:
            if (node.name or "", node.op_type) == (step.node, step.op_type):
                return _described([node], ARRAYS)
        return NodeTime(step.node or step.op_type, (step.op_type,), step.op_type, ARRAYS)


def _described(nodes: Sequence[ir.Node], engine: str) -> NodeTime:
    """What some nodes are and cost together."""
    inside = set(nodes)
    made = {v for node in nodes for v in node.outputs}
    read = dict.fromkeys(v for node in nodes for v in node.inputs if v is not None and v not in made)
    given = [v for v in made if v.is_graph_output() or any(use.node not in inside for use in v.uses())]
    costs = [count(node)[1] for node in nodes]
    sizes = [value_bytes(v) for v in (*read, *given)]
    flops = None if any(c is None for c in costs) else sum(c for c in costs if c is not None)
    nbytes = None if any(s is None for s in sizes) else sum(s for s in sizes if s is not None)
    name = nodes[0].name or nodes[-1].outputs[0].name or nodes[0].op_type
    main = max(zip(costs, nodes, strict=True), key=lambda pair: (pair[0] or 0, pair[1].op_type not in VIEWS))[1]
    return NodeTime(name, [node.op_type for node in nodes], main.op_type, engine, flops, nbytes)


def _stretch(step: Step) -> Stretch | None:
    """The stretch of machine code that a step of a plan calls, if it does."""
    kernel = getattr(step.call, "func", step.call)
    owner = getattr(kernel, "__self__", None)
    if step.op_type != "Stretch" or owner is None:
        return None
    from .engines.native.stretch import Stretch

    return owner if isinstance(owner, Stretch) else None


def _traced(stretch: Stretch) -> Traced:
    from .engines.native.profiling import Traced

    return Traced(stretch.program)


def _clock() -> Clock:
    from .engines.native.profiling import clock

    return clock()


@contextmanager
def _programs(stretches: Sequence[Stretch | None], traced: Sequence[Traced | None]) -> Iterator[None]:
    """The traced programs in place of the stretches' own."""
    pairs = [(s, s.program, t.program) for s, t in zip(stretches, traced, strict=True) if s is not None and t]
    for stretch, _, program in pairs:
        stretch.program = program
    try:
        yield
    finally:
        for stretch, program, _ in pairs:
            stretch.program = program
