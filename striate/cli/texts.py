"""Texts on their way into a model: encoded with its vocabulary, and what that changed, said in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput
from .console import say

if TYPE_CHECKING:
    from ..trainer.data import Dataset, Vocabulary

__all__ = ["encoded", "encoded_data", "is_text", "takes_words"]

SHOWN = 5
"""Unknown words that a line names."""


def takes_words(shape: Sequence[Any], dtype: Any) -> bool:
    """Whether an input, batch included, takes the numbers of words."""
    return len(shape) == 2 and np.dtype(dtype).kind in "iu"


def is_text(data: Any) -> bool:
    """Whether the examples are texts that nobody has encoded yet."""
    x = getattr(data, "x", None)
    return x is not None and x.dtype == object


def encoded_data(data: Dataset, vocabulary: Vocabulary | None, long: str, name: str) -> Dataset:
    """A data set of texts as a model takes them; any other stays as it is.

    Args:
        name: the model's.

    Raises:
        InvalidInput: if the model knows no words, or a text is too long and such are refused.
    """
    if not is_text(data):
        return data
    if vocabulary is None:
        raise InvalidInput(f"{data.name}: holds texts, but {name} has no vocabulary; it was not trained on text")
    names = [f"{data.name}:{line}" for line in data.lines] if data.lines is not None else []
    return replace(data, x=encoded(data.x, vocabulary, long, data.name, names))


def encoded(
    texts: Sequence[str] | np.ndarray, vocabulary: Vocabulary, long: str, source: str, names: Sequence[str]
) -> np.ndarray:
    """`(N, length)` int64; what was cut, and which words are unknown, is said in a line each."""
    found = vocabulary.encode(texts, long, names)
    if found.cut:
        say(
            f"{source}: {found.cut:,} of {len(texts):,} texts have more than {vocabulary.length} words (up to "
            f"{found.longest:,}): cut",
            "yellow",
        )
    if found.unknown:
        first = ", ".join(repr(word) for word, _ in found.unknown.most_common(SHOWN))
        more = ", …" if len(found.unknown) > SHOWN else ""
        say(
            f"{source}: {found.unknown.total():,} of {found.words:,} words are not in the vocabulary and count as "
            f"<unknown>: {first}{more}"
        )
    return found.ids
