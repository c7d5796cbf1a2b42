"""Local response normalisation across the channels of a blocked value.

y = x · (bias + alpha/size · Σ x²)^−beta, the sum over `size` neighbouring channels (Krizhevsky et al. 2012).
"""

from __future__ import annotations

from functools import cache

from ..emit import FLOAT, INT, Function, Value, vector
from ..layouts import Blocked
from ..program import Kernel, Step
from . import vmath

__all__ = ["lrn", "supports"]

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
        f.store(value * _power(f, scale, -beta), target + i * (4 * lanes), align=4 * lanes)
    return Kernel.of(f)


def _power(f: Function, x: Value, exponent: float) -> Value:
    """x to a power; of the exponents that networks use, through square roots."""
    if exponent == -0.75:
        root = f.call("llvm.sqrt", x)
        return 1.0 / (root * f.call("llvm.sqrt", root))
    if exponent == -0.5:
        return 1.0 / f.call("llvm.sqrt", x)
    return vmath.pow(f, x, f.value(exponent, x.type))
