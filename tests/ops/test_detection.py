"""What the case table cannot say of boxes: errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import registry

BOXES, SCORES, LIMIT = np.zeros((2, 5, 4), np.float32), np.zeros((2, 3, 5), np.float32), np.array([2])

WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "corners": ((BOXES[..., :3], SCORES, LIMIT), {}, r"boxes have shape \[2, 5, 3\]"),
    "rank of boxes": ((BOXES[0], SCORES, LIMIT), {}, r"expected \[batch, N, 4\]"),
    "rank of scores": ((BOXES, SCORES[0], LIMIT), {}, r"expected \[batch, N, 4\]"),
    "batch": ((BOXES, SCORES[:1], LIMIT), {}, r"scores \[1, 3, 5\]"),
    "boxes": ((BOXES, SCORES[..., :4], LIMIT), {}, r"scores \[2, 3, 4\]"),
    "limits": ((BOXES, SCORES, np.array([2, 2])), {}, "max_output_boxes_per_class has shape"),
    "threshold above 1": ((BOXES, SCORES, LIMIT, np.array([1.5])), {}, "iou_threshold is 1.5"),
    "threshold below 0": ((BOXES, SCORES, LIMIT, np.array([-0.1])), {}, "expected a number from 0 to 1"),
    "threshold undefined": ((BOXES, SCORES, LIMIT, np.array([np.nan])), {}, "iou_threshold is nan"),
    "score thresholds": ((BOXES, SCORES, LIMIT, None, np.zeros(3)), {}, "score_threshold has shape"),
    "kind of boxes": ((BOXES, SCORES, LIMIT), {"center_point_box": 2}, "expected 0 or 1"),
}


@pytest.mark.parametrize(("inputs", "attributes", "message"), WRONG.values(), ids=WRONG)
def test_errors(inputs: tuple[Any, ...], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(StriateError, match=message):
        registry.lookup("", "NonMaxSuppression", 11).kernel(np, *inputs, **attributes)
