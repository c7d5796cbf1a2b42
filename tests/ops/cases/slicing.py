"""Cutting, joining, padding and repeating."""

from __future__ import annotations

import numpy as np

from striate.runtime.ops import GRAD_DOMAIN

from ..table import Case, case, ints, real

TEXT = np.array([["a", "bc"], ["d", "e"]], object)
LOWEST, HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def _slices(x, key):
    return lambda *inputs, **attrs: inputs[0][key]


def _padded(*widths, crop=..., **options):
    """What NumPy pads, after cropping."""
    return lambda x, *inputs, **attrs: np.pad(x[crop], widths, attrs.get("mode", "constant"), **options)


def _slice_grad(dY, shape, starts, ends, axes=None, steps=None):
    out = np.zeros(shape)
    key = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        key[axis] = slice(start, end, step)
    out[tuple(key)] = dY
    return out


def _pad_grad(dY, shape, pads, axes=None, mode=""):
    """Element by element, through what `Pad` makes of the elements' numbers."""
    numbers = np.pad(np.arange(np.prod(shape)).reshape(shape), np.reshape(pads, (2, -1)).T, mode)
    return np.bincount(numbers.ravel(), dY.ravel(), minlength=int(np.prod(shape))).reshape(shape)


CASES: list[Case] = [
    case("Concat", real(2, 3), real(2, 1), opset=1, expect=lambda a, b: np.concatenate([a, b], 1)),
    case("Concat", real(2, 3), real(1, 3), opset=4, axis=0),
    case("Concat", real(2, 3), real(2, 1), real(2, 2), axis=-1, grad=(0, 1, 2)),
    case("Concat", real(2, 3), axis=1, grad=(0,), name="one"),
    case("Concat", TEXT, TEXT, axis=0, name="strings"),
    case("Split", real(4, 2), [1.0, 3.0], opset=1, outputs=2, axis=0, expect=lambda x, s, axis: (x[:1], x[1:])),
    case("Split", real(2, 4), opset=1, outputs=2, axis=1, split=[3, 1], expect=lambda x, **_: (x[:, :3], x[:, 3:]),
         name="attribute"),
    case("Split", real(4, 2), opset=2, outputs=2),
    case("Split", real(2, 5), opset=11, outputs=3, axis=-1, split=[2, 0, 3]),
    case("Split", real(2, 5), [4, 1], opset=13, outputs=2, axis=1),
    case("Split", real(2, 5), [4, 1], outputs=2, axis=1, grad=(0,), name="sizes"),
    case("Split", real(7, 2), outputs=3, num_outputs=3, grad=(0,), name="smaller last"),
    case("Slice", real(4, 5), opset=1, starts=[1, -3], ends=[-1, 1000], axes=[0, 1]),
    case("Slice", real(4, 5), [1, 0], [3, 5], opset=10),
    case("Slice", real(4, 5), [3, 1], [1, HIGHEST], [-1, 0], [-1, 2], grad=(0,), name="steps"),
    case("Slice", real(4, 3), [-1], [LOWEST], [0], [-2], grad=(0,), expect=_slices(0, np.s_[::-2]),
         name="to the start"),
    case("Slice", real(3), [0], [2], [0], [-1], name="nothing"),
    case("Slice", real(3), [-9], [LOWEST], [0], [-1], expect=_slices(0, np.s_[:1]), name="clamped start"),
    case("Slice", real(0, 3), [0], [LOWEST], [0], [-1], name="empty"),
    case("Slice", real(4, 5), ints(2, low=1, high=2, dtype=np.int32), np.array([3, 4], np.int32), name="int32"),
    case(
        "SliceGrad", real(2, 2), [4, 5], [3, 1], [0, 5], [0, 1], [-2, 2],
        domain=GRAD_DOMAIN, opset=1, grad=(0,), expect=_slice_grad,
    ),
    case("Pad", real(2, 3), opset=1, paddings=[0, 1, 2, 0], value=1.5),
    case("Pad", real(2, 3), opset=2, pads=[0, 2, 1, 0], mode="reflect", expect=_padded((0, 1), (2, 0))),
    case("Pad", real(2, 3), [0, 2, 1, 0], opset=11, mode="edge"),
    case("Pad", real(2, 3), [1, 2, 0, 1], 0.5, grad=(0, 2), name="constant"),
    case("Pad", real(3, 4), [2, -1], None, [-1], grad=(0,), expect=_padded((0, 0), (2, 0), crop=np.s_[:, :3]),
         name="crop"),
    case("Pad", real(3), [-5, 4], expect=lambda x, pads: np.zeros(2), name="crop all"),
    case("Pad", real(2, 3), [0, 5, 1, 2], mode="reflect", grad=(0,), name="reflect"),
    case("Pad", real(2, 1), [0, 2, 0, 1], mode="reflect", expect=_padded((0, 0), (2, 1)), name="reflect one"),
    case("Pad", real(2, 3), [1, 2, 0, 3], mode="edge", grad=(0,), name="edge"),
    case("Pad", real(2, 3), [1, 4, 0, 3], mode="wrap", grad=(0,), name="wrap"),
    case(
        "Pad", real(2, 4), [0, -1, 1, 2],
        mode="reflect", grad=(0,), expect=_padded((0, 1), (0, 2), crop=np.s_[:, 1:]), name="crop and reflect",
    ),
    case("Pad", real(2, 3), np.zeros(4, np.int64), mode="edge", name="nothing"),
    case("Pad", np.array([True, False]), [1, 0], name="bool"),
    case(
        "PadGrad", real(3, 7), [2, 3], [0, 3, 1, 1],
        domain=GRAD_DOMAIN, opset=1, mode="reflect", grad=(0,), expect=_pad_grad,
    ),
    case("PadGrad", real(4, 6), [2, 3], [1, 2, 1, 1], domain=GRAD_DOMAIN, opset=1, mode="edge", expect=_pad_grad,
         name="edge"),
    case("Expand", real(3, 1), [2, 1, 4], opset=8),
    case("Expand", real(3, 1), [2, 1, 4], grad=(0,)),
    case("Expand", real(3, 4), [1], grad=(0,), name="smaller"),
    case("Expand", real(1, 2), [0, 2], name="to nothing"),
    case("Tile", real(2, 3), 2.0, 1.0, opset=1, expect=lambda x, *_: np.tile(x, (1, 2))),
    case("Tile", real(2, 3), [3, 2], grad=(0,)),
    case("Tile", TEXT, [1, 2], opset=6, name="strings"),
    case("Tile", real(2), [0], grad=(0,), name="zero times"),
    case("Trilu", real(3, 4), grad=(0,)),
    case("Trilu", real(2, 3, 3), np.array(-1), upper=0, grad=(0,), name="lower"),
    case("Trilu", ints(3, 2), np.array([9]), expect=lambda x, k: np.zeros_like(x), name="beyond"),
    case("Trilu", np.array([["a", "b"], ["c", "d"]]), expect=lambda x: np.array([["a", "b"], ["", "d"]], object),
         name="text"),
]  # fmt: skip
