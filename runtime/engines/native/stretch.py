"""A compiled stretch of a graph as the executor calls it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .program import Program

__all__ = ["Stretch"]


@dataclass(eq=False)
class Stretch:
    """A program with what it takes and gives: plain arrays in, arrays of the caller's own out.

    Args:
        threads: that walk the program.
        inputs: the dtypes of what it reads.
        outputs: shape and dtype of each result.
    """

    program: Program
    threads: int
    inputs: Sequence[np.dtype]
    outputs: Sequence[tuple[tuple[int, ...], np.dtype]]

    def __call__(self, xp: Any, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Any arrays of the declared shapes; they are copied where machine code cannot read them as they are."""
        return self.direct(tuple([np.require(x, t, ["C", "A"]) for x, t in zip(inputs, self.inputs, strict=True)]))

    def direct(self, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """C-contiguous, aligned arrays of the declared shapes and dtypes."""
        results = tuple([np.empty(shape, dtype) for shape, dtype in self.outputs])
        self.program.call(arrays + results, self.threads)
        return results
