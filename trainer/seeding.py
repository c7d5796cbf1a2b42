"""The one piece of global state: the seed that everything random starts from."""

from __future__ import annotations

from ..runtime.errors import InvalidInput

__all__ = ["get_seed", "set_seed"]

_seed = 0


def set_seed(seed: int) -> None:
    """Sets the seed of models built from now on: their initial weights, dropout and shuffling.

    The same seed gives the same bits, in any order of building and on any device.

    Raises:
        InvalidInput: if the seed is not an integer in [0, 2**63).
    """
    global _seed
    _seed = checked_seed(seed)


def get_seed() -> int:
    """The seed last set; 0 if none was."""
    return _seed


def checked_seed(seed: int) -> int:
    """`seed`, if it is usable as one."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 63:
        raise InvalidInput(f"seed {seed!r} does not fit; expected an integer from 0 to 2**63 - 1")
    return seed
