"""Rows of `runtime/ops/categories.py`."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..table import Case, case, ints

f32 = np.float32
ml = partial(case, domain="ai.onnx.ml")


def text(*words):
    return np.array(words, object)


def are(*outputs):
    """The outputs, worked by hand."""
    return lambda *inputs, **attrs: outputs


OF_FLOATS = np.array([[0.5, -0.0, np.nan], [0.0, 1e30, -np.inf]])
KEYS = {"floats": [np.nan, 0.0, -np.inf, 0.5], "int64s": [2**40, 0, -1, 3], "strings": ["", "b", "ä", "a"]}
VALUES = {"floats": [0.1, -1.0, np.inf, 2.0], "int64s": [5, -(2**40), 0, 1], "strings": ["w", "x", "", "zé"]}
GIVEN = {
    "floats": OF_FLOATS,
    "int64s": np.array([[3, 2**40, 7], [-1, 0, -(2**63)]]),
    "strings": text("a", "", "b", "ä", "A", "ä ").reshape(2, 3),
}
FOUND = {
    "floats": [[3, 1, 0], [1, -1, 2]],
    "int64s": [[3, 0, -1], [2, 1, -1]],
    "strings": [[3, 0, 1], [2, -1, -1]],
}
"""Where the elements of GIVEN are among the KEYS."""
DTYPES = {"floats": f32, "int64s": np.int64, "strings": object}
DEFAULTS = {"floats": -0.0, "int64s": -1, "strings": "_Unused"}


def looked_up(keys, values, default=None):
    table = [*VALUES[values], DEFAULTS[values] if default is None else default]
    return are(np.array([[table[i] for i in row] for row in FOUND[keys]], DTYPES[values]))


def _hot(X, cats_int64s, zeros=1):
    return (np.trunc(X)[..., None] == np.array(cats_int64s)).astype(f32)


def _mapped(X, keys_tensor, values_tensor, default_tensor):
    return np.array([dict(zip(keys_tensor, values_tensor, strict=True)).get(x, default_tensor[0]) for x in X])


CASES: list[Case] = [
    ml("CategoryMapper", text("b", "z", "a").reshape(3, 1), opset=1, cats_int64s=[3, -5], cats_strings=["a", "b"],
       expect=are(np.array([[-5], [-1], [3]]))),
    ml("CategoryMapper", np.array([-5, 0, 3]), opset=1, cats_int64s=[3, -5], cats_strings=["a", "b"], name="to text",
       default_string="?", expect=are(text("b", "?", "a"))),
    ml("CategoryMapper", text("a"), opset=1, cats_int64s=[], cats_strings=[], default_int64=9, name="no categories",
       expect=are(np.array([9]))),
    ml("LabelEncoder", text("b", "z", "a").reshape(1, 3), opset=1, classes_strings=["a", "b"], default_int64=7,
       expect=are(np.array([[1, 7, 0]]))),
    ml("LabelEncoder", np.array([1, 0, 2, -1]), opset=1, classes_strings=["a", "b"], name="to text",
       expect=are(text("b", "a", "_Unused", "_Unused"))),
    *(
        ml("LabelEncoder", GIVEN[keys], opset=opset, dtypes=("float32",), expect=looked_up(keys, values),
           name=f"{keys} to {values}", **{f"keys_{keys}": KEYS[keys], f"values_{values}": VALUES[values]})
        for opset in (2, 4) for keys in KEYS for values in VALUES
    ),
    *(
        ml("LabelEncoder", GIVEN["int64s"], opset=opset, keys_int64s=KEYS["int64s"], name=f"default {values}",
           expect=looked_up("int64s", values, v), **{f"values_{values}": VALUES[values], name: v})
        for opset in (2, 4)
        for values, name, v in [("floats", "default_float", 2.5), ("int64s", "default_int64", 99),
                                ("strings", "default_string", "else")]
    ),
    *(
        ml("LabelEncoder", ints(20, high=9, dtype=dtype), opset=4, expect=_mapped, dtypes=("float64",),
           name=f"{np.dtype(dtype).name} tensors",
           keys_tensor=np.array([8, 1, 3, 5], dtype), values_tensor=np.array([100, -7, 3, 0], other),
           default_tensor=np.array([-100], other))
        for dtype, other in [(np.int16, np.float64), (np.int32, np.int16), (np.float64, np.int32), (np.int64, f32)]
    ),
    ml("LabelEncoder", text("a", "b", "ä"), opset=4, keys_tensor=text("b", "ä"), values_tensor=text("x", "yé"),
       default_tensor=text("?"), expect=are(text("?", "x", "yé")), name="text tensors"),
    ml("LabelEncoder", text("a", "b"), opset=4, keys_tensor=text("b"), values_tensor=text("x"),
       expect=are(text("_Unused", "x")), name="text tensors, own default"),
    ml("LabelEncoder", np.array([1, 2, 3], np.int32), opset=4, keys_tensor=np.array([2], np.int32),
       values_tensor=np.array([7], np.int16), expect=are(np.array([-1, 7, -1], np.int16)), name="own default"),
    ml("LabelEncoder", text("a", "b"), opset=4, keys_strings=["a", "b", "a"], values_int64s=[1, 2, 3], name="key twice",
       expect=are(np.array([3, 2]))),
    ml("LabelEncoder", np.array([1, 2]), opset=4, keys_int64s=[1, 2, 1], values_int64s=[1, 2, 3], name="integer twice",
       expect=are(np.array([3, 2]))),
    ml("LabelEncoder", np.array(["a"]).reshape(()), opset=4, keys_strings=["a"], values_strings=["b"],
       expect=are(np.array("b", object)), name="scalar"),
    ml("LabelEncoder", np.array(3), opset=4, keys_int64s=[3], values_strings=["b"], expect=are(np.array("b", object)),
       name="scalar to text"),
    ml("LabelEncoder", np.zeros((0, 2), np.int64), opset=4, keys_int64s=[3], values_int64s=[4], name="empty",
       expect=are(np.zeros((0, 2), np.int64))),
    ml("LabelEncoder", np.array([np.nan, 1.0]), opset=4, keys_floats=[np.nan], values_int64s=[4], dtypes=("float32",),
       expect=are(np.array([4, -1])), name="NaN alone"),
    ml("OneHotEncoder", ints(2, 3, high=4), opset=1, cats_int64s=[2, 0, 1], expect=_hot),
    ml("OneHotEncoder", ints(3, high=3, dtype=np.int32), opset=1, cats_int64s=[0, 1, 2], zeros=0, expect=_hot,
       name="int32, all known"),
    ml("OneHotEncoder", np.array([[1.9, -0.5], [np.nan, 3e20], [-1.0, np.inf]]), opset=1, cats_int64s=[0, 1, -1],
       expect=_hot, name="floats"),
    ml("OneHotEncoder", text("b", "z"), opset=1, cats_strings=["a", "b"], name="text",
       expect=are(np.array([[0, 1], [0, 0]], f32))),
    ml("OneHotEncoder", np.array([2, 1]), opset=1, cats_int64s=[1, 2, 1], name="category twice",
       expect=are(np.array([[0, 1, 0], [0, 0, 1]], f32))),
    ml("OneHotEncoder", np.array(4), opset=1, cats_int64s=[3, 4], expect=are(np.array([0, 1], f32)), name="scalar"),
]  # fmt: skip
