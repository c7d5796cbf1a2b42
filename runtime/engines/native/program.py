"""A compiled plan: a table of steps that one native call walks, for all threads.

A step is a kernel, a table of 64-bit parameters and a number of tasks. Tasks of one step are independent and are
divided evenly among the threads; a barrier follows each step. Kernels find the addresses of values through `slots`, an
array that each run has of its own: that is all that two runs of one program at the same time do not share.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from ...memory import check_room
from . import compiler
from .emit import Function
from .objects import readable, through_ctypes
from .rounds import Rounds, Row, Walk
from .team import team

__all__ = ["Bound", "Kernel", "Program", "Step", "aligned"]

ALIGNMENT = 64
HUGE_PAGE = 2 << 20
"""Weights are passed over in every run: looking up thousands of small pages takes a twentieth of the time."""
NO_SLOT = -1
"""As the value of a pointer field: a null pointer."""


@dataclass(frozen=True)
class Kernel:
    """Machine code to be: the text of a module with one function (see `emit.Function`) and its fields."""

    name: str
    ir: str
    fields: tuple[str, ...]
    pointers: frozenset[str]

    @classmethod
    def of(cls, function: Function) -> Kernel:
        """The kernel that a function has become."""
        return cls(function.name, function.text(), tuple(function.fields), frozenset(function.pointers))


@dataclass
class Step:
    """One kernel on given values.

    Attributes:
        arguments: field → number, or for a pointer the index of a slot (or `NO_SLOT`).
        tasks: how often the kernel is called, with task 0 … tasks − 1.
        flops: floating-point operations of all tasks together, for profiles and for choosing the number of threads.
        label: what the step does, for profiles.
        nodes: for profiles too, the values whose nodes it computes, or helps to.
    """

    kernel: Kernel
    arguments: Mapping[str, int]
    tasks: int
    flops: int = 0
    label: str = ""
    nodes: tuple[str, ...] = ()

    def touches(self) -> Iterator[int]:
        """The slots it reads or writes."""
        for name, value in self.arguments.items():
            if name in self.kernel.pointers and value != NO_SLOT:
                yield value

    def table(self) -> np.ndarray:
        """The parameters in the kernel's order."""
        missing = set(self.kernel.fields) ^ set(self.arguments)
        if missing:
            raise ValueError(f"{self.kernel.name}: arguments and fields differ in {sorted(missing)}")
        return np.array([self.arguments[name] for name in self.kernel.fields], np.int64)


class Bound(NamedTuple):
    """A step as it is run: the kernel's address, its parameters, how many tasks."""

    kernel: int
    table: np.ndarray
    tasks: int


class _Instance(NamedTuple):
    """What one run has of its own: addresses of all slots, memory of those in the arena; where the addresses lie."""

    slots: np.ndarray
    arena: np.ndarray
    address: int


@dataclass
class Program:
    """Steps bound to machine code.

    Args:
        steps: in order; a program read from a file has none, but `bound`.
        constants: slot → array that stays where it is (weights); 64-byte aligned (see `aligned`).
        places: slot → offset in an arena of `arena_bytes`, of which every concurrent run has one.
        slots: how many there are; those that are neither constant nor placed are set by the caller.
        outside: these, in the order in which `call` is given arrays for them.
        bound: the steps with their machine code.
        rounds: how the first steps are walked, if they compute parts of a batch.
    """

    steps: Sequence[Step]
    constants: Mapping[int, np.ndarray]
    places: Mapping[int, int]
    arena_bytes: int
    slots: int
    outside: Sequence[int] = ()
    bound: Sequence[Bound] = ()
    rounds: Rounds | None = None
    _free: list[_Instance] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.bound:
            kernels = list(dict.fromkeys(step.kernel for step in self.steps))
            found = compiler.addresses([(kernel.name, kernel.ir) for kernel in kernels])
            at = dict(zip(kernels, found, strict=True))
            self.bound = [Bound(at[step.kernel], step.table(), step.tasks) for step in self.steps]
        self.walk([(b.kernel, b.table.ctypes.data, b.tasks) for b in self.bound])
        self._where = np.array([len(self.outside), *self.outside], np.int64)
        self._where_at = self._where.ctypes.data

    def walk(self, rows: Sequence[Row]) -> None:
        """Runs will do what these say, one for each step."""
        self._walk = Walk(self.rounds, self.slots, rows)
        rows = self._walk.rows
        self.code = np.array([len(rows), *chain.from_iterable(rows)], np.int64)
        self._code_at = self.code.ctypes.data
        self.parallel = max((tasks for _, _, tasks in rows), default=1) > 1

    @property
    def constant_bytes(self) -> int:
        """What the constants take."""
        return sum(array.nbytes for array in self.constants.values())

    def run(self, addresses: Mapping[int, int], threads: int) -> None:
        """Runs all steps.

        Args:
            addresses: slot → address of what the caller gives or gets; it must stay alive.
            threads: at most so many work; the result does not depend on it.
        """
        instance = self._taken()
        for slot, address in addresses.items():
            instance.slots[slot] = address
        team().run(self._code_at, instance.address, threads if self.parallel else 1)
        self._free.append(instance)

    def call(self, arrays: tuple[np.ndarray, ...], threads: int) -> None:
        """Like `run`, on contiguous arrays for the slots `outside`."""
        instance = self._taken()
        where, objects = self._where_at, id(arrays)
        if not readable():
            through_ctypes(instance.address, self.outside, arrays)
            where = objects = 0
        team().run(self._code_at, instance.address, threads if self.parallel else 1, where, objects)
        self._free.append(instance)

    def _taken(self) -> _Instance:
        try:
            return self._free.pop()  # list.pop and append are atomic
        except IndexError:
            return self._instance()

    def _instance(self) -> _Instance:
        check_room(self.arena_bytes)
        arena = aligned(self.arena_bytes)
        slots = np.zeros(max(self.slots, 1), np.int64)
        for slot, array in self.constants.items():
            slots[slot] = array.ctypes.data
        for slot, offset in self.places.items():
            slots[slot] = arena.ctypes.data + offset
        return _Instance(slots, arena, slots.ctypes.data)


def aligned(nbytes: int) -> np.ndarray:
    """Uninitialised bytes at an address that is a multiple of 64; many of them in huge pages, where there are such."""
    if sys.platform == "linux" and nbytes >= HUGE_PAGE:
        with suppress(OSError):  # no such pages, or no memory: of that NumPy complains in its own words
            return _in_huge_pages(nbytes)
    block = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + nbytes]


def _in_huge_pages(nbytes: int) -> np.ndarray:
    """Memory of its own, from the beginning of a huge page on; one less than half full would be mostly lost."""
    memory = mmap.mmap(-1, -(-nbytes // HUGE_PAGE) * HUGE_PAGE + HUGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block = np.frombuffer(memory, np.uint8)
    start = -block.ctypes.data % HUGE_PAGE
    memory.madvise(mmap.MADV_HUGEPAGE, start, (nbytes + HUGE_PAGE // 2) // HUGE_PAGE * HUGE_PAGE)
    return block[start : start + nbytes]


def call(kernel: Kernel) -> Callable[[int, int, int], None]:
    """The kernel as a ctypes function (params, slots, task), for tests and studies."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return kind(compiler.address(kernel.name, kernel.ir))
