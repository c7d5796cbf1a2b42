"""Text: joining, splitting, normalising, matching, counting n-grams.

Text lives on the host as object arrays of `str`; bytes that are no UTF-8 are kept in them as surrogate escapes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InvalidGraph, InvalidInput, MissingDependency
from ._axes import bounded
from .registry import op

_REGEX_BYTES = 8 << 20
"""What a compiled pattern and its automaton may take; beyond that RE2 goes on more slowly, still in linear time."""
_CHARACTER = np.dtype("U1")
_TURKIC = ("tr", "az")


def is_text(X):
    """Whether an array holds text."""
    return X.dtype.kind in "OSUT"


def texts(X, name="X"):
    """The elements of a text tensor, in order, as a list of `str`.

    Raises:
        InvalidInput: if it holds anything but text.
    """
    if not is_text(X):
        raise InvalidInput(f"{name} has dtype {X.dtype}; expected text")
    found = X.reshape(-1).tolist()
    if all(type(text) is str for text in found):
        return found
    found = [text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in found]
    if wrong := [x for x in found if not isinstance(x, str)]:
        raise InvalidInput(f"{name} holds a {type(wrong[0]).__name__} among its text; expected nothing but text")
    return found


def text_array(found, shape=None):
    """A list of `str` as a tensor of the given shape, by default a vector."""
    array = np.empty(len(found), object)
    array[:] = found
    return array if shape is None else array.reshape(shape)


@op("StringConcat", since=20, differentiable=False)
def string_concat(xp, X, Y):
    """X followed by Y, elementwise, broadcast."""
    x, y = texts(X), texts(Y, "Y")
    try:
        shape = np.broadcast_shapes(X.shape, Y.shape)
    except ValueError:
        raise InvalidInput(f"X {list(X.shape)} and Y {list(Y.shape)} cannot be broadcast together") from None
    repeats = [math.prod(shape) // max(len(found), 1) for found in (x, y)]
    bounded(shape, object)
    bounded([sum(n * sum(map(len, found)) for n, found in zip(repeats, (x, y), strict=True))], _CHARACTER)
    return np.asarray(np.add(text_array(x, X.shape), text_array(y, Y.shape)), object)


@op("StringSplit", since=20, differentiable=False)
def string_split(xp, X, *, delimiter=None, maxsplit=None):
    """The parts of each text along a new last axis, filled up with "", and how many there are.

    Without a delimiter, or with an empty one, runs of white space separate, and none is left at either end. After
    `maxsplit` parts the rest stays whole.
    """
    limit = -1 if maxsplit is None else max(maxsplit, -1)
    if delimiter:
        parts = [text.split(delimiter, limit) for text in texts(X)]
    else:
        parts = [text.strip().split(None, limit) for text in texts(X)]
    counts = np.fromiter(map(len, parts), np.int64, len(parts))
    width = int(counts.max(initial=0))
    Y = np.full(bounded((len(parts), width), object), "", object)
    Y[np.arange(width) < counts[:, None]] = text_array([part for found in parts for part in found])
    return Y.reshape((*X.shape, width)), counts.reshape(X.shape)


def _lower(text, turkic):
    return (text.replace("İ", "i").replace("I", "ı") if turkic else text).lower()


def _upper(text, turkic):
    return (text.replace("i", "İ") if turkic else text).upper()


_CASE = {"NONE": lambda text, turkic: text, "LOWER": _lower, "UPPER": _upper}


@op("StringNormalizer", since=10, differentiable=False)
def string_normalizer(xp, X, *, case_change_action="NONE", is_case_sensitive=0, locale="en_US", stopwords=()):
    """The texts of X [C] or [1, C] that are no stop words, in lower or upper case; one empty text if none is left.

    Case follows Unicode; of the locale only the language counts, for the two i of Turkish and Azerbaijani.
    """
    if case_change_action not in _CASE:
        raise InvalidGraph(f"case_change_action is {case_change_action!r}; expected NONE, LOWER or UPPER")
    if X.ndim not in (1, 2) or X.shape[0] != 1 < X.ndim:
        raise InvalidInput(f"X has shape {list(X.shape)}; StringNormalizer expects [C] or [1, C]")
    turkic = re.split(r"[^a-z]", locale.lower())[0] in _TURKIC
    compared = _CASE["NONE" if is_case_sensitive else "LOWER"]
    removed = {compared(word, turkic) for word in stopwords}
    kept = [text for text in texts(X) if compared(text, turkic) not in removed] if removed else texts(X)
    change = _CASE[case_change_action]
    kept = [change(text, turkic) for text in kept] or [""]
    return text_array(kept, (1,) * (X.ndim - 1) + (len(kept),))


@op("RegexFullMatch", since=20, differentiable=False)
def regex_full_match(xp, X, *, pattern):
    """Whether the whole of each text matches the pattern, in RE2's syntax and in time linear in the text's length.

    Raises:
        InvalidGraph: if the pattern is not one, or too large.
        MissingDependency: if google-re2 is not installed.
    """
    try:
        import re2
    except ImportError:
        raise MissingDependency(
            "RegexFullMatch needs google-re2; install it with pip install 'striate[text]'"
        ) from None
    options = re2.Options()
    options.max_mem = _REGEX_BYTES
    options.never_capture = True
    options.log_errors = False
    try:
        matches = re2.compile(pattern.encode("utf-8", "surrogateescape"), options).fullmatch
    except re2.error as error:
        said = error.args[0] if error.args else error
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        raise InvalidGraph(f"pattern {pattern[:80]!r} is not a regular expression of RE2: {said}") from None
    found = (matches(text.encode("utf-8", "surrogateescape")) is not None for text in texts(X))
    return np.fromiter(found, bool, X.size).reshape(X.shape)


# ---- TfIdfVectorizer


@dataclass(frozen=True)
class _Trie:
    """The n-grams of a pool as a tree of prefixes, one level for each length.

    Tokens are numbered from 0 to `size` - 1. A level holds, for every prefix of its length, `keys`: number of the
    prefix one shorter · size + number of the last token, ascending, its place being the prefix's own number; and
    `grams`: which n-gram of the pool the prefix is, or -1.
    """

    tokens: Any
    size: int
    levels: tuple[tuple[np.ndarray, np.ndarray], ...]

    def numbers(self, X):
        """The number of every token of X, -1 for those that are not in the pool."""
        if not isinstance(self.tokens, dict):
            return _places(self.tokens, X.astype(np.int64))
        return np.fromiter((self.tokens.get(text, -1) for text in texts(X)), np.int64, X.size).reshape(X.shape)


def _places(keys, values):
    """The place of every value in the ascending `keys`, or -1."""
    if not keys.size:
        return np.full(values.shape, -1)
    places = np.minimum(np.searchsorted(keys, values), keys.size - 1)
    return np.where(keys[places] == values, places, -1)


@lru_cache(maxsize=8)
def _trie(pool, ngram_counts, shortest, longest):
    """The tree of the n-grams of the pool from the shortest to the longest length."""
    if pool and isinstance(pool[0], str):
        tokens = {token: i for i, token in enumerate(dict.fromkeys(pool))}
        numbers = np.fromiter(map(tokens.__getitem__, pool), np.int64, len(pool))
    else:
        tokens, numbers = np.unique(np.array(pool, np.int64), return_inverse=True)
    starts, lengths = _grams(len(pool), ngram_counts)
    active = np.flatnonzero((lengths >= shortest) & (lengths <= longest))
    prefix = np.zeros(len(starts), np.int64)
    levels = []
    while active.size:
        depth = len(levels)
        keys, prefix[active] = np.unique(
            prefix[active] * len(tokens) + numbers[starts[active] + depth], return_inverse=True
        )
        ends = lengths[active] == depth + 1
        whole = active[ends]
        grams = np.full(len(keys), -1)
        grams[prefix[whole]] = whole
        if np.count_nonzero(grams >= 0) < whole.size:
            raise InvalidGraph(f"the pool of TfIdfVectorizer holds an n-gram of length {depth + 1} twice")
        levels.append((keys, grams))
        active = active[~ends]
    return _Trie(tokens, len(tokens), tuple(levels))


def _grams(size, ngram_counts):
    """Where each n-gram of a pool of this size starts, and its length."""
    bounds = (*ngram_counts, size)
    starts = []
    for n, (start, end) in enumerate(pairwise(bounds), 1):
        if not 0 <= start <= end <= size or (end - start) % n or (n == 1 and start):
            raise InvalidGraph(
                f"ngram_counts puts the {n}-grams at {start} to {end} of a pool of {size} tokens; "
                f"expected ascending positions from 0 on, and a multiple of {n} tokens"
            )
        starts.append(np.arange(start, end, n))
    lengths = np.repeat(np.arange(1, len(starts) + 1), [len(found) for found in starts])
    return np.concatenate(starts), lengths


def _counted(trie, X, count, max_skip_count):
    """How often each of the `count` n-grams is in each row of X [N, C]: [N, count].

    Of an n-gram the tokens stand 1 + skips apart, skips from 0 to max_skip_count; single tokens count once.
    """
    rows, length = X.shape
    counts = np.zeros(math.prod(bounded((rows, count), np.int64)), np.int64)
    if trie.levels and X.size:
        numbers = trie.numbers(X)
        first = _next(trie, 0, np.zeros(X.size, np.int64), *np.indices(X.shape).reshape(2, -1), numbers, counts)
        widest = max(length - 1, 1) if len(trie.levels) > 1 else 0
        for stride in range(1, min(max_skip_count + 1, widest) + 1):
            prefix, row, column = first
            for depth in range(1, len(trie.levels)):
                reached = column < length - stride
                prefix, row, column = prefix[reached], row[reached], column[reached] + stride
                prefix, row, column = _next(trie, depth, prefix, row, column, numbers, counts)
    return counts.reshape(rows, count)


def _next(trie, depth, prefix, row, column, numbers, counts):
    """Prolongs every prefix by the token at its row and column, drops those unknown, and counts whole n-grams."""
    keys, grams = trie.levels[depth]
    token = numbers[row, column]
    place = np.where(token < 0, -1, _places(keys, prefix * trie.size + token))
    known = place >= 0
    prefix, row, column = place[known], row[known], column[known]
    ends = grams[prefix] >= 0
    np.add.at(counts, row[ends] * (counts.size // len(numbers)) + grams[prefix[ends]], 1)
    return prefix, row, column


@op("TfIdfVectorizer", since=9, host=(0,), differentiable=False)
def tf_idf_vectorizer(
    xp, X, *, max_gram_length, max_skip_count, min_gram_length, mode, ngram_counts, ngram_indexes,
    pool_int64s=None, pool_strings=None, weights=None,
):  # fmt: skip
    """Y[ngram_indexes[i]] = how often n-gram i is in X [C], or in each row of X [N, C].

    TF: the count; IDF: weights[i] if there is any; TFIDF: weights[i] · count. N-grams of one index are added up.
    """
    _check_tf_idf(mode, min_gram_length, max_gram_length, max_skip_count, ngram_counts, ngram_indexes)
    if (pool_int64s is None) == (pool_strings is None):
        raise InvalidGraph("TfIdfVectorizer needs either pool_int64s or pool_strings")
    if X.ndim not in (1, 2) or is_text(X) != (pool_int64s is None):
        raise InvalidInput(
            f"X has dtype {X.dtype} and shape {list(X.shape)}; TfIdfVectorizer expects [C] or [N, C] of what "
            f"{'pool_strings' if pool_int64s is None else 'pool_int64s'} holds"
        )
    pool = tuple(pool_strings if pool_int64s is None else pool_int64s)
    count = len(_grams(len(pool), ngram_counts)[0])
    for name, given in (("ngram_indexes", ngram_indexes), ("weights", weights)):
        if given is not None and len(given) != count:
            raise InvalidGraph(f"{name} has {len(given)} elements for the {count} n-grams of the pool")
    width = max(ngram_indexes) + 1
    rows = X if X.ndim == 2 else X[None]
    Y = np.zeros(bounded((len(rows), width), np.float32), np.float32)
    trie = _trie(pool, tuple(ngram_counts), min_gram_length, max_gram_length)
    counts = _counted(trie, rows, count, max_skip_count)
    row, gram = np.nonzero(counts)
    values = (counts[row, gram] if mode != "IDF" else np.ones(row.size)).astype(np.float32)
    if mode != "TF" and weights is not None:
        values *= np.asarray(weights, np.float32)[gram]
    np.add.at(Y.reshape(-1), row * width + np.asarray(ngram_indexes, np.int64)[gram], values)
    return xp.asarray(Y.reshape((*X.shape[:-1], width)))


def _check_tf_idf(mode, shortest, longest, skips, ngram_counts, ngram_indexes):
    if mode not in ("TF", "IDF", "TFIDF"):
        raise InvalidGraph(f"mode of TfIdfVectorizer is {mode!r}; expected TF, IDF or TFIDF")
    if not 1 <= shortest <= longest <= len(ngram_counts):
        raise InvalidGraph(
            f"min_gram_length {shortest} and max_gram_length {longest} do not fit the {len(ngram_counts)} lengths of "
            "ngram_counts; expected 1 ≤ min ≤ max ≤ that"
        )
    if skips < 0:
        raise InvalidGraph(f"max_skip_count is {skips}; expected 0 or more")
    if not ngram_indexes or min(ngram_indexes) < 0:
        raise InvalidGraph("ngram_indexes must hold at least one index, and none below 0")
