"""Runs plans; knows no operator names."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import onnx_ir as ir

from . import limits, passes
from .dtypes import numpy_dtype
from .engines.arrays import ArraysEngine, engine, to_host
from .errors import InvalidGraph, InvalidInput, LimitExceeded, NonFiniteLoss, RunFailed, StriateError
from .inference import constant
from .memory import Meter, check_room, size_of
from .passes.declared import DECLARED
from .plan import Plan, Signature, Step, plan

_meter = Meter()

BODY_SHAPES = 4
"""So many plans for exact shapes are made of the body of a loop: shapes that change with every trip change for ever."""


class Executor:
    """A model ready to run on one device, with a plan for each of the input shapes seen lately.

    Args:
        model: left untouched, unless it is `owned`.
        device: `cpu`, `cuda`, `cuda:N`, or an engine.
        owned: the model is the executor's to change; nobody else uses it.
        optimize: run the passes that need no shapes once, now.
        plan_cache: how many shape signatures keep their plan; the least recently used goes first.
        specialised: how many plans are made for exact shapes; signatures that come later share one plan for all shapes
            of the same dtypes, which is slower to run but need not be made anew.
        donate: input name → output name. After `run` the input's array holds the output; such an output cannot be
            fetched.
        reuse: share buffers between values whose lifetimes do not meet.
        threads: of the native engine; 0 leaves every node to the arrays engine.
        strict, tune: see `engines.native.settings.Settings`.
        loop_trips: how often all loops of one run together may go round.
        guard: an output that must be finite; if it is not, `run` raises before anything donated is written.

    Safe to call from several threads, donated inputs excepted.
    """

    def __init__(
        self,
        model: ir.Model,
        device: str | ArraysEngine = "cpu",
        *,
        owned: bool = False,
        optimize: bool = True,
        plan_cache: int = 16,
        specialised: int = 64,
        threads: int = 0,
        strict: bool = False,
        tune: bool = False,
        loop_trips: int = limits.LOOP_TRIPS,
        donate: Mapping[str, str] | None = None,
        reuse: bool = True,
        guard: str | None = None,
    ) -> None:
        self.engine = engine(device) if isinstance(device, str) else device
        self.model = passes.prepare(model if owned else model.clone(), optimize=optimize)
        self.donate = dict(donate or {})
        self.guard = guard
        self._layout = {"reuse": reuse, "optimize": optimize}
        self._plans: OrderedDict[Signature, Plan] = OrderedDict()
        self._plan_cache = plan_cache
        self._specialised = specialised
        self._made = 0
        self._loop_trips = loop_trips
        self._lower = _lowering(threads, strict, tune) if threads and self.engine.on_host else None
        self._lock = Lock()
        graph = self.model.graph
        self._required = [str(v.name) for v in graph.inputs if v.name not in graph.initializers]
        self._accepted = {str(v.name) for v in graph.inputs}
        self._outputs = [str(v.name) for v in graph.outputs]

    def run(self, feeds: Mapping[str, Any], fetch: Sequence[str] | None = None) -> list[Any]:
        """The arrays of the outputs named in `fetch` (default: all that are not donated), on the executor's device.

        Raises:
            InvalidInput: for a missing or unknown name.
            NonFiniteLoss: if the guarded output is not finite.
            RunFailed: if a node fails; the message names it.
        """
        fetch = [n for n in self._outputs if n not in self.donate.values()] if fetch is None else fetch
        arrays = {name: self.engine.asarray(array) for name, array in feeds.items()}
        self._check_names(arrays, fetch)
        return self._execute(self.plan_for(arrays), arrays, fetch)

    def plan_for(self, arrays: Mapping[str, Any]) -> Plan:
        """The plan for inputs of these names, shapes and dtypes; made if it is not cached."""
        return self._plan_of(tuple((name, *_kind(a)) for name, a in sorted(arrays.items())))

    def make_ready(self) -> None:
        """Makes the plan now if inputs can only have one shape; what is wrong with it is said by a run."""
        signature = []
        for value in self.model.graph.inputs:
            if value.name not in self.model.graph.initializers:
                dtype, shape = _known_type(value)
                if dtype is None or shape is None or None in shape:
                    return
                signature.append((str(value.name), dtype, shape))
        with suppress(StriateError):
            self._plan_of(tuple(sorted(signature)))  # type: ignore[arg-type]

    def _plan_of(self, signature: Signature) -> Plan:
        with self._lock:
            found = self._plans.get(signature)
            if found is None and self._made >= self._specialised:
                signature = tuple((name, dtype, None) for name, dtype, _ in signature)
                found = self._plans.get(signature)
            if found is not None:
                self._plans.move_to_end(signature)
                return found
        with _prepared(), np.errstate(all="ignore"):
            made = plan(
                self.model,
                signature,
                self.engine,
                donate=self.donate,
                guard=self.guard,
                body=self._subgraph,
                lower=self._lower,
                **self._layout,
            )
        with self._lock:
            self._made += 1
            self._plans[signature] = made
            while len(self._plans) > self._plan_cache:
                self._plans.popitem(last=False)
        return made

    def _subgraph(self, model: ir.Model) -> Subgraph:
        return Subgraph(
            Executor(
                model,
                self.engine,
                optimize=self._layout["optimize"],
                reuse=self._layout["reuse"],
                specialised=BODY_SHAPES,
                plan_cache=BODY_SHAPES + 4,
                loop_trips=self._loop_trips,
            )
        )

    def _check_names(self, arrays: Mapping[str, Any], fetch: Sequence[str]) -> None:
        for name in self._required:
            if name not in arrays:
                raise InvalidInput(f"input {name!r} is missing; the model needs {self._required}")
        for name in arrays:
            if name not in self._accepted:
                raise InvalidInput(f"the model has no input {name!r}; its inputs are {sorted(self._accepted)}")
        for name in fetch:
            if name not in self._outputs:
                raise InvalidInput(f"the model has no output {name!r}; its outputs are {self._outputs}")

    def _execute(self, plan: Plan, feeds: Mapping[str, Any], fetch: Sequence[str]) -> list[Any]:
        values = plan.values.copy()
        for name, slot in plan.feeds.items():
            values[slot] = feeds[name]
        arena = self._arena(plan)
        with np.errstate(all="ignore"):
            for step in plan.steps[: plan.guarded]:
                _run_step(step, values, arena, self.engine.overwrite)
            if self.guard is not None and not np.isfinite(to_host(values[plan.fetches[self.guard]])).all():
                raise NonFiniteLoss(f"output {self.guard!r} is not finite")
            for step in plan.steps[plan.guarded :]:
                _run_step(step, values, arena, self.engine.overwrite)
        results = [values[plan.fetches[n]] for n in fetch]
        for i, name in enumerate(fetch):
            if name in plan.copied:
                results[i] = self.engine.copy(results[i])
                _meter.took(size_of(results[i]))
        for old, new in plan.donated:
            self.engine.overwrite(values[old], values[new])
        with self._lock:
            plan.arenas.append(arena)
        return results

    def _arena(self, plan: Plan) -> list[Any]:
        """The plan's buffers as arrays over one block of memory; each concurrent run has a block of its own."""
        with self._lock:
            if plan.arenas:
                return plan.arenas.pop()
        check_room(plan.arena_bytes)
        block = self.engine.empty(plan.arena_bytes)
        return [block[b.offset : b.offset + b.nbytes].view(b.dtype).reshape(b.shape) for b in plan.buffers]


