"""ImageDecoder: every format and mode of picture; files are written by pillow, the lossless ones compared exactly."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..table import Case, case, ints

COLOURS = ints(5, 7, 3, high=256, dtype=np.uint8)
GREYS = COLOURS[..., 0]
WIDE = GREYS.astype(np.uint16) * 256 + 77
"""16-bit greys, whose high bytes are `GREYS`."""
SMOOTH = (np.indices((16, 24)).sum(0)[..., None] * [3, 2, 1] + [0, 80, 40]).astype(np.uint8)
LOSSLESS = {"BMP": {}, "PNG": {}, "PPM": {}, "TIFF": {}, "JPEG2000": {}, "WEBP": {"lossless": True}}


def encoded(pixels, kind, mode=None, **options):
    """The bytes of a file of this kind, as a uint8 vector."""
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, kind, **options)
    return np.frombuffer(file.getvalue(), np.uint8)


def exactly(pixels):
    return lambda *_, **attrs: pixels


def _grey(pixels):
    """ITU-R 601 luma, in units of 2⁻¹⁶ and rounded."""
    return ((pixels.astype(np.int64) @ [19595, 38470, 7471] + (1 << 15)) >> 16).astype(np.uint8)[..., None]


def _as_pillow_reads(stream, **attrs):
    """What a lossy file holds is for its decoder to say."""
    return np.asarray(Image.open(io.BytesIO(stream.tobytes())))


def _three(greys):
    return np.repeat(greys[..., None], 3, -1)


CASES: list[Case] = [
    *(
        case("ImageDecoder", encoded(COLOURS, kind, **options), expect=exactly(COLOURS), name=kind)
        for kind, options in LOSSLESS.items()
    ),
    case("ImageDecoder", encoded(SMOOTH, "JPEG"), expect=_as_pillow_reads, name="JPEG"),
    case("ImageDecoder", encoded(SMOOTH, "WEBP"), pixel_format="RGB", expect=_as_pillow_reads, name="lossy WEBP"),
    case("ImageDecoder", encoded(COLOURS, "PNG"), pixel_format="BGR", expect=exactly(COLOURS[..., ::-1]), name="BGR"),
    case("ImageDecoder", encoded(COLOURS, "PNG"), pixel_format="Grayscale", expect=exactly(_grey(COLOURS)),
         name="grey of colours"),
    case("ImageDecoder", encoded(GREYS, "PNG"), pixel_format="Grayscale", expect=exactly(GREYS[..., None]),
         name="grey"),
    case("ImageDecoder", encoded(GREYS, "PNG"), expect=exactly(_three(GREYS)), name="colours of grey"),
    case("ImageDecoder", encoded(GREYS, "BMP"), pixel_format="BGR", expect=exactly(_three(GREYS)), name="BGR of grey"),
    case("ImageDecoder", encoded(GREYS, "PPM"), pixel_format="Grayscale", expect=exactly(GREYS[..., None]),
         name="PGM"),
    case("ImageDecoder", encoded(COLOURS, "PNG", "RGBA"), expect=exactly(COLOURS), name="alpha"),
    case("ImageDecoder", encoded(COLOURS // 128 * 255, "PNG", "P"), expect=exactly(COLOURS // 128 * 255),
         name="palette"),
    case("ImageDecoder", encoded(GREYS // 128 * 255, "PNG", "1"), expect=exactly(_three(GREYS // 128 * 255)),
         name="one bit"),
    *(
        case("ImageDecoder", encoded(WIDE, kind), pixel_format="Grayscale", expect=exactly(GREYS[..., None]),
             name=f"16 bits, {kind}")
        for kind in ("PNG", "TIFF", "PPM")
    ),
    case("ImageDecoder", encoded(WIDE, "PNG"), expect=exactly(_three(GREYS)), name="16 bits in colour"),
    case("ImageDecoder", encoded(COLOURS[:1, :1], "PNG"), expect=exactly(COLOURS[:1, :1]), name="one pixel"),
]  # fmt: skip
