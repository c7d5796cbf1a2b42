"""Rows of operators that slide windows: convolutions, pools; resizing; recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graphs import FLOATS, Maker, Value
from .rows import row


def _image(g: Maker, op: str, least: int = 1, only: Any = FLOATS) -> Value:
    """A value of rank 3 to 5 whose spatial sizes are not zero."""
    return g.of(op, rank=(3, 5), only=only, where=lambda v: v.data.size > 0 and min(v.shape[2:]) >= least,
                new=lambda t: g.new(t, [g.integer(1, 2), g.integer(1, 4),
                                        *(g.integer(least, 6) for _ in range(g.choice([2, 1, 3])))]))  # fmt: skip


def _geometry(g: Maker, sizes: tuple[int, ...]) -> dict[str, Any]:
    """kernel_shape, strides, dilations and padding; at least one window fits."""
    kernel = [g.integer(1, min(3, n)) for n in sizes]
    dilations = [g.integer(1, 2) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, sizes, strict=True)]
    strides = [g.integer(1, 3) for _ in sizes]
    made: dict[str, Any] = {"kernel_shape": kernel}
    if g.chance(50):
        made["strides"] = strides
    if any(d > 1 for d in dilations) and g.chance(60):
        made["dilations"] = dilations
    way = g.choice(["none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    if way == "pads":
        made["pads"] = [g.integer(0, k - 1) for k in kernel * 2]
    elif way != "none" and not (way.startswith("SAME") and "dilations" in made):
        made["auto_pad"] = way
        if way.startswith("SAME") and "strides" in made:  # else its padding would be negative
            made["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    return made


@row("Conv", weight=4)
def conv(g: Maker, op: str) -> None:
    x = _image(g, op)
    channels = x.shape[1]
    group = g.choice([d for d in range(1, channels + 1) if channels % d == 0])
    out = group * g.integer(1, 2)
    attrs = _geometry(g, x.shape[2:])
    w = g.new(x.dtype, (out, channels // group, *attrs["kernel_shape"]), -1, 1)
    if g.chance(30):
        del attrs["kernel_shape"]
    g.node(op, [x, w, g.maybe(60, lambda: g.new(x.dtype, (out,)))], group=group if group > 1 else None, **attrs)


@row("ConvInteger", exact=True)
def conv_integer(g: Maker, op: str) -> None:
    x = _image(g, op, only=["uint8"])
    attrs = _geometry(g, x.shape[2:])
    w = g.new("uint8", (g.integer(1, 3), x.shape[1], *attrs["kernel_shape"]))
    zeros = g.maybe(50, lambda: g.new(x.dtype, (), 0, 3)), g.maybe(50, lambda: g.new(w.dtype, (), 0, 3))
    g.node(op, [x, w, *zeros], **attrs)


@row("ConvTranspose", weight=2)
def conv_transpose(g: Maker, op: str) -> None:
    x = _image(g, op)
    channels, rank = x.shape[1], x.rank - 2
    group = g.choice([d for d in range(1, channels + 1) if channels % d == 0])
    out = g.integer(1, 2)
    kernel = [g.integer(1, 3) for _ in range(rank)]
    w = g.new(x.dtype, (channels, out, *kernel), -1, 1)
    attrs: dict[str, Any] = {}
    strides = [g.integer(1, 2) for _ in range(rank)]
    if g.chance(60):
        attrs["strides"] = strides
    else:
        strides = [1] * rank
    if g.chance(25):
        attrs["dilations"] = [g.integer(1, 2) for _ in range(rank)]
    way = g.choice(["none", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if way == "pads":
        attrs["pads"] = [g.integer(0, (k - 1) // 2) for k in kernel * 2]
        if g.chance(40):
            attrs["output_padding"] = [g.integer(0, s - 1) for s in strides]
    elif way != "none":
        attrs["auto_pad"] = way
    if g.chance(50):
        attrs["kernel_shape"] = kernel
    bias = g.maybe(60, lambda: g.new(x.dtype, (out * group,)))
    g.node(op, [x, w, bias], group=group if group > 1 else None, **attrs)


@row("MaxPool", weight=2, exact=True)
@row("AveragePool", "LpPool", weight=2)
def pool(g: Maker, op: str) -> None:
    x = _image(g, op)
    attrs = _geometry(g, x.shape[2:])
    if (op == "AveragePool" and g.opset < 19) or (op == "LpPool" and g.opset < 18):
        attrs.pop("dilations", None)
    if op != "LpPool" or g.opset >= 18:
        attrs["ceil_mode"] = g.maybe(30, lambda: g.integer(0, 1))
    if op == "LpPool":
        attrs["p"] = g.choice([None, 1, 2, 3])
    if op == "AveragePool":
        attrs["count_include_pad"] = g.maybe(50, lambda: g.integer(0, 1))
    indices = op == "MaxPool" and x.dtype != "float16" and g.chance(30)
    if indices:
        attrs["storage_order"] = g.maybe(30, lambda: g.integer(0, 1))
    g.node(op, [x], 2 if indices else 1, **attrs)


@row("GlobalMaxPool", exact=True)
@row("GlobalAveragePool", "GlobalLpPool")
def global_pool(g: Maker, op: str) -> None:
    g.node(op, [_image(g, op)], p=g.choice([None, 1, 2]) if op == "GlobalLpPool" else None)


@row("Resize")
def resize(g: Maker, op: str) -> None:
    """Modes and coordinates of every version; the tensor to crop to is left out."""
    x = g.of(op, rank=(2, 4), only=FLOATS, where=lambda v: v.data.size > 0 and v.data.size <= 100,
             new=lambda t: g.new(t, (1, 2, g.integer(1, 5), g.integer(1, 5))))  # fmt: skip
    spatial = [1.0] * (x.rank - 2) + [g.choice([2.0, 0.5, 1.5, 1.0, 0.625, 3.0]) for _ in range(2)]
    mode = g.choice(["nearest", "linear", "cubic"])
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": g.choice(
        [None, "asymmetric", "align_corners", "pytorch_half_pixel"])}  # fmt: skip
    if mode == "nearest":
        attrs["nearest_mode"] = g.choice([None, "floor", "ceil", "round_prefer_ceil"])
    if mode == "cubic":
        attrs["cubic_coeff_a"] = g.choice([None, -0.5])
        attrs["exclude_outside"] = g.choice([None, 1])
    if g.opset >= 18 and mode != "nearest" and g.chance(30):
        attrs["antialias"] = 1
    sizes = [max(1, int(np.floor(n * s))) for n, s in zip(x.shape, spatial, strict=True)]
    if g.chance(50):
        g.node(op, [x, None, g.source(np.array(spatial, np.float32), dynamic=25)], **attrs)
    else:
        g.node(op, [x, None, None, g.ints(sizes)], **attrs)


@row("RNN", "GRU", "LSTM")
def recurrent(g: Maker, op: str) -> None:
    x = g.of(op, rank=(3, 3), only=["float32"], where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, (g.integer(1, 3), g.integer(1, 2), g.integer(1, 3))))  # fmt: skip
    steps, batch, size = x.shape
    gates, hidden = {"RNN": 1, "GRU": 3, "LSTM": 4}[op], g.integer(1, 3)
    direction = g.choice(["forward", "reverse", "bidirectional"])
    n = 2 if direction == "bidirectional" else 1
    inputs: list[Value | None] = [x, g.new(x.dtype, (n, gates * hidden, size), -1, 1),
                                  g.new(x.dtype, (n, gates * hidden, hidden), -1, 1)]  # fmt: skip
    inputs.append(g.maybe(60, lambda: g.new(x.dtype, (n, 2 * gates * hidden), -1, 1)))
    inputs.append(g.maybe(20, lambda: g.new("int32", (batch,), steps, steps)))
    inputs += [g.maybe(40, lambda: g.new(x.dtype, (n, batch, hidden), -1, 1)) for _ in range(2 if op == "LSTM" else 1)]
    attrs: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if op == "GRU":
        attrs["linear_before_reset"] = g.choice([None, 1])
    if op == "LSTM" and g.chance(20):
        inputs.append(g.new(x.dtype, (n, 3 * hidden), -1, 1))
    g.node(op, inputs, [g.chance(70), True, op == "LSTM" and g.chance(50)][: 3 if op == "LSTM" else 2], **attrs)


@row("Col2Im")
def col2im(g: Maker, op: str) -> None:
    image, block = (g.integer(2, 4), g.integer(2, 4)), (g.integer(1, 2), g.integer(1, 2))
    places = int(np.prod([i - b + 1 for i, b in zip(image, block, strict=True)]))
    x = g.new(g.choice(FLOATS[:2]), (1, 2 * block[0] * block[1], places))
    g.node(op, [x, g.ints(image), g.ints(block)])


@row("GridSample")
def grid_sample(g: Maker, op: str) -> None:
    x = g.of(op, rank=(4, 4), only=FLOATS[:2], where=lambda v: v.data.size > 0,
             new=lambda t: g.new(t, (1, 2, g.integer(1, 4), g.integer(1, 4))))  # fmt: skip
    grid = g.new(x.dtype, (x.shape[0], g.integer(1, 3), g.integer(1, 3), 2), -1.3, 1.3)
    modes = ["linear", "nearest", "cubic"] if g.opset >= 20 else ["bilinear", "nearest", "bicubic"]
    g.node(op, [x, grid], mode=g.choice(modes), padding_mode=g.choice(["zeros", "border", "reflection"]),
           align_corners=g.choice([None, 1]))  # fmt: skip
