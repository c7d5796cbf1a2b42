"""Arrays of any usual image layout become float32 `(N, height, width, channels)`, of the wanted size and channels."""

from __future__ import annotations

import numpy as np

from ...runtime.errors import InvalidInput, LimitExceeded

__all__ = ["MAX_BYTES", "as_images", "fit", "resize"]

MAX_BYTES = 1 << 35
"""A data set may take this much memory as float32 (32 GiB)."""

LUMA = np.asarray([0.299, 0.587, 0.114], np.float32)
"""Grey from red, green and blue: ITU-R BT.601."""

_CHANNELS = (1, 3, 4)


def as_images(array: np.ndarray, name: str) -> np.ndarray:
    """Images `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)` as float32 `(N, H, W, C)`.

    uint8 and uint16 are divided by their largest value; floating-point values stay as they are. Arrays of another
    rank than 3 and 4 are not images: they only become float32.

    Raises:
        InvalidInput: if there are no values, for other dtypes, or values that are not finite.
    """
    if array.ndim == 0 or array.size == 0:
        raise InvalidInput(f"{name}: shape {list(array.shape)}: there are no examples")
    if (
        array.dtype.kind not in "uf"
        or array.dtype.itemsize > 8
        or (array.dtype.kind == "u" and array.dtype.itemsize > 2)
    ):
        raise InvalidInput(f"{name}: values are {array.dtype}; expected uint8, uint16 or floating point")
    check_bytes(array.shape, name)
    x = array.astype(np.float32)
    if array.dtype.kind == "u":
        x /= np.float32(np.iinfo(array.dtype).max)
    elif not np.isfinite(x).all():
        first = np.unravel_index(int(np.argmin(np.isfinite(x))), x.shape)
        raise InvalidInput(f"{name}: value {array[first]} at index {[int(i) for i in first]}; expected finite numbers")
    if x.ndim == 3:
        return x[..., None]
    if x.ndim == 4 and x.shape[1] in _CHANNELS and x.shape[3] not in _CHANNELS:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return x


def fit(x: np.ndarray, size: tuple[int, int] | None, channels: int | None, name: str) -> np.ndarray:
    """Images `(N, H, W, C)` in the wanted height and width, and with the wanted channels (1 or 3).

    Raises:
        InvalidInput: if `x` holds no images, or the channels cannot be made.
    """
    if size is None and channels is None:
        return x
    if x.ndim != 4:
        raise InvalidInput(
            f"{name}: shape {list(x.shape)}; expected images (N, height, width, channels) to change the size of"
        )
    if size is not None:
        check_bytes((len(x), *size, x.shape[3]), name)
        x = resize(x, size)
    return x if channels is None else _with_channels(x, channels, name)


def _with_channels(x: np.ndarray, channels: int, name: str) -> np.ndarray:
    found = x.shape[3]
    if found == channels:
        return x
    if found == 1:
        return np.repeat(x, channels, axis=3)
    if found in (3, 4) and channels == 1:
        return x[..., :3] @ LUMA[:, None]
    if found == 4 and channels == 3:
        return np.ascontiguousarray(x[..., :3])
    raise InvalidInput(f"{name}: images of {found} channels; expected 1, 3 or 4 to make {channels} of them")


def resize(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images `(N, H, W, C)` at another height and width by cubic convolution, values kept within the range they had.

    The kernel is that of R. Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -1/2.
    Where an axis shrinks the kernel is widened, so that every pixel counts.
    """
    if x.shape[1:3] == tuple(size):
        return x
    count, height, width, channels = x.shape
    low, high = x.min(), x.max()
    rows, columns = _cubic_weights(height, size[0]), _cubic_weights(width, size[1])
    x = np.matmul(rows, x.reshape(count, height, width * channels))
    x = np.matmul(columns, x.reshape(count, size[0], width, channels))
    return np.clip(x, low, high, out=x)


def _cubic_weights(before: int, after: int) -> np.ndarray:
    """`(after, before)` float32: how much of each old pixel a new one takes; rows add up to 1."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    d = np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0.0))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def check_bytes(shape: tuple[int, ...], name: str) -> None:
    """Refuses data that would take too much memory as float32, before the memory is asked for."""
    needed = 4 * int(np.prod(np.asarray(shape, dtype=object), initial=1))
    if needed > MAX_BYTES:
        raise LimitExceeded(
            f"{name}: {list(shape)} float32 values take {needed:,} bytes; at most {MAX_BYTES:,} are allowed"
        )
