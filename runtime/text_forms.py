"""ONNX models written as text: ONNX's own syntax (`.onnxtxt`), protobuf's text form, and JSON.

Which one it is shows in the first characters; none of them can begin a binary model.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import onnx
import onnx.parser
from google.protobuf import json_format, text_format

from .errors import LimitExceeded, NotAModel

__all__ = ["parse"]

MAX_BYTES = 1 << 26
MAX_NESTING = 100
"""Brackets inside brackets: the parsers descend into them by calling themselves."""


def _onnx_syntax(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def _protobuf_text(text: str) -> onnx.ModelProto:
    return text_format.Parse(text, onnx.ModelProto())


def _json(text: str) -> onnx.ModelProto:
    return json_format.Parse(text, onnx.ModelProto())


_FORMS: tuple[tuple[re.Pattern[bytes], str, Callable[[str], onnx.ModelProto]], ...] = (
    (re.compile(rb"\s*<\s*ir_version"), "ONNX's text syntax", _onnx_syntax),
    (
        re.compile(rb"(\s|#[^\n]*\n)*(ir_version|producer_name|opset_import|graph)\s*[:{]"),
        "protobuf text",
        _protobuf_text,
    ),
    (re.compile(rb"\s*\{\s*\""), "JSON", _json),
)
_BRACKETS = re.compile(rb"[][(){}<>]")


def parse(data: bytes, where: str) -> onnx.ModelProto | None:
    """The model that `data` spells, or None if it is none of these forms.

    Raises:
        LimitExceeded: it is too long, or nested too deeply.
        NotAModel: it breaks the rules of its form; the message says where.
    """
    found = next(((form, read) for start, form, read in _FORMS if start.match(data[:4096])), None)
    if found is None:
        return None
    form, read = found
    if len(data) > MAX_BYTES:
        raise LimitExceeded(
            f"{where} is {len(data):,} bytes of {form}; at most {MAX_BYTES:,} are read. Store it as binary"
        )
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(data):
        depth += 1 if bracket[0] in b"[({<" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        raise LimitExceeded(f"{where} has brackets nested {deepest} deep; at most {MAX_NESTING} are allowed")
    try:
        return read(data.decode())
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise NotAModel(f"{where} looks like {form} but cannot be parsed: {reason}") from None
