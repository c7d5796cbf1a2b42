"""Nodes of one stretch of a graph → a program: layouts chosen, operators merged, values placed in one arena.

The road: `lowering.lower` finds stretches; each becomes a list of `Op`s (`operators.py` makes them of nodes, and merges
activations and additions into the convolution or product before them); here they get layouts and slots and write their
steps; what is left is a `Program` and which slots the caller fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal, Protocol

import numpy as np
import onnx_ir as ir

from ... import limits
from ...dtypes import numpy_dtype
from ...memory import check_room
from .arena import Front, Parts, Place, arrange
from .composed import INNER
from .constants import Constants
from .host import host
from .kernels.copies import Side, copy_box
from .kernels.frames import frame_step, framed
from .kernels.reorder import from_blocked, to_blocked
from .kernels.reorder_bytes import bytes_from_blocked, bytes_to_blocked
from .layouts import BYTES, FLOAT32, Blocked, Layout, Plain
from .program import Program, Step
from .settings import Settings
from .stretch import Stretch

__all__ = ["Assembly", "Kind", "Op", "stretch"]

Kind = Literal["plain", "blocked"]
Frame = tuple[int, int, int, int]
NO_FRAME: Frame = (0, 0, 0, 0)
ALONE_BELOW = 2_000_000
"""Floating-point operations of a stretch; meeting another thread takes longer than to do so few alone."""


class Op(Protocol):
    """One operator of a stretch, with what has been merged into it."""

    inputs: list[ir.Value]
    """The values it reads while running; constants that it packs itself are not among them."""
    output: ir.Value

    @property
    def exact(self) -> bool:
        """Can it compute the operator's own products and nothing else, whatever is infinite or no number?"""
        return True

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        """The kinds of layout it reads, given those its inputs have, and the kind it writes."""

    def frame(self, index: int) -> Frame:
        """top, left, bottom, right: what it needs around the planes of a blocked input; by default nothing."""
        return NO_FRAME

    def zero(self, index: int) -> int:
        """The byte that this frame is to hold if the input is one of bytes."""
        return 0

    def joined(self) -> Sequence[ir.Value]:
        """Inputs of which its blocked output consists, one after the other along the channels; by default none."""
        return ()

    @property
    def growth(self) -> float:
        """How many times as large its weights become when they are packed."""
        return 1

    def merge(self, node: ir.Node, other: ir.Value | None) -> bool:
        """Takes in a node that reads the output, and perhaps `other`, if it can; by default it cannot."""
        return False

    def settle(self, settings: Settings) -> None:
        """Decides how it is computed, where there are several ways, now that all that was merged is known."""
        return

    def emit(self, asm: Assembly) -> None:
        """Adds its steps: `asm.read` for each input, `asm.write` for the output, `asm.constant`, `asm.add`."""


