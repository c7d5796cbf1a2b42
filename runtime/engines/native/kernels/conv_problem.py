"""What a convolution is: its layouts and attributes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..host import host
from ..layouts import Blocked, Layout, Plain

__all__ = ["Convolution", "plane_arguments"]


@dataclass(frozen=True)
class Convolution:
    """y[n, m, i, j] = B[m] + Σ over c, r, s of x[n, c, i·stride + r·dilation − pad, …] · W[m, c, r, s].

    Attributes:
        x: [N, C, H, W]. The padding is read from its frame if it is `Blocked`; see `frame_needed`.
        y: [N, M, OH, OW].
        kernel, strides, dilations: along height and width.
        pads: top, left, bottom, right.
        groups: channels c and m belong together if they are in the same of so many equal parts.
        registers: how many vector registers the machine code may use; of the host by default.
    """

    x: Layout
    y: Blocked
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    registers: int = 0

    def __post_init__(self) -> None:
        if not self.registers:
            object.__setattr__(self, "registers", host().registers)
        n, c, *size = self.x.shape
        top, left, bottom, right = self.pads
        out = tuple(
            (s + p - d * (k - 1) - 1) // t + 1
            for s, p, d, k, t in zip(
                size, (top + bottom, left + right), self.dilations, self.kernel, self.strides, strict=True
            )
        )
        want = (n, self.y.shape[1], *out)
        if self.y.shape != want or c % self.groups or self.y.shape[1] % self.groups:
            raise ValueError(
                f"a convolution of {self.x.shape} in {self.groups} groups gives {want}, not {self.y.shape}"
            )

    @property
    def lanes(self) -> int:
        return self.y.lanes

    @property
    def inputs(self) -> int:
        """Input channels of one group."""
        return self.x.shape[1] // self.groups

    @property
    def outputs(self) -> int:
        """Output channels of one group."""
        return self.y.shape[1] // self.groups

    @property
    def flops(self) -> int:
        n, m, height, width = self.y.shape
        return 2 * n * m * height * width * self.inputs * self.kernel[0] * self.kernel[1]

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """What the windows read around x: top, left, bottom, right; at most the padding."""
        _, _, *size = self.x.shape
        _, _, *out = self.y.shape
        behind = [
            max(0, (o - 1) * t + (k - 1) * d + 1 - s - before)
            for s, o, t, d, k, before in zip(
                size, out, self.strides, self.dilations, self.kernel, self.pads[:2], strict=True
            )
        ]
        return (self.pads[0], self.pads[1], behind[0], behind[1])

    @property
    def source(self) -> Blocked:
        """The layout that the direct kernels read: that of x; for a plain x, that of it in a frame."""
        if isinstance(self.x, Blocked):
            return self.x
        n, c, height, width = self.x.shape
        return Blocked((n, c, height, width), 1).framed(*self.frame)

    @property
    def padded(self) -> bool:
        """Is a plain x copied into a frame first?"""
        return isinstance(self.x, Plain) and any(self.frame)

    def with_x(self, x: Layout) -> Convolution:
        return replace(self, x=x)


def plane_arguments(name: str, layout: Blocked | None) -> dict[str, int]:
    """For the fields of a kernel that tell where a value's planes lie; zeros if there is no such value."""
    if layout is None:
        return {f"{name}_{what}": 0 for what in ("origin", "image", "plane", "row")}
    sizes = {"origin": layout.origin, "image": layout.image, "plane": layout.plane, "row": layout.row}
    return {f"{name}_{what}": size for what, size in sizes.items()}
