"""Resize and Upsample."""

from __future__ import annotations

import itertools

import numpy as np

from striate.runtime.ops import GRAD_DOMAIN

from ..table import Case, case, ints, real

MODES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
BOTH = ("float64", "float32")
CUBIC = ("float32",)
"""The reference computes cubic weights in float32, whatever the dtype."""


def scales(*numbers):
    return np.array(numbers, np.float32)


def _repeated(*factors):
    def expect(x, *_, **attrs):
        for axis, factor in enumerate(factors):
            x = np.repeat(x, factor, axis)
        return x

    return expect


def _linear_asymmetric(x, *_, **attrs):
    """Twice as wide: halfway between neighbours, the last element repeated."""
    after = np.concatenate([x[..., 1:], x[..., -1:]], -1)
    return np.stack([x, (x + after) / 2], -1).reshape(*x.shape[:-1], -1)


def _blocks_summed(dY, shape, *_, **attrs):
    n, c, h, w = shape
    return dY.reshape(n, c, h, 2, w, 2).sum((3, 5))


CASES: list[Case] = [
    case("Resize", real(1, 1, 2, 2), scales(1, 1, 2, 3), opset=10, expect=_repeated(1, 1, 2, 3)),
    case("Resize", np.arange(20.0), scales(0.35), opset=10, expect=lambda x, s: x[::3], name="shrunk"),
    case("Resize", real(1, 1, 1, 3), scales(1, 1, 1, 2), opset=10, mode="linear", expect=_linear_asymmetric,
         name="linear"),
    case("Resize", real(1, 1, 4, 3), scales(), scales(1, 1, 0.6, 2), opset=11),
    case("Resize", np.arange(3.0), scales(), scales(2), opset=11, expect=lambda x, *_, **a: x[[0, 1, 1, 2, 2, 2]],
         coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="round_prefer_floor",
         name="half pixel nn"),
    case("Resize", real(1, 1, 4, 3), None, None, [1, 1, 3, 7], opset=13, mode="cubic", dtypes=CUBIC),
    *(
        case("Resize", real(1, 1, 4, 3), None, scales(1, 1, 0.8, 2.5), mode=mode, coordinate_transformation_mode=where,
             dtypes=CUBIC if mode == "cubic" else BOTH, grad=(0,), name=f"{mode} {where}")
        for mode, where in itertools.product(("linear", "cubic"), MODES)
    ),
    *(
        case("Resize", real(1, 1, 4, 3), None, scales(1, 1, 0.8, 2.5), nearest_mode=nearest, grad=(0,),
             coordinate_transformation_mode=where, name=f"{nearest} {where}")
        for nearest, where in itertools.product(NEAREST_MODES, MODES[::3])
    ),
    case("Resize", real(1, 1, 4, 3), None, None, [1, 1, 2, 5], grad=(0,), name="sizes"),
    case("Resize", real(2, 3, 1, 2), None, None, [3, 1], axes=[1, 2], mode="linear", grad=(0,), name="axes"),
    case("Resize", real(1, 1, 6, 4), None, None, [2, 3], axes=[2, 3], mode="linear", antialias=1, grad=(0,),
         name="antialias"),
    case("Resize", real(1, 1, 6, 4), None, scales(1, 1, 0.4, 2), mode="cubic", antialias=1, exclude_outside=1,
         dtypes=CUBIC, grad=(0,), name="antialias cubic"),
    case("Resize", real(1, 1, 3, 3), None, scales(1, 1, 2, 2), mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1,
         dtypes=CUBIC, grad=(0,), name="exclude outside"),
    case("Resize", real(1, 1, 4, 6), None, None, [3, 3], axes=[2, 3], keep_aspect_ratio_policy="not_larger",
         mode="linear",
         grad=(0,), name="not larger"),
    case("Resize", real(1, 1, 4, 6), None, None, [3, 3], axes=[2, 3], keep_aspect_ratio_policy="not_smaller", grad=(0,),
         name="not smaller"),
    case("Resize", real(1, 1, 4, 4), np.array([0, 0, 0.4, 0.6, 1, 1, 1.2, 0.8]), None, [1, 1, 3, 3], mode="linear",
         grad=(0,),
         coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=10.0, name="crop"),
    case("Resize", real(1, 1, 2, 2), None, scales(1, 1, 1, 1), mode="linear", grad=(0,), name="same size"),
    case("Resize", real(1, 1, 2, 2), None, scales(1, 1, 0.4, 1), mode="linear", expect=lambda x, *_, **a: x[:, :, :0],
         name="to nothing"),
    case("Resize", ints(1, 1, 2, 2, high=200, dtype=np.uint8), None, scales(1, 1, 2, 2), mode="cubic", name="uint8"),
    case("Resize", real(1, 1, 2, 2), None, scales(1, 1, 2, 2), mode="linear", dtypes=("float16",), name="half"),
    case("ResizeGrad", real(1, 2, 4, 6), [1, 2, 2, 3], None, scales(1, 1, 2, 2), domain=GRAD_DOMAIN, opset=1, grad=(0,),
         expect=_blocks_summed),
    case("Upsample", real(1, 2, 2, 2), opset=1, height_scale=2.0, width_scale=1.0, expect=_repeated(1, 1, 2, 1)),
    case("Upsample", real(1, 1, 2, 2), opset=7, scales=[1.0, 1.0, 2.0, 3.0], expect=_repeated(1, 1, 2, 3)),
    case("Upsample", real(1, 1, 2, 2), scales(1, 1, 2, 3), opset=9),
    case("Upsample", real(1, 1, 1, 3), scales(1, 1, 1, 2), opset=9, mode="linear", expect=_linear_asymmetric,
         name="linear"),
]  # fmt: skip