@dataclass
class Assembly:
    """Collects the steps of one stretch.

    Args:
        ops: in order.
        given: values from outside, which the caller provides, plain.
        wanted: values that the caller gets, plain.
        front: which of the ops compute parts.
        threads: that will walk the program, if there are parts to divide among them.
    """

    ops: Sequence[Op]
    given: Sequence[ir.Value]
    wanted: Sequence[ir.Value]
    front: Front = field(default_factory=lambda: Front(0, 1, {}))
    threads: int = 1
    lanes: int = field(default_factory=lambda: host().lanes)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kinds: dict[ir.Value, Kind] = dict.fromkeys(self.given, "plain")
        self._reads: list[Sequence[Kind]] = []
        self._frames: dict[ir.Value, Frame] = {}
        self._zeros: dict[ir.Value, int] = {}
        self._have: dict[tuple[ir.Value, Kind], tuple[int, Layout]] = {}
        self._places: dict[int, Place] = {}
        self._homes: dict[ir.Value, tuple[ir.Value, int]] = {}
        self._rooms: dict[ir.Value, int] = {}
        self._inside: dict[int, tuple[int, int]] = {}
        self._constants: dict[int, np.ndarray] = {}
        self._memory = Constants()
        self._count = self._looped = 0
        self._nodes: tuple[str, ...] = ()
        self.outside: dict[ir.Value, int] = {}
        self.results: dict[ir.Value, int] = {}

    # ---- what ops call

    def read(self, value: ir.Value, kind: Kind = "plain") -> tuple[int, Layout]:
        """The slot and layout of a value in the wanted kind; reorders it if it is only there in the other one."""
        if (value, kind) not in self._have:
            slot, layout = self._have[value, "plain" if kind == "blocked" else "blocked"]
            self._have[value, kind] = self._reordered(value, slot, layout, kind)
        return self._have[value, kind]

    def write(self, value: ir.Value, kind: Kind = "plain") -> tuple[int, Layout]:
        """A slot for a value that is about to be computed. A frame has to be zeroed by the writer: see `zero_frame`."""
        layout = self.layout(value, kind)
        if kind == "plain" and value in self.front.whole:
            slot, _ = self.write(self.front.whole[value])
        elif kind == "plain" and value in self.wanted and value not in self.results:
            slot = self.results[value] = self._new()
        else:
            slot = self._room(value) if kind == "blocked" else self.scratch(layout.nbytes)
        self._have[value, kind] = slot, layout
        return slot, layout

    def part(self, whole: ir.Value, value: ir.Value, block: int) -> tuple[int, Blocked] | None:
        """Slot and layout of some blocks of a value, to be filled with another; None if the other was written there."""
        if self._homes.get(value) == (whole, block) and value in self._rooms:
            return None
        outer = self.layout(whole, "blocked")
        assert isinstance(outer, Blocked)
        own = replace(outer, shape=picture(value, self.lanes).shape, within=outer.within or outer.blocks)
        return self._within(self._room(whole), block * outer.plane), own

    def alias(self, value: ir.Value, source: int, kind: Kind = "plain") -> None:
        """`value` is what lies in slot `source`, under its own shape."""
        if kind == "blocked":
            self._have[value, kind] = source, self.layout(value, kind)
            return
        if value in self.front.whole or (value in self.wanted and value not in self.results):
            target, layout = self.write(value)
            self.add(_copy(source, target, layout.nbytes))
            return
        self._have[value, "plain"] = source, self.layout(value, "plain")

    def layout(self, value: ir.Value, kind: Kind) -> Layout:
        """What a value looks like in the given kind."""
        if kind == "blocked":
            made = picture(value, self.lanes).framed(*self._frames.get(value, NO_FRAME))
            within = picture(self._largest(value), self.lanes).blocks if value in self._homes else 0
            return replace(made, fill=self._zeros.get(value, 0), within=within)
        assert value.dtype is not None
        return Plain(dims(value), numpy_dtype(value.dtype.value))

    def zero_frame(self, slot: int, layout: Layout) -> None:
        """For ops whose kernels do not do it themselves."""
        if isinstance(layout, Blocked) and framed(layout):
            self.add(frame_step(layout, slot))

    def constant(self, array: np.ndarray) -> int:
        """A slot that holds the array for ever; it must not be changed afterwards."""
        slot = self._new()
        self._constants[slot] = self._memory.keep(array)
        return slot

    def scratch(self, nbytes: int) -> int:
        """A slot in the arena."""
        slot = self._new()
        self._places[slot] = Place(nbytes, len(self.steps), len(self.steps))
        return slot

    def add(self, *steps: Step) -> None:
        for step in steps:
            if step.tasks:
                self.steps.append(replace(step, nodes=self._nodes))

    # ---- the whole

    def program(self) -> Program:
        """Everything in order: layouts forwards, frames backwards, steps forwards."""
        whole = self.front.whole
        self._kinds |= {part: "plain" for part, value in whole.items() if value in self._kinds}
        for op in self.ops:
            reads, writes = op.wants([self._kinds[v] for v in op.inputs])
            self._reads.append(reads)
            self._kinds[op.output] = self._kinds[whole.get(op.output, op.output)] = writes
        for op, reads in zip(self.ops, self._reads, strict=True):
            for i, (value, kind) in enumerate(zip(op.inputs, reads, strict=True)):
                if kind == "blocked":
                    known = self._frames.get(value, NO_FRAME)
                    self._frames[value] = tuple(map(max, known, op.frame(i)))  # type: ignore[assignment]
                    if op.frame(i) != NO_FRAME:
                        self._zeros[value] = op.zero(i)
        self._settle_homes()
        for value in self.given:
            slot = self.outside[value] = self._new()
            self._have[value, "plain"] = slot, self.layout(value, "plain")
        for part, value in whole.items():
            if value in self.outside:
                self._have[part, "plain"] = self.outside[value], self.layout(part, "plain")
        ends = {*self.given, *whole, *whole.values(), *(op.output for op in self.ops)}
        for i, op in enumerate(self.ops, start=1):
            self._nodes = _computed(op, ends)
            op.emit(self)
            if i == self.front.ops:
                self._complete()
                self._looped = len(self.steps)
        for value in self.wanted:
            if value not in self.results:
                self._nodes = (value.name or "",)
                self._deliver(value)
        return self._placed()

    def _complete(self) -> None:
        """All parts are there: blocked ones were computed where the whole lies."""
        for part, whole in self.front.whole.items():
            if self._kinds[part] == "blocked":
                assert part in self._rooms
                self._have[whole, "blocked"] = self._room(whole), self.layout(whole, "blocked")

    def _settle_homes(self) -> None:
        """Values that are joined are written where the joined value lies, under one frame for all of them."""
        self._homes |= {part: (whole, 0) for part, whole in self.front.whole.items() if self._kinds[part] == "blocked"}
        for op in reversed(self.ops):
            block, parts = 0, op.joined() if self._kinds[op.output] == "blocked" else ()
            for value in parts:
                if value not in self._homes and parts.count(value) == 1:
                    self._homes[value] = op.output, block
                block += picture(value, self.lanes).blocks
        for value in self._homes:
            largest = self._largest(value)
            frames = (self._frames.get(v, NO_FRAME) for v in (value, largest))
            self._frames[largest] = tuple(map(max, *frames))
        for value in self._homes:
            self._frames[value] = self._frames[self._largest(value)]

    def _largest(self, value: ir.Value) -> ir.Value:
        """The value in whose memory another lies."""
        while value in self._homes:
            value = self._homes[value][0]
        return value

    def _room(self, value: ir.Value) -> int:
        """The slot of a blocked value: of its own, or part of that which it will be joined into."""
        if value not in self._rooms:
            if value in self._homes:
                whole, block = self._homes[value]
                layout = self.layout(whole, "blocked")
                assert isinstance(layout, Blocked)
                self._rooms[value] = self._within(self._room(whole), block * layout.plane)
            else:
                self._rooms[value] = self.scratch(self.layout(value, "blocked").nbytes)
        return self._rooms[value]

    def _within(self, outer: int, offset: int) -> int:
        """A slot that lies in another."""
        slot = self._new()
        root, before = self._inside.get(outer, (outer, 0))
        self._inside[slot] = root, before + offset
        return slot

    def kind(self, value: ir.Value) -> Kind:
        """The kind of layout in which a value is computed."""
        return self._kinds[value]

    def _deliver(self, value: ir.Value) -> None:
        self.results[value] = self._new()
        slot, layout = self._have.get((value, "plain")) or self._have[value, "blocked"]
        if isinstance(layout, Blocked):
            self.add(_to_plain(layout, self.layout(value, "plain"), slot, self.results[value]))
        else:
            self.add(_copy(slot, self.results[value], layout.nbytes))

    def _reordered(self, value: ir.Value, slot: int, layout: Layout, kind: Kind) -> tuple[int, Layout]:
        target = self.layout(value, kind)
        made = self._room(value) if kind == "blocked" else self.scratch(target.nbytes)
        if isinstance(layout, Plain):
            assert isinstance(target, Blocked)
            if target.dtype == BYTES:
                self.add(bytes_to_blocked(layout, target, slot, made))
            else:
                self.zero_frame(made, target)
                self.add(to_blocked(layout, target, slot, made))
        else:
            self.add(_to_plain(layout, target, slot, made))
        return made, target

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _placed(self) -> Program:
        """Slots get their places; the first steps are walked in rounds."""
        parts = None
        if self._looped:
            spare = self._new(), self._new(), self._new()
            parts = Parts(self._looped, self.front.count, self.threads, self._strides(), spare)
        places, top, rounds = arrange(self.steps, self._places, self._inside, parts)
        outside = [*(self.outside[v] for v in self.given), *(self.results[v] for v in self.wanted)]
        return Program(self.steps, self._constants, places, top, self._count, outside, rounds=rounds)

    def _strides(self) -> dict[int, int]:
        """The slots of the values of which parts are computed, and bytes from part to part."""
        found = {}
        for part, whole in self.front.whole.items():
            kind: Kind = "plain" if whole in self.outside else self._kinds[whole]
            slot, layout = self._have[whole, kind]
            images = dims(part)[0]
            found[slot] = images * layout.image if isinstance(layout, Blocked) else self.layout(part, kind).nbytes
        return found


