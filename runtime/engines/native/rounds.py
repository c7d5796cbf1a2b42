"""The first steps of a program, walked once for each part of a batch: what a part needs stays in the cache.

Some slots move from part to part: those of whole values, of which a part reads or writes a part. Others hold values of
one part only. Threads either take parts of their own, each with memory of its own for such values, or walk every part
together: as it divides better. Either way a part is computed by the same steps, so results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import compiler

__all__ = ["Rounds", "Row", "Walk", "teams"]

ALIGNMENT = 64
EVEN = 0.7
"""The share of threads that must be busy on average, so that each takes parts of its own."""

Row = tuple[int, int, int]
"""Of a program's table: kernel, parameters, tasks."""


class Rounds(NamedTuple):
    """Which steps are walked how often.

    Attributes:
        steps: so many from the first on.
        parts: of the batch.
        teams: so many threads take parts of their own; 1 if all walk all parts together.
        moving: (slot, bytes from one part to the next).
        own: slots of memory that each team has of its own, and `own_bytes` from one team's to the next.
        number: a slot that holds the number of the part.
        copy: a slot of memory for copies of all slots, one for each team.
    """

    steps: int
    parts: int
    teams: int
    moving: tuple[tuple[int, int], ...]
    own: tuple[int, ...]
    own_bytes: int
    number: int
    copy: int


