"""One pass over the registers of a row, and what is found by passes: sums, extrema, moments.

Sums are made in four float32 registers for at most 64 registers of numbers, and from these partial sums in float64: the
error does not grow with the length. The order depends on the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..emit import DOUBLE, FLOAT, INT32, Function, Value, vector

__all__ = ["Operand", "Rows", "first_lanes"]

PARTS, TURNS = 4, 16
"""Registers of partial sums, and how often each is added to before float64 takes over."""

Combine = Callable[[Value, Value], Value]


@dataclass(frozen=True)
class Operand:
    """Addresses of a row's registers: `at` the first, `step` from one position to the next, `line` to the next line."""

    at: Value
    step: Value | int
    line: Value | int = 0


class Rows:
    """A row, or a register's width of neighbouring rows, to be swept once or more.

    Args:
        n: positions in a line; `lines` of a row, of planes more than 1.
        along: a register holds `lanes` positions; else one of each of its rows.
        columns: which lanes are rows at all; None for all.
    """

    def __init__(
        self, f: Function, lanes: int, n: Value, *, along: bool, lines: Value | int = 1, columns: Value | None = None
    ) -> None:
        self.f, self.lanes, self.n, self.along, self.lines, self.columns = f, lanes, n, along, lines, columns
        self.unit = lanes if along else 1
        self.kind = vector(FLOAT, lanes)

    def load(self, x: Operand, line: Value, i: Value, mask: Value | None) -> Value:
        address = self._address(x, line, i)
        return self.f.load(self.kind, address) if mask is None else self.f.load_lanes(self.kind, address, mask)

    def store(self, value: Value, y: Operand, line: Value, i: Value, mask: Value | None) -> None:
        address = self._address(y, line, i)
        if mask is None:
            self.f.store(value, address)
        else:
            self.f.store_lanes(value, address, mask)

    def _address(self, x: Operand, line: Value, i: Value) -> Value:
        return x.at + line * x.line + i * x.step

    @contextmanager
    def _tail(self, whole: Value) -> Iterator[Value]:
        """What does not fill a register: the mask of what is there."""
        with self.f.when(whole < self.n):
            yield first_lanes(self.f, self.n - whole, self.lanes)

    def each(self, do: Callable[[Value, Value, Value | None], None]) -> None:
        """Does something with every register: do(line, position, mask)."""
        whole = self.n - self.n % self.unit
        with self.f.range(self.lines) as line:
            with self.f.range(0, whole, self.unit) as i:
                do(line, i, self.columns)
            if self.along:
                with self._tail(whole) as mask:
                    do(line, whole, mask)

    def fold(
        self, term: Callable[[Value, Value, Value | None], Value], combine: Combine, start: float, *, wide: bool
    ) -> Value:
        """The terms of every register, combined; of one row in a register, also its lanes: see `spread`.

        Returns:
            A number, or a register with one for each of its rows: float64 if `wide`.
        """
        f = self.f
        total = f.variable(vector(DOUBLE if wide else FLOAT, self.lanes), start)
        whole = self.n - self.n % self.unit
        even = whole - whole % (PARTS * self.unit)
        block = PARTS * self.unit * TURNS

        def add(value: Value) -> None:
            total.set(combine(total.get(), f.convert(value, total.type.scalar)))

        with f.range(self.lines) as line:
            parts = [f.variable(self.kind) for _ in range(PARTS)]
            with f.range(0, even, block) as first:
                for part in parts:
                    part.set(start)
                with f.range(first, f.minimum(first + block, even), PARTS * self.unit) as i:
                    for j, part in enumerate(parts):
                        part.set(combine(part.get(), term(line, i + j * self.unit, self.columns)))
                a, b, c, d = (part.get() for part in parts)
                add(combine(combine(a, b), combine(c, d)))
            parts[0].set(start)
            with f.range(even, whole, self.unit) as i:
                parts[0].set(combine(parts[0].get(), term(line, i, self.columns)))
            if self.along:
                with self._tail(whole) as mask:
                    last = f.select(mask, term(line, whole, mask), start)
                    parts[0].set(combine(parts[0].get(), last))
            add(parts[0].get())
        result = total.get()
        return self._across(result, combine) if self.along else result

    def _across(self, x: Value, combine: Combine) -> Value:
        f, width = self.f, self.lanes
        while width > 2:
            width //= 2
            x = combine(f.shuffle(x, x, range(width)), f.shuffle(x, x, range(width, 2 * width)))
        return combine(f.lane(x, 0), f.lane(x, 1))

    def spread(self, x: Value) -> Value:
        """What `fold` found, or what was made of it, for each lane of a register."""
        return self.f.splat(x, self.lanes) if self.along else x

    def sum(self, term: Callable[[Value, Value, Value | None], Value]) -> Value:
        return self.fold(term, lambda a, b: a + b, 0.0, wide=True)

    def moments(self, x: Operand, count: Value, epsilon: Value, centred: bool) -> tuple[Value, Value]:
        """Mean (0 unless centred) and 1/√(variance + ε), for each lane."""
        f = self.f
        mean = f.value(0.0, self.kind)
        if centred:
            total = self.sum(lambda *at: self.load(x, *at))
            mean = self.spread(f.convert(total / self.numbers(count), FLOAT))

        def square(line: Value, i: Value, mask: Value | None) -> Value:
            d = self.load(x, line, i, mask) - mean
            return d * d

        total = self.sum(square)
        root = f.call("llvm.sqrt", total / self.numbers(count) + f.value(epsilon, total.type))
        return mean, self.spread(f.convert(f.value(1.0, root.type) / root, FLOAT))

    def numbers(self, count: Value) -> Value:
        """A whole number as float64, as `fold` gives its results."""
        number = self.f.convert(count, DOUBLE)
        return number if self.along else self.f.splat(number, self.lanes)


def first_lanes(f: Function, count: Value, lanes: int) -> Value:
    """Which lanes have a number below `count`."""
    numbers = ", ".join(f"i32 {i}" for i in range(lanes))
    return Value(f, vector(INT32, lanes), f"<{numbers}>") < f.splat(f.convert(count, INT32), lanes)