def _copy(source: int, target: int, nbytes: int) -> Step:
    """Bytes from one slot to another."""
    run = Side(1, 0, (1,))
    return copy_box(run, run, (nbytes,), source, target)[0]


def _to_plain(x: Blocked, y: Layout, x_slot: int, y_slot: int) -> Step:
    """The step from blocks to plain memory."""
    assert isinstance(y, Plain)
    return bytes_from_blocked(x, y, x_slot, y_slot) if x.dtype == BYTES else from_blocked(x, x_slot, y_slot)


def _computed(op: Op, ends: set[ir.Value]) -> tuple[str, ...]:
    """The names of the values up to an op's output that come after `ends`, which other ops compute: in order."""
    found: dict[str, None] = {}
    ahead = [op.output]
    while ahead:
        value = ahead.pop()
        node = value.producer()
        if node is not None and value.name and value.name not in found and (value is op.output or value not in ends):
            found[value.name] = None
            found |= dict.fromkeys(node.meta.get(INNER, ()))
            ahead += [v for v in node.inputs if v is not None]
    return tuple(reversed(found))


def too_large(value: ir.Value) -> bool:
    """More than any value may take, which the plan will say."""
    assert value.dtype is not None
    if value.dtype == ir.DataType.STRING:
        return False
    return prod(dims(value)) * value.dtype.bitwidth // 8 > limits.VALUE_BYTES


