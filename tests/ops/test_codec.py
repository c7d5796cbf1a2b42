"""What the case table cannot say of pictures: damaged files, files that are too large or of another kind, no pillow."""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
import pytest

from striate.runtime import limits
from striate.runtime.errors import InvalidGraph, InvalidInput, LimitExceeded, MissingDependency, StriateError
from striate.runtime.ops import registry

from .cases.codec import COLOURS, LOSSLESS, encoded

PNG = encoded(COLOURS, "PNG")
FILES = {
    **{kind: encoded(COLOURS, kind, **options) for kind, options in LOSSLESS.items()},
    "JPEG": encoded(COLOURS, "JPEG"),
}


def decode(stream: Any, **attributes: Any) -> np.ndarray:
    return registry.lookup("", "ImageDecoder", 20).kernel(np, stream, **attributes)


WRONG: dict[str, tuple[Any, dict[str, Any], type[StriateError], str]] = {
    "pixel format": (PNG, {"pixel_format": "RGBA"}, InvalidGraph, "one of RGB, BGR, Grayscale"),
    "matrix": (PNG[None], {}, InvalidInput, "expected a uint8 vector"),
    "dtype": (PNG.astype(np.int32), {}, InvalidInput, "expected a uint8 vector"),
    "nothing": (PNG[:0], {}, InvalidInput, "0 bytes cannot be read"),
    "half": (PNG[: len(PNG) // 2], {}, InvalidInput, "cannot be read"),
    "text": (np.frombuffer(b"%!PS-Adobe-3.0 EPSF-3.0\n", np.uint8), {}, InvalidInput, "cannot be read"),
    "another format": (encoded(COLOURS, "GIF"), {}, InvalidInput, "cannot be read"),
    "floats": (encoded(COLOURS[..., 0].astype(np.float32), "TIFF"), {}, InvalidInput, "values of 32 bits"),
    "integers": (encoded(COLOURS[..., 0].astype(np.int32), "TIFF"), {}, InvalidInput, "values of 32 bits"),
}


@pytest.mark.parametrize(("stream", "attributes", "error", "message"), WRONG.values(), ids=WRONG)
def test_errors(stream: np.ndarray, attributes: dict[str, Any], error: type[StriateError], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(stream, **attributes)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files(kind: str) -> None:
    """Cut short or changed anywhere, a file is refused or read as some picture."""
    file, random = FILES[kind], np.random.default_rng(3)
    refused = 0
    for place in random.integers(0, len(file), 60):
        changed = file.copy()
        changed[place] ^= random.integers(1, 256)
        for stream in (file[:place], changed):
            try:
                picture = decode(stream)
                assert picture.ndim == 3
                assert picture.dtype == np.uint8
            except (InvalidInput, LimitExceeded):
                refused += 1
    assert refused > 20


@pytest.mark.parametrize("pixel_format", ["RGB", "BGR", "Grayscale"])
def test_result_is_an_array_to_write_to(pixel_format: str) -> None:
    flags = decode(PNG, pixel_format=pixel_format).flags
    assert flags.writeable
    assert flags.c_contiguous


def test_size_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VALUE_BYTES", COLOURS.nbytes - 1)
    with pytest.raises(LimitExceeded, match=r"\[5, 7, 3\]"):
        decode(PNG[:45])  # nothing of the pixels is there to be read


def test_a_small_file_of_a_huge_picture() -> None:
    bomb = encoded(COLOURS, "BMP").copy()
    bomb[18:26] = np.frombuffer(struct.pack("<ii", 60_000, 60_000), np.uint8)
    with pytest.raises(LimitExceeded, match="too large"):
        decode(bomb)


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependency, match=r"striate\[data\]"):
        decode(PNG)
