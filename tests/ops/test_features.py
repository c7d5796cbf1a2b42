"""What the case table cannot say of ai.onnx.ml's features and categories: maps in a graph, hostile sizes, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from striate.runtime.errors import LimitExceeded, StriateError
from striate.runtime.ops import registry
from striate.runtime.session import InferenceSession

f32 = np.float32
ONES = np.ones((2, 3), f32)
WORDS = np.array(["a", "b"], object)
INTS = np.arange(6, dtype=np.int32).reshape(2, 3)


def _run(name: str, version: int, *inputs: Any, **attributes: Any) -> Any:
    operator = registry.lookup("ai.onnx.ml", name, version)
    return operator.kernel(np, *inputs, **operator.bind(attributes))


def _session(name: str, of_input: Any, of_output: Any, **attributes: Any) -> InferenceSession:
    node = helper.make_node(name, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    ends = [helper.make_value_info("x", of_input)], [helper.make_value_info("y", of_output)]
    model = helper.make_model(
        helper.make_graph([node], "g", *ends), opset_imports=[helper.make_opsetid("ai.onnx.ml", 1)], ir_version=10
    )
    return InferenceSession(model.SerializeToString())


def _map(key: int, value: int) -> Any:
    return helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, []))


def _tensor(kind: int, rank: int) -> Any:
    return helper.make_tensor_type_proto(kind, [None] * rank)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64])
def test_a_map_has_the_type_the_model_gives_it(kind: int) -> None:
    session = _session(
        "DictVectorizer", _map(TensorProto.STRING, kind), _tensor(kind, 1), string_vocabulary=["b", "a", "c"]
    )
    (y,) = session.run(None, {"x": {"a": 2, "b": np.int64(3) if kind == TensorProto.INT64 else 3.5}})
    assert y.dtype == helper.tensor_dtype_to_np_dtype(kind)
    assert y.tolist() == [3 if kind == TensorProto.INT64 else 3.5, 2, 0]


def test_a_map_of_text() -> None:
    session = _session(
        "CastMap",
        _map(TensorProto.INT64, TensorProto.STRING),
        _tensor(TensorProto.FLOAT, 2),
        map_form="SPARSE",
        max_map=3,
    )
    (y,) = session.run(None, {"x": {2: "0.5", 0: "-1"}})
    np.testing.assert_array_equal(y, np.array([[-1, 0, 0.5]], f32))


def test_a_sequence_of_maps_comes_out_as_plain_python() -> None:
    of_output = helper.make_sequence_type_proto(_map(TensorProto.STRING, TensorProto.FLOAT))
    session = _session("ZipMap", _tensor(TensorProto.FLOAT, 2), of_output, classlabels_strings=["no", "yes"])
    (y,) = session.run(None, {"x": np.array([[0.25, 0.75]], f32)})
    assert y == [{"no": 0.25, "yes": 0.75}]
    assert type(y[0]["no"]) is float


def test_python_floats_of_a_map_are_single_precision() -> None:
    assert _run("DictVectorizer", 1, {"a": 0.5, "b": 2}, string_vocabulary=("a", "b")).dtype == f32
    assert _run("DictVectorizer", 1, {"a": 1, "b": 2}, string_vocabulary=("a", "b")).dtype == np.int64
    assert _run("DictVectorizer", 1, {}, string_vocabulary=("a",)).tolist() == [0.0]
    assert _run("CastMap", 1, {}).shape == (1, 0)


HOSTILE: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "max_map": ("CastMap", ({0: 1.0},), {"map_form": "SPARSE", "max_map": 2**50}),
    "inputdimensions": ("FeatureVectorizer", (ONES,), {"inputdimensions": (2**50,)}),
    "indices": ("ArrayFeatureExtractor", (np.broadcast_to(f32(0), (2**30, 1)), np.zeros(2**20, np.int64)), {}),
    "categories": ("OneHotEncoder", (np.broadcast_to(np.int64(0), (2**40,)),), {"cats_int64s": tuple(range(100))}),
}


@pytest.mark.parametrize(("name", "inputs", "attributes"), HOSTILE.values(), ids=HOSTILE)
def test_sizes_are_limited(name: str, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> None:
    with pytest.raises(LimitExceeded):
        _run(name, 1, *inputs, **attributes)


WRONG: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any], str]] = {
    "index too large": ("ArrayFeatureExtractor", 1, (ONES, np.array([0, 3])), {}, "from 0 to 3, .* expected 0 to 2"),
    "index below 0": ("ArrayFeatureExtractor", 1, (ONES, np.array([-1])), {}, "from -1 to -1"),
    "no features": ("ArrayFeatureExtractor", 1, (ONES[:, :0], np.array([0])), {}, "there are 0 features"),
    "scalar": ("ArrayFeatureExtractor", 1, (np.array(1.0), np.array([0])), {}, "is a scalar"),
    "text to binarize": ("Binarizer", 1, (WORDS,), {}, "expects numbers"),
    "rows": ("FeatureVectorizer", 1, (ONES, ONES[:1]), {}, r"found shapes \[\[2, 3\], \[1, 3\]\]"),
    "rank": ("FeatureVectorizer", 1, (ONES[None],), {}, r"expects \[N, C\] or \[C\]"),
    "too few dimensions": ("FeatureVectorizer", 1, (ONES, ONES), {"inputdimensions": (3,)}, "1 sizes for 2 inputs"),
    "negative dimension": ("FeatureVectorizer", 1, (ONES,), {"inputdimensions": (-3,)}, "none negative"),
    "nothing imputed": ("Imputer", 1, (ONES,), {}, "found none"),
    "both imputed": ("Imputer", 1, (ONES,), {"imputed_value_floats": (1.0,), "imputed_value_int64s": (1,)},
                     "found imputed_value_floats and imputed_value_int64s"),
    "imputed type": ("Imputer", 1, (ONES,), {"imputed_value_int64s": (1,)}, "X has dtype float32"),
    "imputed count": ("Imputer", 1, (ONES,), {"imputed_value_floats": (1.0, 2.0)}, "one for each of the 3 features"),
    "imputed too large": ("Imputer", 1, (INTS,), {"imputed_value_int64s": (2**31,)}, "does not fit int32"),
    "replaced too large": ("Imputer", 1, (INTS,), {"imputed_value_int64s": (1,), "replaced_value_int64": 2**40},
                           "the replaced value holds 1099511627776"),
    "norm": ("Normalizer", 1, (ONES,), {"norm": "L3"}, "MAX, L1 or L2"),
    "norm rank": ("Normalizer", 1, (ONES[None],), {}, r"expects \[N, C\] or \[C\]"),
    "offsets": ("Scaler", 1, (ONES,), {"offset": (1.0,), "scale": (1.0, 1.0, 1.0)}, "expected equally many"),
    "scales": ("Scaler", 1, (ONES,), {"scale": (1.0, 2.0)}, "scale has 2 values"),
    "no map": ("CastMap", 1, (ONES,), {}, "expects a map; found a ndarray"),
    "keys": ("CastMap", 1, ({"a": 1.0},), {}, "integer keys; found the key 'a'"),
    "cast_to": ("CastMap", 1, ({0: 1.0},), {"cast_to": "TO_BOOL"}, "cast_to is 'TO_BOOL'"),
    "map_form": ("CastMap", 1, ({0: 1.0},), {"map_form": "ROUND"}, "DENSE or SPARSE"),
    "key beyond": ("CastMap", 1, ({0: 1.0, 5: 1.0},), {"map_form": "SPARSE", "max_map": 5}, "max_map - 1 = 4"),
    "key below 0": ("CastMap", 1, ({-1: 1.0},), {"map_form": "SPARSE", "max_map": 5}, "run from -1 to -1"),
    "negative max_map": ("CastMap", 1, ({},), {"map_form": "SPARSE", "max_map": -5}, "negative dimension"),
    "no number": ("CastMap", 1, ({0: "cat"},), {}, "cat"),
    "mixed values": ("CastMap", 1, ({0: "1", 1: 1.0},), {}, "found both"),
    "strange values": ("CastMap", 1, ({0: ONES},), {}, "text or numbers"),
    "two vocabularies": ("DictVectorizer", 1, ({},), {"int64_vocabulary": (1,), "string_vocabulary": ("a",)},
                         "exactly one of"),
    "no vocabulary": ("DictVectorizer", 1, ({"a": 1},), {}, "found none"),
    "other keys": ("DictVectorizer", 1, ({"a": 1},), {"int64_vocabulary": (1,)}, "integer keys"),
    "integer keys": ("DictVectorizer", 1, ({1: 1},), {"string_vocabulary": ("a",)}, "text keys"),
    "labels": ("ZipMap", 1, (ONES,), {"classlabels_int64s": (1, 2)}, "for the 2 labels of classlabels_int64s"),
    "no labels": ("ZipMap", 1, (ONES,), {}, "found none"),
    "labels of a scalar": ("ZipMap", 1, (np.array(1.0),), {"classlabels_int64s": (1,)}, r"expected \[N, E\] or \[E\]"),
    "categories": ("CategoryMapper", 1, (WORDS,), {"cats_strings": ("a",), "cats_int64s": (1, 2)},
                   "1 keys for 2 values"),
    "floats as categories": ("CategoryMapper", 1, (ONES,), {"cats_strings": ("a",), "cats_int64s": (1,)},
                             "X has dtype float32, but the keys are int64"),
    "floats as labels": ("LabelEncoder", 1, (ONES,), {"classes_strings": ("a",)}, "the keys are int64"),
    "lengths": ("LabelEncoder", 2, (WORDS,), {"keys_strings": ("a",), "values_int64s": (1, 2)}, "1 keys for 2 values"),
    "no values": ("LabelEncoder", 2, (WORDS,), {"keys_strings": ("a",)}, "exactly one of values_floats"),
    "two keys": ("LabelEncoder", 4, (WORDS,), {"keys_strings": ("a",), "keys_int64s": (1,), "values_int64s": (1,)},
                 "found keys_int64s and keys_strings"),
    "keys of text": ("LabelEncoder", 4, (INTS,), {"keys_strings": ("a",), "values_int64s": (1,)}, "the keys are text"),
    "keys of another dtype": ("LabelEncoder", 4, (INTS,), {"keys_int64s": (1,), "values_int64s": (1,)},
                              "X has dtype int32, but the keys are int64"),
    "default's size": ("LabelEncoder", 4, (WORDS,), {"keys_strings": ("a",), "values_int64s": (1,),
                       "default_tensor": np.array([1, 2])}, r"default_tensor has shape \[2\]"),
    "default's dtype": ("LabelEncoder", 4, (WORDS,), {"keys_strings": ("a",), "values_int64s": (1,),
                        "default_tensor": np.array([1.5])}, "expected one element of the values' dtype int64"),
    "default too large": ("LabelEncoder", 4, (WORDS,), {"keys_strings": ("a",), "default_int64": 2**20,
                          "values_tensor": np.array([1], np.int16)}, "the default holds 1048576"),
    "unknown category": ("OneHotEncoder", 1, (np.array([1, 7]),), {"cats_int64s": (1,), "zeros": 0}, "zeros=1"),
    "category of NaN": ("OneHotEncoder", 1, (np.array([np.nan]),), {"cats_int64s": (0,), "zeros": 0}, "zeros=1"),
    "category types": ("OneHotEncoder", 1, (WORDS,), {"cats_int64s": (1,)}, "has cats_int64s, but X has dtype object"),
    "no categories": ("OneHotEncoder", 1, (WORDS,), {}, "found none"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "version", "inputs", "attributes", "message"), WRONG.values(), ids=WRONG)
def test_errors(name: str, version: int, inputs: tuple[Any, ...], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(StriateError, match=message):
        _run(name, version, *inputs, **attributes)
