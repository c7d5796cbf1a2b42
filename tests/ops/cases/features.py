"""Rows of `runtime/ops/features.py`."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..table import Case, case, ints, real

f32, f64 = np.float32, np.float64
ml = partial(case, domain="ai.onnx.ml", opset=1)


def text(*words):
    return np.array(words, object)


def are(*outputs):
    """The outputs, worked by hand."""
    return lambda *inputs, **attrs: outputs


def _scaled(X, offset=(0.0,), scale=(1.0,)):
    return ((X - np.array(offset, f32)) * np.array(scale, f32)).astype(f32)


def _normalized(X, norm="MAX"):
    rows = np.atleast_2d(X).astype(f64)
    of_row = {"MAX": np.max, "L1": lambda x: np.abs(x).sum(), "L2": np.linalg.norm}[norm]
    return np.stack([x / (of_row(x) or 1) for x in rows]).reshape(X.shape).astype(f32)


WITH_ZEROS = np.array([[1.0, -4.0, 2.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -4.0], [-1.0, 0.0, -2.0], [1e-30, 3e-30, 0.0]])
NAN = float("nan")

CASES: list[Case] = [
    ml("ArrayFeatureExtractor", real(2, 3, 4), [3, 0, 0], expect=lambda X, Y: X[..., [3, 0, 0]]),
    ml("ArrayFeatureExtractor", real(5), [4], expect=lambda X, Y: X[None, 4:], name="a vector"),
    ml("ArrayFeatureExtractor", ints(2, 3, dtype=np.int32), np.array([[2, 1], [0, 0]]), name="flattened",
       expect=lambda X, Y: X[:, [2, 1, 0, 0]]),
    ml("ArrayFeatureExtractor", text("a", "b", "c"), [2, 0], expect=are(np.array([["c", "a"]], object)), name="text"),
    ml("ArrayFeatureExtractor", real(2, 3), np.zeros(0, np.int64), expect=lambda X, Y: X[:, :0], name="nothing"),
    ml("Binarizer", real(3, 4), threshold=0.25, expect=lambda X, threshold: (threshold < X).astype(X.dtype)),
    ml("Binarizer", ints(5, low=-3, high=3, dtype=np.int32), expect=lambda X: (X > 0).astype(np.int32), name="int32"),
    ml("Binarizer", np.array([1.0, 1.5, np.nan, np.inf, -np.inf]), threshold=1.0, name="edges",
       expect=lambda X, threshold: np.array([0, 1, 0, 1, 0], X.dtype)),
    ml("FeatureVectorizer", real(2, 3), real(2, 1), real(2, 2, key="other"), inputdimensions=[3, 1, 2],
       expect=lambda *X, **attrs: np.concatenate(X, 1).astype(f32)),
    ml("FeatureVectorizer", ints(2, 1), ints(2, 3), inputdimensions=[3, 2], name="filled up and cut",
       expect=lambda A, B, **attrs: np.concatenate([A, np.zeros((2, 2)), B[:, :2]], 1).astype(f32)),
    ml("FeatureVectorizer", ints(3, dtype=np.int32), ints(2, dtype=np.int32), inputdimensions=[3, 2], name="vectors",
       expect=lambda A, B, **attrs: np.concatenate([A, B])[None].astype(f32)),
    ml("FeatureVectorizer", real(2, 3), expect=lambda X: X.astype(f32), name="as they are"),
    ml("FeatureVectorizer", real(2, 3), inputdimensions=[0], expect=are(np.zeros((2, 0), f32)), name="nothing"),
    ml("Imputer", np.array([[1.0, np.nan], [np.nan, 0.0]]), imputed_value_floats=[7.0, 8.0], replaced_value_float=NAN),
    ml("Imputer", np.array([[1.0, -1.0], [np.nan, 0.0]]), imputed_value_floats=[0.5], replaced_value_float=-1.0,
       name="one for all"),
    ml("Imputer", ints(3, 2, high=3), imputed_value_int64s=[10, 20], replaced_value_int64=1, name="int64"),
    ml("Imputer", ints(2, 3, 2, high=2, dtype=np.int32), imputed_value_int64s=[-5, 5], name="int32, rank 3",
       expect=lambda X, **attrs: np.where(X == 0, np.array([-5, 5], np.int32), X)),
    ml("Imputer", np.array(0.0), imputed_value_floats=[2.0], expect=lambda X, **attrs: X + 2, name="scalar"),
    *(
        ml("Normalizer", X, norm=norm, expect=_normalized, name=f"{norm} {name}")
        for norm in ("MAX", "L1", "L2")
        for name, X in {
            "rows": WITH_ZEROS, "vector": WITH_ZEROS[0], "int64": ints(3, 4, low=-5), "large": real(2, 3) * 1e30,
            "int32": ints(3, 4, low=-5, dtype=np.int32),
        }.items()
    ),
    ml("Normalizer", np.array([2.0, 4.0]), expect=are(np.array([0.5, 1.0], f32))),
    ml("Normalizer", np.zeros((2, 0)), norm="L2", expect=are(np.zeros((2, 0), f32)), name="nothing"),
    ml("Scaler", real(4, 3), offset=[0.5, -1.0, 2.0], scale=[2.0, 0.25, -1.0], expect=_scaled),
    ml("Scaler", real(2, 4, 3), offset=[0.5], scale=[2.0], expect=_scaled, name="one for all"),
    ml("Scaler", real(3), offset=[0.5, -1.0, 2.0], scale=[2.0, 0.25, -1.0], expect=_scaled, name="vector"),
    ml("Scaler", ints(2, 2), offset=[3.0, 0.5], scale=[0.5, 4.0], expect=_scaled, name="int64"),
    ml("Scaler", np.array([[2**24 + 1]]), offset=[2.0**24], scale=[1.0], expect=are(np.ones((1, 1), f32)),
       name="rounded once"),
    ml("Scaler", ints(2, 2, dtype=np.int32), scale=[0.5], expect=_scaled, name="int32, scale alone"),
    ml("Scaler", real(2, 2), offset=[0.5], expect=_scaled, name="offset alone"),
    ml("CastMap", {5: f32(1.5), 2: f32(-2.7)}, expect=are(np.array([[-2.7, 1.5]], f32))),
    ml("CastMap", {5: f32(1.5), 2: f32(-2.7)}, map_form="SPARSE", max_map=7, name="sparse",
       expect=are(np.array([[0, 0, -2.7, 0, 0, 1.5, 0]], f32))),
    ml("CastMap", {5: f32(1.5), -2: f32(-2.7)}, cast_to="TO_INT64", expect=are(np.array([[-2, 1]])), name="integers"),
    ml("CastMap", {1: f32(1.5), 0: f32(0.1)}, cast_to="TO_STRING", map_form="SPARSE", max_map=3, name="text",
       expect=are(np.array([["0.1", "1.5", ""]], object))),
    ml("CastMap", {1: "1.5", 0: "-2"}, expect=are(np.array([[-2, 1.5]], f32)), name="from text"),
    ml("CastMap", {1: "b", 0: "a"}, cast_to="TO_STRING", expect=are(np.array([["a", "b"]], object)), name="text stays"),
    ml("CastMap", {1: "12", 3: "7"}, cast_to="TO_INT64", map_form="SPARSE", max_map=4, name="integers from text",
       expect=are(np.array([[0, 12, 0, 7]]))),
    ml("DictVectorizer", {"a": np.int64(4), "c": np.int64(8)}, string_vocabulary=["a", "c", "b", "z"],
       expect=are(np.array([4, 8, 0, 0]))),
    ml("DictVectorizer", {"a": f32(0.1), "unknown": f32(8)}, string_vocabulary=["b", "a"], name="float",
       expect=are(np.array([0, 0.1], f32))),
    ml("DictVectorizer", {"a": f64(0.1)}, string_vocabulary=["a", "b", "a"], expect=are(np.array([0.1, 0, 0.1])),
       name="double, a word twice"),
    ml("DictVectorizer", {7: f32(1.5), -1: f32(2)}, int64_vocabulary=[-1, 0, 7], expect=are(np.array([2, 0, 1.5], f32)),
       name="integer keys"),
    ml("DictVectorizer", {7: f64(1.5)}, int64_vocabulary=[7, 0], name="integer, double",
       expect=are(np.array([1.5, 0]))),
    ml("DictVectorizer", {7: "x"}, int64_vocabulary=[0, 7], expect=are(text("", "x")), name="text"),
    ml("ZipMap", np.array([[0.25, 0.75], [1.0, 0.0]]), classlabels_strings=["no", "yes"], dtypes=("float32",),
       expect=are([{"no": 0.25, "yes": 0.75}, {"no": 1.0, "yes": 0.0}])),
    ml("ZipMap", np.array([0.25, 0.75]), classlabels_int64s=[3, -3], expect=are([{3: 0.25, -3: 0.75}]), name="integers",
       dtypes=("float32",)),
    ml("ZipMap", np.zeros((0, 2)), classlabels_int64s=[0, 1], expect=are([]), name="no rows", dtypes=("float32",)),
]  # fmt: skip
