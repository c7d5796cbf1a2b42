"""ImageDecoder: pictures as files to arrays."""

from __future__ import annotations

import io

import numpy as np

from ..errors import InvalidGraph, InvalidInput, LimitExceeded, MissingDependency, StriateError
from ._axes import bounded
from .registry import op

_MODES = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}
_FORMATS = ("BMP", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


@op("ImageDecoder", since=20, host=(0,), differentiable=False)
def image_decoder(xp, encoded_stream, *, pixel_format="RGB"):
    """The picture in the bytes of a BMP, JPEG, JPEG 2000, PNG, portable anymap, TIFF or WebP file.

    Returns:
        uint8 [height, width, 3], or [height, width, 1] with pixel_format="Grayscale".

    Raises:
        InvalidInput: if the bytes are no such file, or a damaged one.
        LimitExceeded: if the picture is larger than any value may be, or than pillow allows.
        MissingDependency: if pillow is not installed.
    """
    if pixel_format not in _MODES:
        raise InvalidGraph(f"pixel_format is {pixel_format!r}; expected one of {', '.join(_MODES)}")
    if encoded_stream.ndim != 1 or encoded_stream.dtype != np.uint8:
        raise InvalidInput(
            f"encoded_stream is {encoded_stream.dtype} of shape {list(encoded_stream.shape)}; expected a uint8 vector"
        )
    pixels = _decoded(encoded_stream.tobytes(), _MODES[pixel_format])
    return xp.asarray(np.array(pixels[..., ::-1] if pixel_format == "BGR" else pixels, order="C"))


def _decoded(stream, mode):
    """uint8 [height, width, channels] in the given one of pillow's modes; read-only memory of pillow's."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MissingDependency(
            "ImageDecoder reads pictures with pillow; install it with pip install 'striate[data]'"
        ) from None
    try:
        with Image.open(io.BytesIO(stream), formats=_FORMATS) as image:
            shape = bounded((image.height, image.width, len(mode)), np.uint8)
            pixels = np.asarray(_eight_bits(Image, image).convert(mode))
    except StriateError:
        raise
    except UnidentifiedImageError:
        kinds = ", ".join(_FORMATS)
        raise InvalidInput(f"{len(stream)} bytes cannot be read as a picture; expected one of {kinds}") from None
    except Image.DecompressionBombError as error:
        raise LimitExceeded(f"a picture in {len(stream)} bytes is too large: {error}") from None
    except Exception as error:  # pillow's readers let all kinds of errors through on damaged files
        raise InvalidInput(f"{len(stream)} bytes cannot be read as a picture: {error}") from None
    return pixels.reshape(shape)


def _eight_bits(Image, image):
    """The picture itself, or the high bytes of one of 16 bits."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise InvalidInput(f"the picture has values of 32 bits, mode {image.mode}; expected 8 or 16 bits")
    return image
