"""What a session asks of the native engine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How stretches are computed.

    Attributes:
        threads: at most so many work on a run.
        strict: only sums of products as the operators define them: no Winograd, which trades a little accuracy for
            speed and spreads NaN and infinity over a tile.
        tune: measure the ways to compute a convolution that the cost model finds close, and remember the fastest.
    """

    threads: int = 1
    strict: bool = False
    tune: bool = False
