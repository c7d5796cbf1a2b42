"""The UCI handwritten digits that scikit-learn carries: 1,797 real digits of 8×8 pixels, enlarged.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...runtime.errors import MissingDependency
from .dataset import Dataset
from .images import fit

__all__ = ["load_digits"]

SIZE = (32, 32)
"""The size LeNet-5 was drawn for."""

TEST_FRACTION = 0.2
"""The part that `part="test"` keeps away from training; the same examples every time."""


def load_digits(size: tuple[int, int] | None = SIZE, channels: int | None = 1, part: str | None = None) -> Dataset:
    """The digits as float32 `(N, 32, 32, 1)` in [0, 1], ten classes.

    Args:
        part: `train` (1,438 digits), `test` (359, each class in proportion) or None for all 1,797.

    Raises:
        MissingDependency: if scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise MissingDependency(
            "the digits come with scikit-learn; install it with pip install 'striate[data]'"
        ) from None
    bunch = datasets.load_digits()
    x = (bunch.images / 16).astype(np.float32)[..., None]
    names = tuple(str(i) for i in range(10))
    whole = Dataset(fit(x, size or SIZE, channels, "digits"), bunch.target, names, "digits", shapes=(x.shape[1:],))
    if part is None:
        return whole
    train, test = whole.split((1 - TEST_FRACTION, TEST_FRACTION), seed=0)
    return replace(train if part == "train" else test, part=part)
