"""Choosing among boxes: NonMaxSuppression."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidGraph, InvalidInput
from .registry import op


@op("NonMaxSuppression", since=10, host=(2, 3, 4), differentiable=False)
def non_max_suppression(
    xp,
    boxes,
    scores,
    max_output_boxes_per_class=None,
    iou_threshold=None,
    score_threshold=None,
    *,
    center_point_box=0,
):
    """Of boxes that overlap, the one of the highest score, for each class apart; an empty input counts as absent.

    Boxes whose scores are greater than `score_threshold` are gone through by descending score, equal ones as they come.
    One is selected unless its intersection over union with one selected before is greater than `iou_threshold`.

    Args:
        boxes: [batch, N, 4], two opposite corners y, x, y, x, or with center_point_box=1 centre x, y, width, height.
        scores: [batch, classes, N].

    Returns:
        int64 [selected, 3]: batch entry, class and box, by batch entry, class and descending score.
    """
    batch, classes, count = _sizes(boxes, scores)
    limit = min(int(_number(max_output_boxes_per_class, "max_output_boxes_per_class", 0)), count)
    threshold = _number(iou_threshold, "iou_threshold", 0.0)
    least = _number(score_threshold, "score_threshold", None)
    if not 0 <= threshold <= 1:
        raise InvalidInput(f"iou_threshold is {threshold}; expected a number from 0 to 1")
    if center_point_box not in (0, 1):
        raise InvalidGraph(f"center_point_box is {center_point_box}; expected 0 or 1")
    if limit <= 0 or batch * classes == 0:
        return xp.zeros((0, 3), np.int64)
    pairs, order, alive = _candidates(xp, scores.reshape(batch * classes, count), least)
    low, high = (x[:, pairs[:, None] // classes, order] for x in _corners(xp, boxes, center_point_box))
    row, place = xp.nonzero(_selected(xp, low, high, alive, limit, threshold))
    pair = pairs[row]
    return xp.stack((pair // classes, pair % classes, order[row, place]), axis=1).astype(np.int64, copy=False)


def _sizes(boxes, scores):
    fits = boxes.ndim == scores.ndim == 3 and boxes.shape == (scores.shape[0], scores.shape[2], 4)
    if not fits:
        raise InvalidInput(
            f"boxes have shape {list(boxes.shape)} and scores {list(scores.shape)}; "
            "expected [batch, N, 4] and [batch, classes, N]"
        )
    return scores.shape


def _number(x, name, absent):
    if x is None or x.size == 0:
        return absent
    if x.size != 1:
        raise InvalidInput(f"{name} has shape {list(x.shape)}; expected a scalar")
    return x.reshape(-1)[0].item()


def _candidates(xp, scores, least):
    """The rows that have boxes to choose from, these boxes by descending score, and where such a list is not over."""
    order = xp.argsort(-scores, axis=1, kind="stable")
    if least is None:
        alive = xp.ones(scores.shape, bool)
    else:
        alive = xp.take_along_axis(scores, order, 1) > least
    longest = int(alive.sum(axis=1).max())
    rows = xp.flatnonzero(alive[:, 0])
    return rows, order[rows, :longest], alive[rows, :longest]


def _corners(xp, boxes, center_point_box):
    """The least and the greatest coordinates of the boxes: twice [2, batch, N]."""
    a, b = xp.moveaxis(boxes[..., :2], -1, 0), xp.moveaxis(boxes[..., 2:], -1, 0)
    if center_point_box:
        return a - b / 2, a + b / 2
    return xp.minimum(a, b), xp.maximum(a, b)


def _selected(xp, low, high, alive, limit, threshold):
    """Which of the boxes [2, rows, N], by descending score, are selected among those alive: bool [rows, N]."""
    rows, places = xp.arange(alive.shape[0]), xp.arange(alive.shape[1])
    area = (high - low).prod(axis=0)
    selected = xp.zeros(alive.shape, bool)
    for _ in range(min(limit, alive.shape[1])):
        best = xp.argmax(alive, axis=1)
        found = alive[rows, best]
        if not found.any():
            break
        chosen = places == best[:, None]
        selected |= chosen & found[:, None]
        side = xp.minimum(high, high[:, rows, best][..., None]) - xp.maximum(low, low[:, rows, best][..., None])
        shared = xp.maximum(side, 0).prod(axis=0)
        alive &= ~(chosen | (shared / (area + area[rows, best][:, None] - shared) > threshold))
    return selected
