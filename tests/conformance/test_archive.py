"""What goes into the archive of node tests comes out again."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from . import archive
from .suites import _stored

FLOAT = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
SEQUENCE = helper.make_sequence_type_proto(FLOAT)
X = np.array([[0.0, -0.0], [np.nan, 1e-40]], np.float32)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if a is None or b is None:
        return a is b
    if a.dtype == object:
        return a.tolist() == b.tolist()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (X, FLOAT),
        (np.float32(0.1), FLOAT),
        (np.arange(5).astype(ml_dtypes.bfloat16), FLOAT),
        (np.arange(5).astype(ml_dtypes.int4), FLOAT),
        (np.arange(5).astype(ml_dtypes.float8_e8m0fnu), FLOAT),
        (np.zeros((0, 3)), FLOAT),
        (np.array([["ä", ""]]), FLOAT),
        (np.array(["ä", "b"], object), FLOAT),
        ([X, X[0]], SEQUENCE),
        ([], SEQUENCE),
        (X, helper.make_optional_type_proto(FLOAT)),
        ([X], helper.make_optional_type_proto(SEQUENCE)),
        (None, helper.make_optional_type_proto(FLOAT)),
    ],
)
def test_values(value: Any, kind: Any) -> None:
    info = [helper.make_value_info("x", kind)]
    with zipfile.ZipFile(BytesIO(), "w") as file:
        archive._write(file, "folder/input", [value], info)
        (found,) = _stored(zipfile.Path(file) / "folder", "input", info)
    assert _same(found, value)


def test_a_tensor_of_onnx_stays_as_it_is() -> None:
    tensor = numpy_helper.from_array(X)
    assert archive._proto(tensor, "tensor_type") is tensor


def test_every_value_is_declared() -> None:
    with zipfile.ZipFile(BytesIO(), "w") as file, pytest.raises(ValueError, match="zip"):
        archive._write(file, "folder/input", [X, X], [helper.make_value_info("x", FLOAT)])
