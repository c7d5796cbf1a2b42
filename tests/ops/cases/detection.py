"""NonMaxSuppression: both kinds of boxes, limits, thresholds that are just met, ties, batches and classes."""

from __future__ import annotations

import numpy as np

from ..table import Case, case, ints, real

SINGLE = ("float32",)
"""The dtype the specification gives boxes and scores."""
STACK = np.array([[[0, 0, 2, 2], [0, 0, 2, 1], [0, 1, 2, 2], [0, 0, 2, 2], [5, 5, 6, 6.0]]])
"""Boxes 1 and 2 are the halves of box 0, which is there twice; box 4 is apart."""
SCORES = np.array([[[0.5, 0.75, 0.25, 0.5, 0.125]]])
CENTRED = np.array([[[1, 1, 2, 2], [0.5, 1, 1, 2], [1.5, 1, 1, 2], [1, 1, 2, 2], [5.5, 5.5, 1, 1.0]]])
"""The same boxes as x, y, width, height."""


def single(x):
    return np.array([x], np.float32)


def selected(*boxes, batch=0, of_class=0):
    rows = np.array([[batch, of_class, box] for box in boxes], np.int64).reshape(-1, 3)
    return lambda *_, **attrs: rows


def nms(boxes, scores, *others, opset=11, **how):
    return case("NonMaxSuppression", boxes, scores, *others, opset=opset, dtypes=SINGLE, **how)


CASES: list[Case] = [
    nms(STACK, SCORES, [5], single(0.5), expect=selected(1, 0, 2, 4), opset=10),
    nms(STACK, SCORES, [5], single(0.5), expect=selected(1, 0, 2, 4), name="threshold met"),
    nms(STACK, SCORES, [5], single(0.49), expect=selected(1, 2, 4), name="threshold exceeded"),
    nms(STACK, SCORES, 5, expect=selected(1, 2, 4), name="default threshold"),
    nms(STACK, SCORES, [5], single(1), expect=selected(1, 0, 3, 2, 4), name="all overlap allowed"),
    nms(STACK, SCORES, [2], single(0.5), expect=selected(1, 0), name="limit"),
    nms(STACK, SCORES, [2**62], single(0.5), expect=selected(1, 0, 2, 4), name="limit beyond all boxes"),
    nms(STACK, SCORES, [0], single(0.5), expect=selected(), name="limit 0"),
    nms(STACK, SCORES, [-1], single(0.5), expect=selected(), name="limit below 0"),
    nms(STACK, SCORES, expect=selected(), name="no limit"),
    nms(STACK, SCORES, [5], single(0.5), single(0.25), expect=selected(1, 0), name="score threshold met"),
    nms(STACK, SCORES, [5], None, single(0.75), expect=selected(), name="score threshold above all"),
    nms(STACK, SCORES, [5], single(0.5), np.zeros(0, np.float32), expect=selected(1, 0, 2, 4), name="empty input"),
    nms(STACK[..., [2, 1, 0, 3]], SCORES, [5], single(0.5), expect=selected(1, 0, 2, 4), name="flipped"),
    nms(CENTRED, SCORES, [5], single(0.5), center_point_box=1, expect=selected(1, 0, 2, 4), name="centred"),
    nms(CENTRED, SCORES, [5], single(0.49), center_point_box=1, expect=selected(1, 2, 4), name="centred and exceeded"),
    nms(np.zeros((1, 3, 4)), np.zeros((1, 1, 3)), [3], expect=selected(0, 1, 2), name="points do not overlap"),
    nms(np.ones((1, 3, 4)) * [0, 0, 1, 1], np.zeros((1, 1, 3)), [3], expect=selected(0), name="ties"),
    nms(STACK, np.array([[[0.5, -np.inf, np.nan, 0.75, 1]]]), [5], single(0.9), expect=selected(4, 3, 1, 2),
        name="infinite and undefined scores"),
    nms(np.zeros((1, 0, 4)), np.zeros((1, 2, 0)), [3], expect=selected(), name="no boxes"),
    nms(np.zeros((1, 2, 4)), np.zeros((1, 0, 2)), [3], expect=selected(), name="no classes"),
    nms(np.zeros((0, 2, 4)), np.zeros((0, 1, 2)), [3], expect=selected(), name="no batch"),
    nms(np.tile(STACK, (2, 1, 1)), np.repeat([[[0.0], [0], [0]], [[0], [0], [1]]], 5, 2), [5], single(0.5),
        single(0.5), expect=selected(0, 1, 2, 4, batch=1, of_class=2), name="one class of one entry"),
    *(
        nms(real(2, 20, 4, low=0, high=4), real(2, 3, 20), [limit], single(0.3), single(score), center_point_box=centre,
            name=f"batches and classes {limit} {score} {centre}")
        for limit, score, centre in ((20, -1, 0), (4, 0, 1), (3, 0.5, 0))
    ),
    nms(ints(1, 30, 4).astype(float), ints(1, 2, 30, high=4).astype(float), [30], single(0.25), single(0),
        name="many ties"),
]  # fmt: skip
