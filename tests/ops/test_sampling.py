"""What the case table cannot say of sampling pictures: errors, and sizes out of all proportion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import GRAD_DOMAIN, registry

from .table import ints, real

HUGE = 2**50
X, GRID = np.ones((1, 2, 3, 3)), np.zeros((1, 4, 4, 2))
ROI, WINDOWS = np.array([[0.0, 0.0, 2.0, 2.0]]), np.ones((3, 2, 2, 2))
FIRST, MOVES = np.zeros(1, np.int64), np.zeros((1, 8, 2, 2))
BOX = np.array([[0.0, 0.0, 0.0, 2.0, 2.0]])

WRONG: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any], str]] = {
    "old mode": ("GridSample", 16, (X, GRID), {"mode": "linear"}, r"one of .*bilinear"),
    "old rank": (
        "GridSample",
        16,
        (np.ones((1, 1, 2, 2, 2)), np.zeros((1, 1, 1, 1, 3))),
        {},
        r"expected \[N, C, H, W\]",
    ),
    "mode": ("GridSample", 20, (X, GRID), {"mode": "bilinear"}, "cubic.*linear.*nearest"),
    "padding": ("GridSample", 20, (X, GRID), {"padding_mode": "wrap"}, "border.*reflection.*zeros"),
    "grid's rank": ("GridSample", 20, (X, GRID[0]), {}, "number of spatial axes"),
    "grid's coordinates": ("GridSample", 20, (X, np.zeros((1, 4, 4, 3))), {}, "number of spatial axes"),
    "grid's batch": ("GridSample", 20, (X, np.zeros((2, 4, 4, 2))), {}, r"\[2, 4, 4, 2\]"),
    "empty picture": ("GridSample", 20, (np.ones((1, 1, 0, 3)), GRID), {}, "nothing to sample"),
    "interpolated bool": ("GridSample", 20, (X > 0, GRID), {}, "cannot interpolate"),
    "interpolated text": ("GridSample", 20, (np.full(X.shape, "a", object), GRID), {}, "cannot interpolate"),
    "too many places": (
        "GridSample",
        20,
        (np.broadcast_to(np.ones(1), (1, HUGE, 1, 1)), GRID),
        {},
        "at most .* are allowed",
    ),
    "orders": ("GridSampleDerivative", 1, (X, GRID), {"orders": (1,)}, "expected 2 numbers"),
    "gradient's shape": ("GridSampleGrad", 1, (X, np.array([1, 2, 5, 5]), GRID), {"orders": (0, 0)}, "dY has shape"),
    "gradient's size": (
        "GridSampleGrad",
        1,
        (np.ones((1, 1, 4, 4)), np.array([1, 1, HUGE, 8]), GRID),
        {"orders": (0, 0)},
        "at most .* are allowed",
    ),
    "theta": ("AffineGrid", 20, (np.ones((1, 2, 2)), np.array([1, 1, 2, 2])), {}, r"\[N, 2, 3\]"),
    "theta's batch": ("AffineGrid", 20, (np.ones((2, 2, 3)), np.array([1, 1, 2, 2])), {}, r"\[N, 2, 3\]"),
    "size's rank": ("AffineGrid", 20, (np.ones((1, 2, 3)), np.array([1, 1, 2])), {}, r"\[N, 2, 3\]"),
    "negative size": ("AffineGrid", 20, (np.ones((1, 2, 3)), np.array([1, 1, 2, -2])), {}, "negative"),
    "huge size": ("AffineGrid", 20, (np.ones((1, 2, 3)), np.array([1, 1, HUGE, 2])), {}, "at most .* are allowed"),
    "columns": ("Col2Im", 18, (np.ones((1, 4, 5)), np.array([3, 3]), np.array([2, 2])), {}, "expected 4 columns"),
    "rows": ("Col2Im", 18, (np.ones((1, 5, 4)), np.array([3, 3]), np.array([2, 2])), {}, "C · block"),
    "block's axes": ("Col2Im", 18, (np.ones((1, 4, 4)), np.array([3, 3]), np.array([4])), {}, "as many axes"),
    "empty block": ("Col2Im", 18, (np.ones((1, 4, 4)), np.array([3, 3]), np.array([0, 2])), {}, "block_shape"),
    "block": ("Col2Im", 18, (np.ones((1, 4, 1)), np.array([1, 1]), np.array([2, 2])), {}, "smaller kernel"),
    "pads": ("Col2Im", 18, (np.ones((1, 4, 4)), np.array([3, 3]), np.array([2, 2])), {"pads": (1,)}, "expected 4"),
    "huge image": ("Col2Im", 18, (np.ones((1, 4, 4)), np.array([HUGE, 3]), np.array([2, 2])), {}, "are allowed"),
    "text in columns": (
        "Col2Im",
        18,
        (np.full((1, 4, 4), "a", object), np.array([3, 3]), np.array([2, 2])),
        {},
        "expected numbers",
    ),
    "block of nothing": ("Im2Col", 1, (X, np.array([2])), {}, r"block_shape \[2\]"),
    "huge padding": ("Im2Col", 1, (X, np.array([2, 2])), {"pads": (HUGE, 0, 0, 0)}, "at most .* are allowed"),
    "RoI's numbers": ("RoiAlign", 16, (X, BOX, FIRST), {}, r"\[RoIs, 4\]"),
    "RoI's picture": ("RoiAlign", 16, (X, ROI, FIRST + 1), {}, "run from 1 to 1; expected 0 to 0"),
    "RoI's negative picture": ("RoiAlign", 10, (X, ROI, FIRST - 1), {}, "run from -1 to -1; expected 0 to 0"),
    "RoIs' pictures": ("RoiAlign", 16, (X, ROI, np.zeros(2, np.int64)), {}, "one index for each of 1"),
    "RoI's mode": ("RoiAlign", 16, (X, ROI, FIRST), {"mode": "min"}, "'avg' or 'max'"),
    "RoI's coordinates": (
        "RoiAlign",
        16,
        (X, ROI, FIRST),
        {"coordinate_transformation_mode": "half"},
        "output_half_pixel",
    ),
    "no bins": ("RoiAlign", 16, (X, ROI, FIRST), {"output_height": 0}, "positive sizes"),
    "ratio": ("RoiAlign", 16, (X, ROI, FIRST), {"sampling_ratio": -1}, "not negative"),
    "RoI that is not finite": ("RoiAlign", 16, (X, ROI * np.nan, FIRST), {}, "not finite"),
    "huge bins": ("RoiAlign", 16, (X, ROI, FIRST), {"output_width": HUGE}, "at most .* are allowed"),
    "huge ratio": ("RoiAlign", 16, (X, ROI, FIRST), {"sampling_ratio": HUGE}, "at most .* are allowed"),
    "huge RoI": ("RoiAlign", 16, (X, ROI * 1e15, FIRST), {}, "at most .* are allowed"),
    "RoIs of nothing": ("RoiAlign", 16, (np.ones((1, 2, 0, 3)), ROI, FIRST), {}, "nothing to sample"),
    "box's numbers": ("MaxRoiPool", 1, (X, ROI), {"pooled_shape": (1, 1)}, r"\[RoIs, 5\]"),
    "box's picture": ("MaxRoiPool", 1, (X, BOX + 1), {"pooled_shape": (1, 1)}, "run from 1.0 to 1.0; expected 0 to 0"),
    "box that is not finite": (
        "MaxRoiPool",
        1,
        (X, np.full((1, 5), np.inf)),
        {"pooled_shape": (1, 1)},
        "not finite",
    ),
    "pooled_shape": ("MaxRoiPool", 1, (X, BOX), {"pooled_shape": (1,)}, "two positive numbers"),
    "huge pooled_shape": ("MaxRoiPool", 1, (X, BOX), {"pooled_shape": (HUGE, 1)}, "at most .* are allowed"),
    "channels": ("DeformConv", 19, (X, np.ones((3, 1, 2, 2)), MOVES), {}, "2 channels"),
    "offset": ("DeformConv", 19, (X, WINDOWS, MOVES[:, :4]), {}, r"offset has shape .* expected \[1, 8, 2, 2\]"),
    "offset's windows": ("DeformConv", 19, (X, WINDOWS, MOVES), {"strides": (2, 2)}, r"expected \[1, 8, 1, 1\]"),
    "mask": ("DeformConv", 19, (X, WINDOWS, MOVES, None, MOVES), {}, r"mask has shape .* expected \[1, 4, 2, 2\]"),
    "offset groups": ("DeformConv", 19, (X, WINDOWS, MOVES), {"offset_group": 3}, "multiple of offset_group=3"),
    "no offset groups": ("DeformConv", 19, (X, WINDOWS, MOVES), {"offset_group": 0}, "multiple of offset_group=0"),
    "kernel": ("DeformConv", 19, (X, WINDOWS, MOVES), {"kernel_shape": (3, 3)}, "kernel_shape is"),
    "window": ("DeformConv", 19, (X, np.ones((3, 2, 4, 4)), MOVES), {}, "smaller kernel"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, int, tuple[Any, ...], dict[str, Any], str]) -> None:
    name, version, inputs, attributes, message = wrong
    domain = GRAD_DOMAIN if version == 1 and name != "MaxRoiPool" else ""
    operator = registry.lookup(domain, name, version)
    with pytest.raises(StriateError, match=message):
        operator.kernel(np, *inputs, **operator.bind(attributes))


def test_a_long_axis_in_float32_stays_within_its_bounds() -> None:
    """The dtype of the grid holds neither its length nor its last index."""
    size = 2**24 + 4
    x = np.zeros((1, 1, size), np.int8)
    x[..., -1] = 1
    operator = registry.lookup("", "GridSample", 20)
    for padding_mode in ("zeros", "border", "reflection"):
        places = np.full((1, 1, 1), 1 - 2**-24, np.float32)
        found = operator.kernel(np, x, places, mode="nearest", padding_mode=padding_mode, align_corners=1)
        assert found in (0, 1)


def test_a_roi_sampled_bin_by_bin_is_what_it_is_sampled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rois = real(20, 4, low=-3, high=12)
    pictures = ints(20, high=2)
    operator = registry.lookup("", "RoiAlign", 16)
    for mode in ("avg", "max"):
        given = (real(2, 3, 9, 8), rois, pictures)
        how = operator.bind({"mode": mode, "output_height": 3, "output_width": 2})
        at_once = operator.kernel(np, *given, **how)
        with monkeypatch.context() as patch:
            patch.setattr("striate.runtime.ops.roi.HOST_COLUMNS", 1)
            np.testing.assert_allclose(operator.kernel(np, *given, **how), at_once, 1e-12, 1e-12)
