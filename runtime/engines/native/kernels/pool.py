"""Pooling of blocked values: the largest or the mean of each window, one register of channels at a time.

    form     when                                       how
    whole    one window, the plane                      a few partial results side by side
    near     small windows without holes                columns of windows first, which neighbouring windows share
    any      all others                                 element by element

Windows are cut off at the border of the picture, so the frame of the input is never read. Rows or columns of a window
are summed apart: the error of a mean grows with the window's edge, not with its area.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce

from ..emit import BOOL, FLOAT, INT, Function, Value, vector
from ..layouts import Blocked
from ..program import Kernel, Step
from . import vmath

__all__ = ["pool"]

TASK = 65536
"""Bytes read and written in a task, about."""
NEAR = 3
"""Rows and columns of windows that are computed by columns, at most."""
TOGETHER = 4
"""Windows computed at once where they share columns."""
PARTS = 4
"""Partial results of a whole plane, so that additions do not wait for each other."""
PIECE = 64
"""Positions of a plane that are added up apart: equal numbers err all in one direction."""

_AXES = ("height", "width")
_NUMBERS = ("in", "out", "kernel", "stride", "dilation", "pad", "pad_end")
_PLACE = ("origin", "row", "plane", "image")
_FIELDS = (
    *("x", "y", "blocks", "units", "group", "first", "stop"),
    *(f"{axis}_{n}" for axis in _AXES for n in _NUMBERS),
    *(f"{side}_{n}" for side in "xy" for n in _PLACE),
)


def pool(
    kind: str,
    x: Blocked,
    y: Blocked,
    x_slot: int,
    y_slot: int,
    *,
    kernel: Sequence[int],
    strides: Sequence[int] = (1, 1),
    dilations: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    include_pad: bool = False,
) -> Step:
    """MaxPool or AveragePool; the frame of y is left alone. A task is some rows of the result.

    Args:
        kind: `max` or `mean`.
        pads: top, left, bottom, right; `include_pad` counts them as zeros in the mean.
    """
    arguments = {"x": x_slot, "y": y_slot, "blocks": x.blocks}
    for axis, name in enumerate(_AXES):
        values = (x.shape[2 + axis], y.shape[2 + axis], kernel[axis], strides[axis], dilations[axis], pads[axis])
        arguments |= {f"{name}_{n}": v for n, v in zip(_NUMBERS, (*values, pads[2 + axis]), strict=True)}
    for side, layout in (("x", x), ("y", y)):
        arguments |= {f"{side}_{n}": getattr(layout, n) for n in _PLACE}
    form = _form(arguments)
    code = _whole(kind, x.lanes) if form == "whole" else _windows(kind, x.lanes, include_pad, form)
    units = y.shape[0] * y.blocks * y.shape[2]
    nbytes = x.plane if form == "whole" else strides[0] * x.row + y.row
    group = max(1, min(units, TASK // max(nbytes, 1)))
    first, stop = _inner(arguments)
    arguments |= {"units": units, "group": group, "first": first, "stop": stop}
    flops = units * y.shape[3] * y.lanes * kernel[0] * kernel[1]
    return Step(code, arguments, -(-units // group), flops, f"{kind} pool {list(kernel)}")


@dataclass(frozen=True)
class _Near:
    """What the kernel of small windows is specialised for."""

    rows: int
    columns: int
    stride: int


def _form(a: dict[str, int]) -> _Near | str:
    dense = all(a[f"{axis}_dilation"] == 1 for axis in _AXES)
    if dense and all(a[f"{i}_out"] == 1 and a[f"{i}_kernel"] == a[f"{i}_in"] and not a[f"{i}_pad"] for i in _AXES):
        return "whole"
    rows, columns = (a[f"{axis}_kernel"] for axis in _AXES)
    lasts = [(a[f"{axis}_out"] - 1) * a[f"{axis}_stride"] - a[f"{axis}_pad"] for axis in _AXES]
    never_empty = all(
        a[f"{axis}_pad"] < a[f"{axis}_kernel"] and last < a[f"{axis}_in"]
        for axis, last in zip(_AXES, lasts, strict=True)
    )
    small = max(rows, columns, a["width_stride"]) <= NEAR
    return _Near(rows, columns, a["width_stride"]) if dense and small and never_empty else "any"


def _inner(a: dict[str, int]) -> tuple[int, int]:
    """The first window of a row, and the one after the last, of those that no border cuts at its side."""
    stride, pad = a["width_stride"], a["width_pad"]
    first = min(-(-pad // stride), a["width_out"])
    fit = (a["width_in"] + pad - a["width_kernel"]) // stride + 1
    return first, max(first, min(fit, a["width_out"]))


# ---- windows


@cache
def _windows(kind: str, lanes: int, include_pad: bool, form: _Near | str) -> Kernel:
    shape = f"near_{form.rows}x{form.columns}s{form.stride}" if isinstance(form, _Near) else form
    f = Function(f"{kind}_pool_{shape}_{lanes}{'_padded' if include_pad else ''}", _FIELDS)
    first = f.task * f.number("group")
    with f.range(first, f.minimum(first + f.number("group"), f.number("units"))) as unit:
        row = _Row(f, kind, lanes, include_pad, unit)
        if isinstance(form, _Near):
            row.near(form)
        else:
            with f.range(f.number("width_out")) as ox:
                row.window(ox)
    return Kernel.of(f)


class _Row:
    """Writes what computes a row of the result."""

    def __init__(self, f: Function, kind: str, lanes: int, include_pad: bool, unit: Value) -> None:
        self.f, self.kind, self.include_pad = f, kind, include_pad
        self.register = vector(FLOAT, lanes)
        self.pixel = self.register.size
        rows, blocks = f.number("height_out"), f.number("blocks")
        self.y, plane = unit % rows, unit // rows
        block, image = plane % blocks, plane // blocks
        source, self.target = (
            f.pointer(side)
            + (f.number(f"{side}_origin") + image * f.number(f"{side}_image") + block * f.number(f"{side}_plane"))
            for side in "xy"
        )
        self.target = self.target + self.y * f.number("y_row")
        self.top, self.bottom = _inside(f, "height", self.y)
        start = self.y * f.number("height_stride") - f.number("height_pad")
        self.between = f.number("x_row") * f.number("height_dilation")
        self.source = source + (start * f.number("x_row") + self.top * self.between)
        """The first row of the windows that is inside of the picture; the next is `between` bytes away."""
        self.start = f.value(float("-inf") if kind == "max" else 0.0, self.register)

    def window(self, ox: Value) -> None:
        """Any window."""
        f = self.f
        left, right = _inside(f, "width", ox)
        column = (ox * f.number("width_stride") - f.number("width_pad")) * self.pixel
        step = f.number("width_dilation") * self.pixel
        total = f.variable(self.register, self.start)
        with f.range(self.bottom - self.top) as r:
            line = f.variable(self.register, self.start)
            with f.range(left, right) as s:
                line.set(self.joined([line.get(), self.load(r * self.between + column + s * step)]))
            total.set(self.joined([total.get(), line.get()]))
        result = total.get()
        if self.kind == "mean":
            result = result / f.splat(self.count(ox, left, right), self.register.lanes)
        f.store(result, self.target + ox * self.pixel, self.pixel)

    def near(self, form: _Near) -> None:
        """All windows. Where rows are missing another one stands in for them, if it may be looked at twice."""
        f, inside = self.f, self.bottom - self.top
        if self.kind == "max":
            self.all(form, [f.minimum(inside - 1, r) for r in range(form.rows)])
        else:
            for height in range(1, form.rows + 1):
                with f.when(inside.equals(height)):
                    self.all(form, [f.value(r, INT) for r in range(height)])

    def all(self, form: _Near, rows: Sequence[Value]) -> None:
        """All windows, of these rows."""
        f, first, stop = self.f, self.f.number("first"), self.f.number("stop")
        for begin, end in ((f.value(0, INT), first), (stop, f.number("width_out"))):
            with f.range(begin, end) as ox:
                self.cut(form, rows, ox)
        together = TOGETHER if form.columns > form.stride else 1
        whole = first + (stop - first) // together * together
        scale = self.scale(first, f.value(0, INT), f.number("width_kernel"))
        for number, begin, end in ((together, first, whole), (1, whole, stop)):
            with f.range(begin, end, number) as ox:
                self.some(form, rows, ox, number, scale)

    def cut(self, form: _Near, rows: Sequence[Value], ox: Value) -> None:
        """A window that lies in part beside the picture."""
        f = self.f
        left, right = _inside(f, "width", ox)
        at = (ox * form.stride - f.number("width_pad") + left) * self.pixel
        scale = self.scale(ox, left, right)
        for width in range(1, form.columns):
            with f.when((right - left).equals(width)):
                self.put(self.columns(rows, at, width), ox, scale)

    def some(self, form: _Near, rows: Sequence[Value], ox: Value, number: int, scale: Value | None) -> None:
        """Windows ox … ox + number − 1."""
        left = (ox * form.stride - self.f.number("width_pad")) * self.pixel
        columns = self.columns(rows, left, (number - 1) * form.stride + form.columns)
        for i in range(number):
            self.put(columns[i * form.stride :][: form.columns], ox + i, scale)

    def columns(self, rows: Sequence[Value], left: Value, number: int) -> list[Value]:
        """Each of `number` columns of windows as one register."""
        lines = [left + r * self.between for r in rows]
        return [self.joined([self.load(line + c * self.pixel) for line in lines]) for c in range(number)]

    def put(self, columns: Sequence[Value], ox: Value, scale: Value | None) -> None:
        result = self.joined(columns)
        self.f.store(result if scale is None else result * scale, self.target + ox * self.pixel, self.pixel)

    def scale(self, ox: Value, left: Value, right: Value) -> Value | None:
        """What makes a mean of a sum."""
        if self.kind != "mean":
            return None
        return self.f.splat(self.f.value(1.0, FLOAT) / self.count(ox, left, right), self.register.lanes)

    def load(self, offset: Value) -> Value:
        return self.f.load(self.register, self.source + offset, self.pixel)

    def joined(self, values: Sequence[Value]) -> Value:
        return _greatest(self.f, values) if self.kind == "max" else reduce(lambda a, b: a + b, values)

    def count(self, ox: Value, left: Value, right: Value) -> Value:
        """How many elements the mean is of: those inside, or those that lie in the picture or its padding."""
        f = self.f
        if not self.include_pad:
            return f.convert(f.maximum((self.bottom - self.top) * (right - left), 1), FLOAT)
        counts = []
        for axis, o in zip(_AXES, (self.y, ox), strict=True):
            dilation = f.number(f"{axis}_dilation")
            end = f.number(f"{axis}_in") + f.number(f"{axis}_pad") + f.number(f"{axis}_pad_end")
            room = f.maximum(end - o * f.number(f"{axis}_stride") + dilation - 1, 0) // dilation
            counts.append(f.minimum(room, f.number(f"{axis}_kernel")))
        return f.convert(f.maximum(counts[0] * counts[1], 1), FLOAT)


def _inside(f: Function, axis: str, o: Value) -> tuple[Value, Value]:
    """The taps of window `o` that lie inside the picture: from the first to before the last."""
    before = f.number(f"{axis}_pad") - o * f.number(f"{axis}_stride")
    dilation = f.number(f"{axis}_dilation")
    first = f.maximum(before + dilation - 1, 0) // dilation
    last = f.maximum(before + f.number(f"{axis}_in") + dilation - 1, 0) // dilation
    return first, f.maximum(f.minimum(last, f.number(f"{axis}_kernel")), first)


def _greatest(f: Function, values: Sequence[Value]) -> Value:
    """The largest, NaN if any is.

    A comparison gives the later of two operands if either is NaN, so that only a NaN before the last may get lost.
    These are looked for in pairs.
    """
    if len(values) == 1:
        return values[0]
    result = reduce(lambda a, b: f.select(a > b, a, b), values)
    early = list(values[:-1])
    pairs = zip(early[::2], [*early[1::2], early[-1]], strict=False)
    kind, flags = values[0].type, vector(BOOL, values[0].type.lanes)
    lost = reduce(lambda a, b: a | b, [f.emit(flags, f"fcmp uno {kind} {a.text}, {b.text}") for a, b in pairs])
    return f.select(lost, f.value(float("nan"), kind), result)


# ---- planes


@cache
def _whole(kind: str, lanes: int) -> Kernel:
    f = Function(f"{kind}_pool_whole_{lanes}", _FIELDS)
    register = vector(FLOAT, lanes)
    combine: Callable[[Value, Value], Value] = (
        (lambda a, b: vmath.maximum(f, a, b)) if kind == "max" else (lambda a, b: a + b)
    )
    start = f.value(float("-inf") if kind == "max" else 0.0, register)
    first, blocks = f.task * f.number("group"), f.number("blocks")
    height, width = f.number("height_in"), f.number("width_in")
    # Rows that lie beside each other are one.
    beside = f.number("x_row").equals(width * register.size)
    lines, length = f.select(beside, f.value(1, INT), height), f.select(beside, height * width, width)
    with f.range(first, f.minimum(first + f.number("group"), f.number("units"))) as unit:
        block, image = unit % blocks, unit // blocks
        source, target = (
            f.pointer(side)
            + (f.number(f"{side}_origin") + image * f.number(f"{side}_image") + block * f.number(f"{side}_plane"))
            for side in "xy"
        )
        parts = [f.variable(register) for _ in range(PARTS)]
        total = f.variable(register, start)
        with f.range(lines) as y, f.range(0, length, PIECE) as begin:
            line = source + y * f.number("x_row") + begin * register.size
            count = f.minimum(length - begin, PIECE)
            even = count // PARTS * PARTS
            for part in parts:
                part.set(start)
            with f.range(0, even, PARTS) as i:
                for j, part in enumerate(parts):
                    part.set(combine(part.get(), f.load(register, line + (i + j) * register.size, register.size)))
            for j, part in enumerate(parts[:-1]):
                with f.when(even + j < count):
                    part.set(combine(part.get(), f.load(register, line + (even + j) * register.size, register.size)))
            a, b, c, d = (part.get() for part in parts)
            total.set(combine(total.get(), combine(combine(a, b), combine(c, d))))
        result = total.get()
        if kind == "mean":
            result = result / f.splat(f.convert(height * width, FLOAT), lanes)
        f.store(result, target, register.size)
    return Kernel.of(f)