@contextmanager
def _prepared() -> Iterator[None]:
    """What goes wrong while a model is prepared for some inputs is one of our errors."""
    try:
        yield
    except StriateError:
        raise
    except MemoryError as error:
        raise LimitExceeded(f"preparing the model for these inputs needs more memory than there is: {error}") from error
    except Exception as error:
        raise InvalidGraph(f"the model cannot be prepared for these inputs: {error}") from error


def _lowering(threads: int, strict: bool, tune: bool) -> Callable[[ir.Model], bool] | None:
    """What puts stretches of a graph into machine code; None, and a warning, where llvmlite is missing."""
    from .engines import native

    if not native.available():
        warnings.warn("the native engine needs llvmlite, which is not installed; NumPy is used", stacklevel=4)
        return None
    from .engines.native.lowering import lower
    from .engines.native.settings import Settings

    return partial(lower, settings=Settings(threads, strict, tune))


class Subgraph:
    """A subgraph, closed over the outer values it reads, as kernels call it.

    Attributes:
        types: (NumPy dtype or None, dims or None) of each output, as far as they are known before a run.
        loop_trips: see `Executor`.
    """

    def __init__(self, executor: Executor, captured: tuple[Any, ...] = ()) -> None:
        self.executor = executor
        self.captured = captured
        graph = executor.model.graph
        self._inputs = [str(v.name) for v in graph.inputs]
        self._outputs = [str(v.name) for v in graph.outputs]
        self._repeated = [i for i, name in enumerate(self._outputs) if name in self._outputs[:i]]
        self.loop_trips = executor._loop_trips
        self.types = [_known_type(v) for v in graph.outputs]

    def over(self, captured: tuple[Any, ...]) -> Subgraph:
        """The same subgraph with these outer values."""
        closed = copy(self)
        closed.captured = captured
        return closed

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """The outputs, in memory of their own, for the values of the subgraph's own inputs."""
        given = (*values, *self.captured)
        if len(given) != len(self._inputs):
            raise InvalidGraph(
                f"the subgraph {self.executor.model.graph.name!r} has {len(self._inputs) - len(self.captured)} inputs; "
                f"its node gives it {len(values)}"
            )
        feeds = dict(zip(self._inputs, given, strict=True))
        results = self.executor._execute(self.executor.plan_for(feeds), feeds, self._outputs)
        for i in self._repeated:
            results[i] = self.executor.engine.copy(results[i])
        return tuple(results)

    def forwards(self, output: int, input: int) -> bool:
        """Whether an output is nothing but the given input, or a constant that is true."""
        graph = self.executor.model.graph
        value: ir.Value | None = graph.outputs[output]
        while value is not None and (node := value.producer()) is not None and node.op_type == "Identity":
            value = node.inputs[0]
        known = constant(value)
        return value is graph.inputs[input] or (known is not None and bool(known.all()))


