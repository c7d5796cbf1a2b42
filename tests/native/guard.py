"""Buffers that end where, or begin where, memory that must not be touched does."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import sys
from collections.abc import Callable
from math import gcd

import numpy as np
import pytest

from striate.runtime.engines.native.assembly import Assembly
from striate.runtime.engines.native.layouts import Plain
from striate.runtime.engines.native.program import Program
from striate.runtime.engines.native.team import team

PAGE = mmap.PAGESIZE
NO_ACCESS = 0
_alive: list[mmap.mmap] = []
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if sys.platform != "win32" else 0
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None

if _libc is not None:
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    _libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect and fork")


def guarded(nbytes: int, align: int = 64, before: bool = False) -> np.ndarray:
    """Bytes, filled with NaN patterns, beside an inaccessible page.

    Args:
        align: of the address; what is left between the last byte and the page behind it is less than that.
        before: the page lies before the first byte instead.
    """
    pages = -(-nbytes // PAGE) + 1
    room = mmap.mmap(-1, (pages + 1) * PAGE)
    _alive.append(room)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    page = start if before else start + pages * PAGE
    if _libc.mprotect(page, PAGE, NO_ACCESS):
        raise OSError(ctypes.get_errno(), "mprotect")
    first = PAGE if before else pages * PAGE - -(-nbytes // align) * align
    made = np.frombuffer(room, np.uint8, nbytes, first)
    made[:] = 255
    return made


def survives(work: Callable[[], None]) -> bool:
    """Does `work` end, in a process of its own, neither killed nor by an exception?"""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


class Guards:
    """While it is entered, every run of a program has all of its buffers beside inaccessible pages.

    Constants, places of the arena, inputs and outputs each lie in a mapping of their own, and what is not given is
    filled with NaN patterns: who reads what nobody wrote shows it in the results.

    Args:
        before: see `guarded`.

    Attributes:
        runs: how many programs were run so.
        buffers: how many they had together.
    """

    def __init__(self, before: bool) -> None:
        self.before = before
        self.runs = self.buffers = 0

    def __enter__(self) -> Guards:
        self._patch = pytest.MonkeyPatch()
        sizes: dict[int, _Sizes] = {}
        inside: dict[int, dict[int, tuple[int, int]]] = {}
        place = Assembly._placed

        def placed(asm: Assembly) -> Program:
            program = place(asm)
            sizes[id(program)], inside[id(program)] = _sizes(asm), dict(asm._inside)
            self._programs.append(program)
            return program

        def call(program: Program, arrays: tuple[np.ndarray, ...], threads: int) -> None:
            self._run(program, sizes[id(program)], inside[id(program)], arrays, threads)

        self._programs: list[Program] = []
        self._patch.setattr(Assembly, "_placed", placed)
        self._patch.setattr(Program, "call", call)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _run(
        self,
        program: Program,
        sizes: _Sizes,
        inside: dict[int, tuple[int, int]],
        arrays: tuple[np.ndarray, ...],
        threads: int,
    ) -> None:
        slots = np.zeros(max(program.slots, 1), np.int64)
        rooms: dict[int, Room] = {}

        def lay(slot: int, nbytes: int, align: int, content: np.ndarray | None = None) -> None:
            room = rooms[slot] = Room(nbytes, align, self.before)
            if content is not None:
                room.bytes[:] = content.reshape(-1).view(np.uint8)
            slots[slot] = room.address

        for slot, content in program.constants.items():
            lay(slot, content.nbytes, gcd(content.nbytes, 64), content)
        for slot, (nbytes, align) in sizes.items():
            lay(slot, nbytes, align)
        for slot, array in zip(program.outside, arrays, strict=True):
            lay(slot, array.nbytes, array.itemsize, np.ascontiguousarray(array))
        for slot, (root, offset) in inside.items():
            slots[slot] = rooms[root].address + offset
        missing = set(range(program.slots)) - set(rooms) - set(inside)
        if program.rounds is not None:  # what each team has of its own lies here but once
            program.rounds = program.rounds._replace(teams=1)
            program.walk([(b.kernel, b.table.ctypes.data, b.tasks) for b in program.bound])
            missing -= set(range(program.rounds.number, program.slots))
        assert not missing, f"slots {missing} have no memory"
        self.runs, self.buffers = self.runs + 1, self.buffers + len(rooms)
        team().run(program.code.ctypes.data, slots.ctypes.data, threads)
        for slot, array in zip(program.outside, arrays, strict=True):
            if array.flags.writeable:
                array.reshape(-1).view(np.uint8)[:] = rooms[slot].bytes
        for room in rooms.values():
            room.free()


_Sizes = dict[int, tuple[int, int]]


def _sizes(asm: Assembly) -> _Sizes:
    """Slot in the arena → bytes, alignment: of plain values, whose kernels promise to need no more, their elements'.

    Other buffers of kernels that need more consist of whole registers.
    """
    plain = {slot: layout.dtype.itemsize for slot, layout in asm._have.values() if isinstance(layout, Plain)}
    return {slot: (p.nbytes, plain.get(slot, gcd(p.nbytes, 64) or 1)) for slot, p in asm._places.items()}


class Room:
    """Bytes beside an inaccessible page, to be freed by hand: a run has thousands.

    Attributes:
        bytes: filled with 255.
        address: of the first of them.
    """

    def __init__(self, nbytes: int, align: int, before: bool) -> None:
        pages = -(-nbytes // PAGE)
        self._size = (pages + 1) * PAGE
        self._start = _libc.mmap(None, self._size, mmap.PROT_READ | mmap.PROT_WRITE, _PRIVATE, -1, 0)
        if self._start in (None, 2**64 - 1):
            raise OSError(ctypes.get_errno(), "mmap")
        page = self._start if before else self._start + pages * PAGE
        if _libc.mprotect(page, PAGE, NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")
        self.address = page + PAGE if before else page - -(-nbytes // align) * align
        self.bytes = np.frombuffer((ctypes.c_uint8 * nbytes).from_address(self.address), np.uint8)
        self.bytes[:] = 255

    def free(self) -> None:
        del self.bytes
        _libc.munmap(self._start, self._size)
