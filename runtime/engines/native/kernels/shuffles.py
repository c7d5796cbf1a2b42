"""Registers turned into each other."""

from __future__ import annotations

from collections.abc import Sequence

from ..emit import Function, Value

__all__ = ["transposed"]

_PART = 16
"""Bytes of the parts of a register within which processors shuffle most cheaply."""


def transposed(f: Function, rows: Sequence[Value]) -> list[Value]:
    """n registers of n lanes, n a power of two: lane j of register i becomes lane i of register j.

    Stage j takes the registers whose numbers differ in bit j, and gives one the even, the other the odd elements of
    both: first within parts of registers, then of whole parts. Each of these shuffles is one instruction on x86.
    """
    found, n = list(rows), len(rows)
    part = min(n, max(1, _PART // rows[0].type.nbytes))
    for bit in (1 << j for j in range(n.bit_length() - 1)):
        unit, span = (1, part) if bit < part else (part, n)
        even = _every_second(n, unit, span)
        odd = [i + unit for i in even]
        for i in (i for i in range(n) if not i & bit):
            a, b = found[i], found[i | bit]
            found[i], found[i | bit] = f.shuffle(a, b, even), f.shuffle(a, b, odd)
    return found


def _every_second(n: int, unit: int, span: int) -> list[int]:
    """Of each `span` lanes of two registers, the units of `unit` lanes with even numbers: the first's, the second's."""
    firsts = (start + side * n + u for start in range(0, n, span) for side in (0, 1) for u in range(0, span, 2 * unit))
    return [first + i for first in firsts for i in range(unit)]
