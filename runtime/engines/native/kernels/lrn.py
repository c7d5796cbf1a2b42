"""Local response normalisation across the channels of a blocked value.

y = x · (bias + alpha/size · Σ x²)^−beta, the sum over `size` neighbouring channels (Krizhevsky et al. 2012).
"""

from __future__ import annotations

from functools import cache

from ..emit import FLOAT, INT, INT32, Function, Value, vector
from ..layouts import Blocked
from ..program import Kernel, Step
from . import vmath

__all__ = ["lrn", "power", "supports"]

_GUESS = 0x4F586000
"""Less a quarter of a number's bits, the bits of its power −1/4, within 3.2 %."""
_PLAIN = (1e-30, 1e30)

_PLACE = ("origin", "row", "plane", "image")


def supports(size: int, lanes: int) -> bool:
    """The neighbours of a channel must lie in the blocks next to its own."""
    return 1 <= size <= lanes


def lrn(x: Blocked, y: Blocked, x_slot: int, y_slot: int, *, size: int, alpha: float, beta: float, bias: float) -> Step:
    """One task for each row of each block; the frame of y is left alone. Lanes beyond the last channel stay zero."""
    arguments = {"x": x_slot, "y": y_slot, "blocks": x.blocks, "height": x.shape[2], "width": x.shape[3]}
    for side, layout in (("x", x), ("y", y)):
        arguments |= {f"{side}_{name}": getattr(layout, name) for name in _PLACE}
    tasks = x.shape[0] * x.blocks * x.shape[2]
    return Step(_kernel(x.lanes, size, alpha, beta, bias), arguments, tasks, tasks * x.shape[3] * x.lanes * 20, "LRN")


@cache
def _kernel(lanes: int, size: int, alpha: float, beta: float, bias: float) -> Kernel:
    fields = ["x", "y", "blocks", "height", "width", *(f"{side}_{name}" for side in "xy" for name in _PLACE)]
    name = f"lrn_{lanes}_{size}_{alpha!r}_{beta!r}_{bias!r}"
    f = Function("".join(c if c.isalnum() else "_" for c in name), fields)
    height, blocks = f.number("height"), f.number("blocks")
    row, plane = f.task % height, f.task // height
    block, image = plane % blocks, plane // blocks
    source, target = (
        f.pointer(side)
        + f.number(f"{side}_origin")
        + image * f.number(f"{side}_image")
        + block * f.number(f"{side}_plane")
        + row * f.number(f"{side}_row")
        for side in "xy"
    )
    before, after = (size - 1) // 2, size // 2
    apart = f.number("x_plane")
    first, last = block.equals(0), block.equals(blocks - 1)
    # At the ends the block itself stands in for the missing neighbour, and counts for nothing.
    to_previous = f.select(first, f.value(0, INT), f.value(0, INT) - apart)
    to_next = f.select(last, f.value(0, INT), apart)
    register = vector(FLOAT, lanes)
    nothing = f.value(0.0, register)
    with f.range(f.number("width")) as i:
        at = source + i * (4 * lanes)
        value = f.load(register, at, align=4 * lanes)
        neighbours = [f.load(register, at + offset, align=4 * lanes) for offset in (to_previous, to_next)]
        previous = f.select(first, nothing, neighbours[0] * neighbours[0])
        following = f.select(last, nothing, neighbours[1] * neighbours[1])
        square = value * value
        total = square
        for d in range(1, before + 1):
            total = total + f.shuffle(previous, square, range(lanes - d, 2 * lanes - d))
        for d in range(1, after + 1):
            total = total + f.shuffle(square, following, range(d, lanes + d))
        scale = f.fma(total, f.value(alpha / size, register), f.value(bias, register))
        f.store(value * power(f, scale, -beta), target + i * (4 * lanes), align=4 * lanes)
    return Kernel.of(f)


def power(f: Function, x: Value, exponent: float) -> Value:
    """x to a power; of the exponents that networks use, through roots."""
    if exponent == -0.75:
        return _three_quarters(f, x)
    if exponent == -0.5:
        return 1.0 / f.call("llvm.sqrt", x)
    return vmath.pow(f, x, f.value(exponent, x.type))


def _three_quarters(f: Function, x: Value) -> Value:
    """x^(−3/4), within 1.9 ULP: a guess y of x^(−1/4) from the bits, and series in h = 1 − x·y⁴ that mend it.

    y·(1 − h)^(−1/4) is right to 12 bits, and with that y, y³·(1 − h)^(−3/4) to 30. Where some x is so large or small
    that y⁴ might not be a normal number, square roots do it, within 3.5 ULP.
    """
    kind = vector(INT32, x.type.lanes)
    y = f.bitcast(f.value(_GUESS, kind) - f.binary("lshr", f.bitcast(x, kind), 2), x.type)
    y = _mended(f, y, x, y, 1 / 4, 5 / 32)
    result = f.variable(x.type, _mended(f, y * y * y, x, y, 3 / 4, 21 / 32))
    low, high = _PLAIN
    with f.when(f.some(((x > low) & (x < high)) ^ 1)):
        root = f.call("llvm.sqrt", x)
        result.set(1.0 / (root * f.call("llvm.sqrt", root)))
    return result.get()


def _mended(f: Function, start: Value, x: Value, y: Value, first: float, second: float) -> Value:
    """start·(1 + first·h + second·h²)"""
    square = y * y
    h = f.fma(-x, square * square, f.value(1.0, x.type))
    series = f.fma(h, f.value(second, x.type), f.value(first, x.type))
    return f.fma(start * h, series, start)
