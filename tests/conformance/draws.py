"""What must hold of random tests, whose stored values are numbers of NumPy's generator: any other draw is as right.

Shape and dtype are those of the stored result. The values are possible ones, a mask agrees with what it masks, and the
number of ones is not one that the probabilities all but exclude.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

IMPROBABLE = 1e-9
"""A result at least this far from the expected number has a smaller probability than this."""


def check_draws(model: onnx.ModelProto, inputs: list[Any], got: list[Any], right: list[Any]) -> None:
    """Raises AssertionError where `got` cannot be a draw of the model's."""
    for y, want in zip(got, right, strict=True):
        assert (y.shape, y.dtype) == (want.shape, want.dtype), f"{y.dtype}{y.shape} for {want.dtype}{want.shape}"
    feeds = dict(zip((value.name for value in model.graph.input), inputs, strict=True))
    if model.graph.node[0].op_type == "Dropout":
        _check_dropout(model.graph.node[0], feeds, *got)
    else:
        y = got[0]
        assert np.isin(y, (0, 1)).all(), "a number that is neither 0 nor 1"
        assert_plausible(y, ones(model, feeds["x"]))


def ones(model: onnx.ModelProto, p: np.ndarray) -> np.ndarray:
    """The probability of 1 for each element of Bernoulli's input.

    The function body in onnx draws 1 where a uniform number is *greater* than p, which is so with probability 1 - p;
    the operator's own text says p.
    """
    expanded = any(node.op_type == "Greater" for node in model.graph.node)
    return 1 - p if expanded else p


def _check_dropout(
    node: onnx.NodeProto, feeds: dict[str, np.ndarray], y: np.ndarray, mask: np.ndarray | None = None
) -> None:
    """y = x * mask / (1 - ratio), and a fraction of about 1 - ratio is kept."""
    x, ratio = feeds[node.input[0]], float(feeds[node.input[1]])
    kept = y != 0 if mask is None else mask
    np.testing.assert_allclose(y, np.where(kept, x / (1 - ratio), 0), rtol=1e-6, err_msg="not x * mask / (1 - ratio)")
    assert_plausible(kept, np.full(x.shape, 1 - ratio))


def assert_plausible(drawn: np.ndarray, p: np.ndarray) -> None:
    """The number of ones is in the bulk of its distribution, exactly computed."""
    counts = distribution(p)
    n = int(drawn.sum())
    below, above = counts[: n + 1].sum(), counts[n:].sum()
    assert min(below, above) > IMPROBABLE, f"{n} of {p.size} are ones; expected about {p.sum():.1f}"


def distribution(p: np.ndarray) -> np.ndarray:
    """Probability of 0, 1, ... ones among independent draws with probabilities p."""
    counts = np.ones(1)
    for q in p.ravel().astype(np.float64):
        counts = np.convolve(counts, (1 - q, q))
    return counts
