"""What the case table cannot say of text: hostile patterns and sizes, bytes, errors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from striate.runtime import limits
from striate.runtime.errors import InvalidGraph, InvalidInput, LimitExceeded, MissingDependency, StriateError
from striate.runtime.ops import registry


def _run(name: str, *inputs: Any, **attributes: Any) -> Any:
    operator = registry.lookup("", name, 21)
    return operator.kernel(np, *inputs, **operator.bind(attributes))


def _text(*words: Any) -> np.ndarray:
    return np.array(words, object)


def test_a_pattern_that_makes_others_backtrack_is_matched_in_linear_time() -> None:
    texts = _text("a" * 50_000 + "b", "a" * 50_000)
    assert _run("RegexFullMatch", texts, pattern="((a+)+)+").tolist() == [False, True]


@pytest.mark.parametrize("pattern", ["(", "a**", r"(a)\1", "(?=a)", "(a{1000}){1000}", "(((a{100}){100}){100})"])
def test_patterns_refused(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidGraph, match="not a regular expression of RE2"):
        _run("RegexFullMatch", _text("a"), pattern=pattern)
    assert not capfd.readouterr().err


def test_a_pattern_too_large_is_refused() -> None:
    with pytest.raises(InvalidGraph, match="too large"):
        _run("RegexFullMatch", _text("a"), pattern=r"(\pL{500}\pN{500}){2}" * 20)


def test_without_re2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(MissingDependency, match=r"striate\[text\]"):
        _run("RegexFullMatch", _text("a"), pattern="a")


def test_bytes_are_text() -> None:
    joined = _run("StringConcat", _text("grö".encode(), b"\xff"), _text("ß", "x"))
    assert joined.tolist() == ["größ", "\udcffx"]
    assert _run("RegexFullMatch", joined, pattern=r"gr.ß|\C*x").tolist() == [True, True]


def test_growing_text_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every concatenation of a text with itself doubles it: a small file could ask for any length."""
    monkeypatch.setattr(limits, "VALUE_BYTES", 1 << 16)
    text = np.array("ab", object)
    with pytest.raises(LimitExceeded):
        for _ in range(20):
            text = _run("StringConcat", text, text)
    assert len(text.item()) == 1 << 14


def test_padding_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VALUE_BYTES", 1 << 16)
    with pytest.raises(LimitExceeded, match=r"\[200, 1001\]"):
        _run("StringSplit", _text("," * 1000, *["a"] * 199), delimiter=",")


GRAMS: dict[str, Any] = {
    "mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "ngram_counts": (0, 2),
    "ngram_indexes": (0, 1, 2), "pool_int64s": (1, 2, 1, 2),
}  # fmt: skip
NUMBERS = np.array([1, 2, 1])

WRONG_GRAMS: dict[str, tuple[dict[str, Any], str]] = {
    "mode": ({"mode": "BM25"}, "expected TF, IDF or TFIDF"),
    "lengths": ({"min_gram_length": 2, "max_gram_length": 1}, "1 ≤ min ≤ max"),
    "length 0": ({"min_gram_length": 0}, "1 ≤ min ≤ max"),
    "length beyond": ({"max_gram_length": 2**62}, "fit the 2 lengths"),
    "skips": ({"max_skip_count": -1}, "expected 0 or more"),
    "start": ({"ngram_counts": (1, 2)}, "from 0 on"),
    "descending": ({"ngram_counts": (0, 5), "pool_int64s": (1, 2, 1, 2)}, "0 to 5 of a pool of 4"),
    "negative start": ({"ngram_counts": (0, -2)}, "ascending positions"),
    "half a gram": ({"pool_int64s": (1, 2, 1, 2, 3)}, "a multiple of 2 tokens"),
    "a gram twice": ({"pool_int64s": (1, 2, 1, 2, 1, 2), "ngram_indexes": (0, 1, 2, 3)}, "of length 2 twice"),
    "indexes": ({"ngram_indexes": (0, 1)}, "ngram_indexes has 2 elements for the 3 n-grams"),
    "index below 0": ({"ngram_indexes": (0, 1, -1)}, "none below 0"),
    "no index": ({"ngram_indexes": ()}, "at least one index"),
    "weights": ({"weights": (1.0,)}, "weights has 1 elements"),
    "two pools": ({"pool_strings": ("a",)}, "either pool_int64s or pool_strings"),
    "no pool": ({"pool_int64s": None}, "either pool_int64s or pool_strings"),
    "other pool": ({"pool_int64s": None, "pool_strings": ("a", "b", "a", "b")}, "what pool_strings holds"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_GRAMS.values(), ids=WRONG_GRAMS)
def test_wrong_grams(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StriateError, match=message):
        _run("TfIdfVectorizer", NUMBERS, **{**GRAMS, **change})


def test_a_far_index_is_limited() -> None:
    with pytest.raises(LimitExceeded):
        _run("TfIdfVectorizer", NUMBERS, **{**GRAMS, "ngram_indexes": (0, 1, 2**50)})


WRONG: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], str]] = {
    "shapes": ("StringConcat", (_text("a", "b"), _text("a", "b", "c")), {}, r"X \[2\] and Y \[3\]"),
    "numbers": ("StringConcat", (_text("a"), np.ones(1)), {}, "Y has dtype float64; expected text"),
    "numbers among text": ("StringSplit", (_text("a", 1.5),), {}, "holds a float among its text"),
    "rank": ("StringNormalizer", (_text("a").reshape(1, 1, 1),), {}, r"expects \[C\] or \[1, C\]"),
    "rows": ("StringNormalizer", (_text("a", "b").reshape(2, 1),), {}, r"expects \[C\] or \[1, C\]"),
    "scalar": ("StringNormalizer", (np.array("a", object),), {}, r"expects \[C\] or \[1, C\]"),
    "case": ("StringNormalizer", (_text("a"),), {"case_change_action": "Title"}, "NONE, LOWER or UPPER"),
    "no pattern": ("RegexFullMatch", (_text("a"),), {}, "pattern"),
    "tokens of rank 3": ("TfIdfVectorizer", (NUMBERS.reshape(1, 1, 3),), GRAMS, r"\[C\] or \[N, C\]"),
    "text for numbers": ("TfIdfVectorizer", (_text("a"),), GRAMS, "what pool_int64s holds"),
}


@pytest.mark.parametrize(("name", "inputs", "attributes", "message"), WRONG.values(), ids=WRONG)
def test_errors(name: str, inputs: tuple[Any, ...], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidInput, InvalidGraph), match=message):
        _run(name, *inputs, **attributes)
