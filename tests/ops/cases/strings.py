"""Rows of `runtime/ops/strings.py`."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..table import Case, case, ints


def text(*words, shape=None):
    array = np.array(words, object)
    return array if shape is None else array.reshape(shape)


def are(*outputs):
    """The outputs, worked by hand."""
    return lambda *inputs, **attrs: outputs


WORDS = text("a", "dog", "", "gäbe es", "a,b,,c", " x  y\tz ", shape=(2, 3))
TOKENS = ["be", "or", "not", "to", "question"]
SPOKEN = text("to", "be", "or", "not", "to", "be", "that", "be", shape=(2, 4))
POOL = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7]
"""1-grams 2, 3, 5, 4 and 2-grams 5 6, 7 8, 6 7."""
GRAMS = {"ngram_counts": [0, 4], "ngram_indexes": [0, 1, 2, 3, 4, 5, 6], "pool_int64s": POOL}


def tf_idf(X, *, mode="TF", shortest=1, longest=2, skips=0, **attrs):
    given = {**({} if "ngram_counts" in attrs else GRAMS), **attrs}
    return case("TfIdfVectorizer", X, opset=9, mode=mode, min_gram_length=shortest, max_gram_length=longest,
                max_skip_count=skips, **given)  # fmt: skip


def counted(X, *, mode, min_gram_length, max_gram_length, max_skip_count, ngram_counts, ngram_indexes, name="",
            pool_int64s=None, pool_strings=None, weights=None):  # fmt: skip
    """n-gram by n-gram, row by row, skip by skip."""
    pool = pool_int64s or pool_strings
    Y = np.zeros((*X.shape[:-1], max(ngram_indexes) + 1))
    rows, bounds, number = Y.reshape(-1, Y.shape[-1]), [*ngram_counts, len(pool)], 0
    for n in range(1, len(ngram_counts) + 1):
        for start in range(bounds[n - 1], bounds[n], n):
            gram, index = pool[start : start + n], ngram_indexes[number]
            weight = weights[number] if weights and mode != "TF" else 1
            number += 1
            if not min_gram_length <= n <= max_gram_length:
                continue
            for y, x in zip(rows, X.reshape(len(rows), X.shape[-1]).tolist(), strict=True):
                steps = range(1, 2 if n == 1 else min(max_skip_count + 2, len(x) + 1))
                ends = [(i, step) for step in steps for i in range(len(x)) if i + (n - 1) * step < len(x)]
                found = sum([x[i + k * step] for k in range(n)] == gram for i, step in ends)
                y[index] += weight * (min(found, 1) if mode == "IDF" else found)
    return Y.astype(np.float32)


def weighted(X, **options):
    """A row against `counted`: the reference reads `weights` by the index, not by the number of the n-gram."""
    row = tf_idf(X, **options)
    return case(row.op, *row.inputs, opset=9, expect=counted, name=options.pop("name"), **row.attrs)


REPEATED = np.array([[5, 6, 7, 5, 6, 2, 2], [7, 8, 6, 5, 5, 6, 7], [1, 1, 9, 0, -3, 4, 2**40]])

CASES: list[Case] = [
    case("StringConcat", WORDS, WORDS[:1], opset=20, expect=lambda x, y: x + y, name="broadcast"),
    case("StringConcat", text("a", "b", shape=(2, 1)), text("x", "", "zé"), opset=20, name="outer",
         expect=are(text("ax", "a", "azé", "bx", "b", "bzé", shape=(2, 3)))),
    case("StringConcat", np.array("a"), np.array("b"), opset=20, expect=are(np.array("ab", object)), name="scalars"),
    case("StringConcat", text(shape=(0, 3)), WORDS[0], opset=20, expect=are(text(shape=(0, 3))), name="empty"),
    case("StringSplit", WORDS, opset=20, outputs=2, delimiter=","),
    case("StringSplit", text("a--b---c", "--", "", "abc"), opset=20, outputs=2, delimiter="--", name="long delimiter"),
    case("StringSplit", WORDS, opset=20, outputs=2, name="white space"),
    case("StringSplit", WORDS, opset=20, outputs=2, delimiter="", name="empty delimiter"),
    case("StringSplit", text("a,b,,c", ",", ""), opset=20, outputs=2, delimiter=",", maxsplit=2, name="maxsplit"),
    case("StringSplit", text("a,b", "c"), opset=20, outputs=2, delimiter=",", maxsplit=0, name="no split",
         expect=are(text("a,b", "c", shape=(2, 1)), np.ones(2, np.int64))),
    # The reference leaves white space at the end of the rest.
    case("StringSplit", text("  a b \t c ", " "), opset=20, outputs=2, maxsplit=1, name="maxsplit, white space",
         expect=are(text("a", "b \t c", "", "", shape=(2, 2)), np.array([2, 0]))),
    case("StringSplit", text("", " "), opset=20, outputs=2, name="nothing",
         expect=are(text(shape=(2, 0)), np.zeros(2, np.int64))),
    case("StringSplit", text(shape=(2, 0)), opset=20, outputs=2, delimiter=",", name="empty",
         expect=are(text(shape=(2, 0, 0)), np.zeros((2, 0), np.int64))),
    case("StringSplit", np.array("a b"), opset=20, outputs=2, name="scalar",
         expect=are(text("a", "b"), np.array(2, np.int64))),
    *(
        case("StringNormalizer", text("Monday", "tuesday", "MONDAY", "Élan", "monday"), opset=10, stopwords=["monday"],
             case_change_action=action, is_case_sensitive=sensitive, expect=are(text(*want)),
             name=f"{action} {sensitive}")
        for action, sensitive, want in [
            ("NONE", 0, ["tuesday", "Élan"]),
            ("NONE", 1, ["Monday", "tuesday", "MONDAY", "Élan"]),
            ("LOWER", 0, ["tuesday", "élan"]),
            ("LOWER", 1, ["monday", "tuesday", "monday", "élan"]),
            ("UPPER", 0, ["TUESDAY", "ÉLAN"]),
            ("UPPER", 1, ["MONDAY", "TUESDAY", "MONDAY", "ÉLAN"]),
        ]
    ),
    case("StringNormalizer", text("a", "B", shape=(1, 2)), opset=10, case_change_action="UPPER",
         expect=are(text("A", "B", shape=(1, 2))), name="one row"),
    case("StringNormalizer", text("a", "A"), opset=10, stopwords=["a"], expect=are(text("")), name="none left"),
    case("StringNormalizer", text("a", shape=(1, 1)), opset=10, stopwords=["A"], expect=are(text("", shape=(1, 1))),
         name="none left in the row"),
    case("StringNormalizer", text(), opset=10, expect=are(text("")), name="empty"),
    case("StringNormalizer", text("ıi", "Iİ"), opset=10, locale="tr_TR.UTF-8", case_change_action="UPPER",
         expect=are(text("Iİ", "Iİ")), name="Turkish upper"),
    case("StringNormalizer", text("Iİ", "KILIÇ"), opset=10, locale="az", case_change_action="LOWER",
         stopwords=["kılıç"], expect=are(text("ıi")), name="Azerbaijani lower"),
    case("StringNormalizer", text("Ii"), opset=10, locale="en_US", case_change_action="LOWER", expect=are(text("ii")),
         name="English"),
    case("RegexFullMatch", text("ab", "abb", "xab", "abx", "a\nb", "", shape=(2, 3)), opset=20, pattern="a.?b+",
         expect=are(np.array([[True, True, False], [False, False, False]]))),
    case("RegexFullMatch", text("groß", "GROSS", "gro"), opset=20, pattern=r"(?i)gro(\pL|ss)",
         expect=are(np.array([True, True, False])), name="Unicode"),
    case("RegexFullMatch", text("", "a"), opset=20, pattern="", expect=are(np.array([True, False])), name="empty"),
    case("RegexFullMatch", np.array("aa"), opset=20, pattern="a*", expect=are(np.array(True)), name="scalar"),
    case("RegexFullMatch", text(shape=(0, 2)), opset=20, pattern="a", expect=are(np.zeros((0, 2), bool)),
         name="no text"),
    *(
        case("TfIdfVectorizer", REPEATED, opset=9, mode=mode, min_gram_length=low, max_gram_length=high,
             max_skip_count=skips, weights=[1.0, 2.0, 0.5, 3.0, 0.25, 7.0, 9.0], **GRAMS,
             name=f"{mode} {low}-{high} skip {skips}")
        for mode, skips, (low, high) in product(("TF", "IDF", "TFIDF"), (0, 5), [(1, 1), (1, 2), (2, 2)])
    ),
    weighted(ints(4, 9, high=4, dtype=np.int32), name="3-grams", longest=3, skips=3, mode="TFIDF",
             ngram_counts=[0, 3, 7], ngram_indexes=[3, 0, 7, 1, 2, 5, 4],
             weights=[1.0, 2.0, 4.0, 8.0, 0.5, 0.25, 0.125],
             pool_int64s=[0, 1, 3, 1, 2, 0, 0, 1, 2, 3, 0, 0, 0]),
    weighted(ints(2, 8, high=3), name="weights", mode="TFIDF", skips=1, ngram_counts=[0, 2],
             ngram_indexes=[2, 0, 1], pool_int64s=[0, 1, 1, 2], weights=[1.0, 10.0, 0.5]),
    weighted(ints(2, 8, high=3), name="IDF weights", mode="IDF", skips=1, ngram_counts=[0, 2],
             ngram_indexes=[2, 0, 1], pool_int64s=[0, 1, 1, 2], weights=[1.0, 10.0, 0.5]),
    weighted(ints(2, 8, high=3), name="one index for two", mode="IDF", ngram_counts=[0], longest=1,
             ngram_indexes=[3, 3, 0], pool_int64s=[0, 1, 2], weights=[1.0, 10.0, 0.5]),
    weighted(SPOKEN, name="text", mode="TF", skips=2, ngram_counts=[0, 5], ngram_indexes=[6, 5, 4, 3, 2, 1, 0],
             pool_strings=[*TOKENS, "to", "be", "not", "be"]),
    weighted(SPOKEN[0], name="one row of text", ngram_counts=[0, 0], ngram_indexes=[0], pool_strings=["be", "or"]),
    weighted(np.array([2, 7, 1, 9, 0, 1]), name="unknown tokens", ngram_counts=[0, 0], ngram_indexes=[0, 1],
             pool_int64s=[1, 9, 2, 1]),
    weighted(REPEATED, name="IDF without weights", mode="IDF", skips=1),
    weighted(REPEATED, name="TFIDF without weights", mode="TFIDF", skips=1),
    weighted(np.array([5, 6]), name="more skips than tokens", shortest=2, skips=2**50),
    weighted(np.array([5]), name="shorter than the n-gram", shortest=2, skips=1),
    weighted(np.zeros((2, 0), np.int64), name="no tokens"),
    weighted(np.zeros((0, 3), np.int64), name="no rows"),
]  # fmt: skip
