"""Texts as numbers of words: the tokenizer, and the vocabulary that travels with a model.

Words are the matches of `\\w+(?:['’]\\w+)*` in the text in lower case: letters, digits and underscores, an apostrophe
inside a word belonging to it. Nothing else counts. (Scripts without spaces become one word per run of letters.)
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...runtime.errors import InvalidInput, InvalidModel

__all__ = ["FACT", "PAD", "TOKENIZER", "UNKNOWN", "Encoded", "Vocabulary", "words_of"]

FACT = "text"
"""The entry of `training_facts`, and of an ONNX file's metadata, that holds a vocabulary."""

TOKENIZER = "words-1"
"""The name of the rule above; a file that names another cannot be read, as its numbers would mean something else."""

PAD, UNKNOWN = "<pad>", "<unknown>"
MAX_WORDS = 1 << 20
MAX_LENGTH = 1 << 16

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Encoded:
    """Texts as a model takes them.

    Attributes:
        ids: `(N, length)` int64, 0 after the end of a text.
        cut: how many texts were longer than that, and `longest` the words of the longest.
        unknown: the words that the vocabulary does not have, and how often each was there.
        words: how many words there were in all.
    """

    ids: np.ndarray
    cut: int
    longest: int
    unknown: Counter[str]
    words: int


@dataclass(frozen=True)
class Vocabulary:
    """Words by number, `<pad>` being 0 and `<unknown>` 1, and how many words a model takes.

    Raises:
        InvalidInput: if the first two words are others, a word is there twice, or the length is no positive number.
    """

    words: tuple[str, ...]
    length: int
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {word: i for i, word in enumerate(self.words)})
        if self.words[:2] != (PAD, UNKNOWN) or len(self.numbers) != len(self.words) or len(self.words) > MAX_WORDS:
            raise InvalidInput(
                f"a vocabulary of {len(self.words):,} words; expected {PAD}, {UNKNOWN} and different words after them, "
                f"{MAX_WORDS:,} at most"
            )
        if not 1 <= self.length <= MAX_LENGTH:
            raise InvalidInput(f"texts of {self.length} words; expected from 1 to {MAX_LENGTH:,}")

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(cls, texts: Iterable[str], length: int, min_count: int = 1, max_size: int = 20_000) -> Vocabulary:
        """The words of training texts, the most frequent first, words as frequent in the order of the alphabet.

        Args:
            min_count: rarer words are left out.
            max_size: of the vocabulary, its first two entries included.

        Raises:
            InvalidInput: if no word is left.
        """
        counts = Counter(word for text in texts for word in words_of(text))
        kept = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
        if not kept or max_size < 3:
            raise InvalidInput(
                f"{len(counts):,} different words, none of them {min_count} times or within a vocabulary "
                f"of {max_size:,}; expected some"
            )
        return cls((PAD, UNKNOWN, *kept[: max_size - 2]), length)

    def encode(self, texts: Sequence[str] | np.ndarray, long: str = "cut", names: Sequence[str] = ()) -> Encoded:
        """Texts as numbers.

        Args:
            long: what to do with texts longer than `length`: `cut` or `refuse`.
            names: what messages call the texts.

        Raises:
            InvalidInput: for a text that is too long, if such texts are refused; the message names it.
        """
        if long not in ("cut", "refuse"):
            raise InvalidInput(f"long texts: {long!r}; expected 'cut' or 'refuse'")
        ids = np.zeros((len(texts), self.length), np.int64)
        cut, longest, total = 0, 0, 0
        unknown: Counter[str] = Counter()
        for i, text in enumerate(texts):
            words = words_of(text)
            longest, total = max(longest, len(words)), total + len(words)
            if len(words) > self.length:
                if long == "refuse":
                    name = names[i] if names else f"text {i + 1}"
                    raise InvalidInput(f"{name}: {len(words)} words; the model takes at most {self.length}")
                cut += 1
            found = [self.numbers.get(word, 1) for word in words[: self.length]]
            ids[i, : len(found)] = found
            unknown.update(word for word, n in zip(words, found, strict=False) if n == 1)
        return Encoded(ids, cut, longest, unknown, total)

    def to_facts(self) -> dict[str, Any]:
        """What `from_facts` reads, ready for JSON."""
        return {"tokenizer": TOKENIZER, "length": self.length, "words": list(self.words)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], name: str) -> Vocabulary | None:
        """The vocabulary among the facts of a model (`training_facts`, or metadata of an ONNX file); None without one.

        Raises:
            InvalidModel: if it is damaged, or of another tokenizer; `name` is the model's.
        """
        found = facts.get(FACT)
        if found is None:
            return None
        try:
            found = json.loads(found) if isinstance(found, str) else found
            words, length, tokenizer = found["words"], found["length"], found["tokenizer"]
            if tokenizer != TOKENIZER:
                raise InvalidModel(
                    f"{name}: its words were told apart by {tokenizer!r}; this program has {TOKENIZER!r}"
                )
            if not isinstance(words, list) or not all(isinstance(w, str) for w in words) or type(length) is not int:
                raise TypeError("words are no list of text, or the length no number")
            return cls(tuple(words), length)
        except InvalidModel:
            raise
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InvalidModel(f"{name}: its vocabulary is damaged: {error}") from None