def dims(value: ir.Value) -> tuple[int, ...]:
    """The known shape of a value."""
    assert value.shape is not None
    return value.shape.dims  # type: ignore[return-value]  # of ints only: `ops_of` has looked at them


def picture(value: ir.Value, lanes: int) -> Blocked:
    """A value [N, C, H, W], or [N, C, W] and [N, C] as one of height (and width) 1, in blocks, without a frame."""
    small = value.dtype in (ir.DataType.UINT8, ir.DataType.INT8)
    return Blocked(pictured(dims(value)), lanes, dtype=BYTES if small else FLOAT32)


def pictured(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The shape of a picture; lines [N, C, W] have height 1, points [N, C] width 1 too."""
    n, c, *size = shape
    h, w = (1, 1, *size)[-2:]
    return n, c, h, w


def stretch(asm: Assembly, threads: int) -> Stretch:
    """What a stretch of nodes becomes; little work is done by one thread."""
    program = asm.program()
    check_room(program.arena_bytes)
    often = [asm.front.count if program.rounds and i < program.rounds.steps else 1 for i in range(len(asm.steps))]
    busy = sum(step.flops * times for step, times in zip(asm.steps, often, strict=True)) > ALONE_BELOW
    outputs = [(dims(v), _dtype(v)) for v in asm.wanted]
    return Stretch(program, threads if busy else 1, [_dtype(v) for v in asm.given], outputs)


def _dtype(value: ir.Value) -> np.dtype:
    assert value.dtype is not None
    return numpy_dtype(value.dtype.value)
