"""How values lie in memory: plain, as in NumPy, or in blocks of channels with room for padding around each plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

FLOAT32 = np.dtype(np.float32)
BYTES = np.dtype(np.uint8)

__all__ = ["Blocked", "Layout", "Plain"]


@dataclass(frozen=True)
class Plain:
    """C-contiguous.

    Attributes:
        shape, dtype: as of the NumPy array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype = FLOAT32

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Blocked:
    """Images [N, C, H, W] as [N, ⌈C/lanes⌉, top + H + bottom, left + W + right, lanes].

    One vector register holds one position of one block of channels. Channels beyond C are zero, and so is the frame of
    `top`, `left`, `bottom`, `right` positions around each plane: readers take it for the padding of a convolution. Who
    writes the value writes these zeros too.

    Attributes:
        dtype: float32, or uint8 for quantised values; int8 ones lie here with 128 added.
        fill: the byte that stands for zero in the frame, 0 for float32 and the zero point for uint8. What channels
            beyond C hold is open for uint8.
        within: of how many blocks the value is some, if its memory is part of a larger one's.
    """

    shape: tuple[int, int, int, int]
    lanes: int
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    dtype: np.dtype = FLOAT32
    fill: int = 0
    within: int = 0

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.shape[1] // self.lanes)

    @property
    def pixel(self) -> int:
        """Bytes from one position of a row to the next."""
        return self.dtype.itemsize * self.lanes

    @property
    def row(self) -> int:
        """Bytes from one row to the next."""
        return (self.left + self.shape[3] + self.right) * self.pixel

    @property
    def plane(self) -> int:
        """Bytes from one block of channels to the next."""
        return (self.top + self.shape[2] + self.bottom) * self.row

    @property
    def image(self) -> int:
        """Bytes from one image to the next."""
        return (self.within or self.blocks) * self.plane

    @property
    def origin(self) -> int:
        """Where position (0, 0) of the first plane lies, in bytes."""
        return self.top * self.row + self.left * self.pixel

    @property
    def nbytes(self) -> int:
        return max(self.shape[0] - 1, 0) * self.image + min(self.shape[0], 1) * self.blocks * self.plane

    def framed(self, top: int, left: int, bottom: int, right: int) -> Blocked:
        """With a frame of at least these widths."""
        return replace(
            self,
            top=max(self.top, top),
            left=max(self.left, left),
            bottom=max(self.bottom, bottom),
            right=max(self.right, right),
        )

    def array(self, buffer: np.ndarray) -> np.ndarray:
        """The value in a buffer of bytes, frame left out: [N, blocks, H, W, lanes]."""
        n, _, h, w = self.shape
        whole = buffer[: self.nbytes].view(self.dtype)
        whole = whole.reshape(n, self.blocks, self.top + h + self.bottom, self.left + w + self.right, self.lanes)
        return whole[:, :, self.top : self.top + h, self.left : self.left + w]

    def pack(self, x: np.ndarray, buffer: np.ndarray) -> None:
        """Writes x [N, C, H, W] into a buffer of bytes, frame and all."""
        n, c, h, w = self.shape
        buffer[: self.nbytes] = self.fill
        padded = np.full((n, self.blocks * self.lanes, h, w), self.fill, self.dtype)
        padded[:, :c] = x
        self.array(buffer)[...] = padded.reshape(n, self.blocks, self.lanes, h, w).transpose(0, 1, 3, 4, 2)

    def unpack(self, buffer: np.ndarray) -> np.ndarray:
        """The value as [N, C, H, W]."""
        n, c, h, w = self.shape
        return self.array(buffer).transpose(0, 1, 4, 2, 3).reshape(n, -1, h, w)[:, :c].copy()


Layout = Plain | Blocked