def _known_type(value: ir.Value) -> tuple[np.dtype | None, tuple[int | None, ...] | None]:
    """What was inferred of a value; where nothing was, what its file declares."""
    kind, shape = value.type, value.shape
    if kind is None:
        kind, shape = value.meta.get(DECLARED, (None, None))
    if not isinstance(kind, ir.TensorType):
        return None, None
    dims = None if shape is None else tuple(d if isinstance(d, int) else None for d in shape)
    return numpy_dtype(kind.dtype.value), dims


def _kind(value: Any) -> tuple[np.dtype | None, tuple[int, ...] | None]:
    """dtype and shape of a tensor; nothing of sequences, maps and absent values."""
    return (None, None) if value is None or isinstance(value, (list, dict)) else (value.dtype, value.shape)


def _run_step(step: Step, values: list[Any], arena: list[Any], overwrite: Callable[[Any, Any], None]) -> None:
    inputs = [values[slot] for slot in step.inputs]
    try:
        if step.out is None:
            result = step.call(*inputs)
        else:
            result = step.call(*inputs, out=arena[step.out] if step.out >= 0 else values[-1 - step.out])
    except StriateError as error:
        raise type(error)(f"node {step.node!r} ({step.op_type}): {error}") from error
    except MemoryError as error:
        raise LimitExceeded(f"node {step.node!r} ({step.op_type}) needs more memory than there is: {error}") from error
    except Exception as error:
        found = ", ".join(map(_described, inputs))
        raise RunFailed(f"node {step.node!r} ({step.op_type}) failed on inputs {found}: {error}") from error
    if len(step.outputs) == 1 and not isinstance(result, tuple):
        if step.out is None:
            _meter.took(size_of(result))
        values[step.outputs[0]] = result
        if step.out is not None and step.out < 0 and result is not values[-1 - step.out]:
            overwrite(values[-1 - step.out], result)  # a kernel need not use the memory it is given
    else:
        for slot, array in zip(step.outputs, result, strict=False):
            _meter.took(size_of(array))
            values[slot] = array
    for slot in step.frees:
        values[slot] = None


def _described(x: Any) -> str:
    if x is None:
        return "-"
    return type(x).__name__ if isinstance(x, (list, dict)) else f"{x.dtype}{list(x.shape)}"