def teams(count: int, threads: int) -> int:
    """In how many teams so many threads do so many rounds: each alone if that keeps them busy."""
    alone = min(threads, count)
    busy = count / (-(-count // alone) * threads)
    return alone if busy >= EVEN else 1


def copy_bytes(slots: int) -> int:
    """From one copy of so many slots to the next."""
    return -(-8 * slots // ALIGNMENT) * ALIGNMENT


class Walk:
    """The table of a program with rounds, and the memory it refers to."""

    def __init__(self, rounds: Rounds | None, slots: int, rows: Sequence[Row]) -> None:
        self.rows = rows
        if rounds is None:
            return
        inner, outer = rows[: rounds.steps], rows[rounds.steps :]
        moving = [*rounds.moving, (rounds.number, 1)]
        self._kept: list[np.ndarray] = []
        if rounds.teams > 1:
            table = self._table([n for row in inner for n in row])
            moves = [(slot, 0, step) for slot, step in moving] + [(slot, rounds.own_bytes, 0) for slot in rounds.own]
            head = [len(inner), table, rounds.parts, rounds.teams, slots, rounds.copy, copy_bytes(slots), len(moves)]
            parameters = self._table([*head, *(n for move in moves for n in move)])
            self.rows = [(compiler.address("rounds", _ROUNDS), parameters, rounds.teams), *outer]
            return
        onward = self._shift(moving, 1)
        back = self._shift(moving, 1 - rounds.parts)
        self.rows = [*inner, *([onward, *inner] * (rounds.parts - 1)), back, *outer]

    def _shift(self, moving: Sequence[tuple[int, int]], parts: int) -> Row:
        moves = [n for slot, step in moving for n in (slot, step * parts)]
        return compiler.address("shift", _SHIFT), self._table([len(moving), *moves]), 1

    def _table(self, numbers: Sequence[int]) -> int:
        self._kept.append(np.array(numbers, np.int64))
        return self._kept[-1].ctypes.data


_SHIFT = """
define void @shift(ptr %params, ptr %slots, i64 %task) {
entry:
  %count = load i64, ptr %params
  br label %look
look:
  %i = phi i64 [0, %entry], [%i1, %move]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %move, label %done
move:
  %i2 = mul i64 %i, 2
  %a = add i64 %i2, 1
  %pa = getelementptr i64, ptr %params, i64 %a
  %slot = load i64, ptr %pa
  %pb = getelementptr i64, ptr %pa, i64 1
  %step = load i64, ptr %pb
  %at = getelementptr i64, ptr %slots, i64 %slot
  %old = load i64, ptr %at
  %new = add i64 %old, %step
  store i64 %new, ptr %at
  %i1 = add i64 %i, 1
  br label %look
done:
  ret void
}
"""

_FIELDS = ("steps", "table", "count", "teams", "slot_count", "copy", "copy_bytes", "moves")

_ROUNDS = (
    "define void @rounds(ptr %params, ptr %slots, i64 %task) {\nentry:\n"
    + "".join(
        f"  %p{i} = getelementptr i64, ptr %params, i64 {i}\n"
        f"  %{name} = load {'ptr' if name == 'table' else 'i64'}, ptr %p{i}\n"
        for i, name in enumerate(_FIELDS)
    )
    + f"""
  %first = getelementptr i64, ptr %params, i64 {len(_FIELDS)}
  %a = mul i64 %count, %task
  %low = udiv i64 %a, %teams
  %task1 = add i64 %task, 1
  %b = mul i64 %count, %task1
  %high = udiv i64 %b, %teams
  %pc = getelementptr i64, ptr %slots, i64 %copy
  %copies = load ptr, ptr %pc
  %off = mul i64 %task, %copy_bytes
  %own = getelementptr i8, ptr %copies, i64 %off
  br label %copying
copying:
  %c = phi i64 [0, %entry], [%c1, %copied]
  %left = icmp ult i64 %c, %slot_count
  br i1 %left, label %copied, label %round
copied:
  %from = getelementptr i64, ptr %slots, i64 %c
  %to = getelementptr i64, ptr %own, i64 %c
  %word = load i64, ptr %from
  store i64 %word, ptr %to
  %c1 = add i64 %c, 1
  br label %copying
round:
  %r = phi i64 [%low, %copying], [%r1, %next]
  %again = icmp ult i64 %r, %high
  br i1 %again, label %moving, label %done
moving:
  %m = phi i64 [0, %round], [%m1, %moved]
  %entry3 = phi ptr [%first, %round], [%entry4, %moved]
  %onward = icmp ult i64 %m, %moves
  br i1 %onward, label %moved, label %step
moved:
  %slot = load i64, ptr %entry3
  %pt = getelementptr i64, ptr %entry3, i64 1
  %byteam = load i64, ptr %pt
  %pr = getelementptr i64, ptr %entry3, i64 2
  %bypart = load i64, ptr %pr
  %source = getelementptr i64, ptr %slots, i64 %slot
  %base = load i64, ptr %source
  %x = mul i64 %byteam, %task
  %y = mul i64 %bypart, %r
  %xy = add i64 %x, %y
  %place = add i64 %base, %xy
  %target = getelementptr i64, ptr %own, i64 %slot
  store i64 %place, ptr %target
  %m1 = add i64 %m, 1
  %entry4 = getelementptr i64, ptr %entry3, i64 3
  br label %moving
step:
  %s = phi i64 [0, %moving], [%s1, %stepped]
  %row = phi ptr [%table, %moving], [%row1, %stepped]
  %more = icmp ult i64 %s, %steps
  br i1 %more, label %work, label %next
work:
  %kernel = load ptr, ptr %row
  %q1 = getelementptr i64, ptr %row, i64 1
  %numbers = load ptr, ptr %q1
  %q2 = getelementptr i64, ptr %row, i64 2
  %tasks = load i64, ptr %q2
  br label %each
each:
  %t = phi i64 [0, %work], [%t1, %do]
  %some = icmp ult i64 %t, %tasks
  br i1 %some, label %do, label %stepped
do:
  call void %kernel(ptr %numbers, ptr %own, i64 %t)
  %t1 = add i64 %t, 1
  br label %each
stepped:
  %s1 = add i64 %s, 1
  %row1 = getelementptr i64, ptr %row, i64 3
  br label %step
next:
  %r1 = add i64 %r, 1
  br label %round
done:
  ret void
}}
"""
)
