"""Models written as text are read like binary ones, within limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import json_format, text_format

from striate.runtime import InferenceSession
from striate.runtime.errors import LimitExceeded, NotAModel, StriateError
from striate.runtime.reader import read

SYNTAX = """<ir_version: 9, opset_import: ["" : 17]>
g (float[N] x) => (float[N] y) { two = Constant <value_float = 2.0> ()  r = Relu (x)  y = Mul (r, two) }
"""
PROTO = onnx.parser.parse_model(SYNTAX)
FORMS = {
    "onnxtxt": SYNTAX,
    "textproto": text_format.MessageToString(PROTO),
    "json": json_format.MessageToJson(PROTO),
}
X = np.array([-1.0, 2.0], np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_read_from_a_file_of_any_name_and_from_bytes(form: str, tmp_path: Path) -> None:
    for source in (FORMS[form].encode(), tmp_path / f"m.{form}", tmp_path / "m.onnx"):
        if isinstance(source, Path):
            source.write_text(FORMS[form], encoding="utf-8")
        (y,) = InferenceSession(source if isinstance(source, bytes) else str(source)).run(None, {"x": X})
        np.testing.assert_array_equal(y, [0.0, 4.0])


@pytest.mark.parametrize("form", FORMS)
def test_damaged_text(form: str) -> None:
    text = FORMS[form].encode()
    with pytest.raises(NotAModel, match="cannot be parsed"):
        read(text[: len(text) * 2 // 3])
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(text)
        for place in rng.integers(0, len(text), 4):
            damaged[place] = rng.integers(32, 127)
        try:
            read(bytes(damaged))
        except StriateError:
            continue


NESTED = {
    "onnxtxt": '<ir_version: 9, opset_import: ["" : 17]> g () => (float y) { '
    + "y = If (c) <a = g () => (b) { " * 5000,
    "textproto": "ir_version: 9 graph { " + "node { attribute { g { " * 5000,
    "json": '{"irVersion": 9, "graph": ' + '{"node": [' * 5000,
}


@pytest.mark.parametrize("form", NESTED)
def test_deep_nesting(form: str) -> None:
    with pytest.raises(LimitExceeded, match="nested"):
        read(NESTED[form].encode())


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(NotAModel):
        read(SYNTAX.encode().replace(b"two", b"\xff\xfe"))
