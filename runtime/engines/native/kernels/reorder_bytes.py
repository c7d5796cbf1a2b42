"""Between plain images and blocks of bytes; a plain side of float32 is quantised or dequantised on the way.

Plain bytes are int8 or uint8, blocked ones uint8, into which int8 turn by adding 128.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..emit import BYTE, FLOAT, INT32, Function, Type, Value, vector
from ..layouts import FLOAT32, Blocked, Plain
from ..program import Kernel, Step
from .conv_problem import plane_arguments
from .frames import FRAME_FIELDS, frame_arguments, framed, zero_frame
from .requantise import (
    TARGET_FIELDS,
    Scale,
    clamped,
    flip_of,
    float_bits,
    float_number,
    nearest,
    target_arguments,
    unsigned,
)

__all__ = ["bytes_from_blocked", "bytes_to_blocked"]

TASK = 1 << 14
"""Bytes of blocks of a task, about."""
ANY = Scale(1.0, 0)
_PLACE = tuple(f"blocked_{what}" for what in ("origin", "image", "plane", "row"))
_FIELDS = (
    *("x", "y", "channels", "blocks", "chunks", "chunk", *_PLACE),
    *("scale", "flip", *TARGET_FIELDS, *FRAME_FIELDS),
)


def bytes_to_blocked(x: Plain, y: Blocked, x_slot: int, y_slot: int, target: Scale = ANY) -> Step:
    """Plain [N, C, H, W] → blocked bytes in their frame; x of float32 is quantised, of bytes taken as it is."""
    numbers = {"scale": float_bits(target.scale), "flip": flip_of(x), **target_arguments(target)}
    numbers["zero"] = target.zero if x.dtype == FLOAT32 else y.fill
    return _step(_to_blocked(y.lanes, x.dtype == FLOAT32, framed(y)), y, x_slot, y_slot, numbers)


def bytes_from_blocked(x: Blocked, y: Plain, x_slot: int, y_slot: int, source: Scale = ANY) -> Step:
    """Blocked bytes → plain [N, C, H, W]; y of float32 is dequantised."""
    numbers = {"scale": float_bits(source.scale), "flip": flip_of(y), **target_arguments(source)}
    return _step(_from_blocked(x.lanes, y.dtype == FLOAT32), x, x_slot, y_slot, numbers)


def _step(kernel: Kernel, blocked: Blocked, x_slot: int, y_slot: int, numbers: dict[str, int]) -> Step:
    n, c, height, width = blocked.shape
    chunk = max(1, min(height, TASK // max(width * blocked.lanes, 1)))
    chunks = -(-height // chunk)
    arguments = {
        "x": x_slot,
        "y": y_slot,
        "channels": c,
        "blocks": blocked.blocks,
        "chunks": chunks,
        "chunk": chunk,
        **plane_arguments("blocked", blocked),
        **numbers,
        **frame_arguments(blocked),
    }
    return Step(kernel, arguments, n * blocked.blocks * chunks, label=f"reorder bytes {list(blocked.shape)}")


class _Chunk:
    """Some rows of a block: what both kernels ask of their task."""

    def __init__(self, f: Function, lanes: int, plain: str, blocked: str, nbytes: int) -> None:
        chunk, plane = f.task % f.number("chunks"), f.task // f.number("chunks")
        block, image = plane % f.number("blocks"), plane // f.number("blocks")
        height, self.width = f.number("frame_height"), f.number("frame_width")
        self.first = chunk * f.number("chunk")
        self.stop = f.minimum(self.first + f.number("chunk"), height)
        self.count = f.minimum(f.number("channels") - block * lanes, lanes)
        self.between = height * self.width * nbytes
        self.plain = f.pointer(plain) + (image * f.number("channels") + block * lanes) * self.between
        self.blocked = f.pointer(blocked) + (
            f.number("blocked_origin") + image * f.number("blocked_image") + block * f.number("blocked_plane")
        )


@cache
def _to_blocked(lanes: int, floats: bool, with_frame: bool) -> Kernel:
    kind = FLOAT if floats else BYTE
    name = f"{'floats' if floats else 'bytes'}_to_bytes_{lanes}{'_framed' if with_frame else ''}"
    f = Function(name, _FIELDS)
    task = _Chunk(f, lanes, "x", "y", kind.nbytes)
    read = _reader(f, kind)
    whole = task.width // lanes * lanes
    with f.range(task.first, task.stop) as row:
        source = task.plain + row * task.width * kind.nbytes
        target = task.blocked + row * f.number("blocked_row")
        with f.range(0, whole, lanes) as i:
            quads = []
            for quad in range(0, lanes, 4):
                four = f.variable(vector(INT32, lanes), 0)
                for k in range(4):
                    with f.when(task.count > quad + k):
                        at = source + (task.between * (quad + k) + i * kind.nbytes)
                        four.set(four.get() | f.binary("shl", read(at, lanes), 8 * k))
                quads.append(four.get())
            f.store(_interleaved(f, quads), target + i * lanes, align=lanes)
        with f.range(whole, task.width) as i, f.range(task.count) as c:
            number = read(source + (task.between * c + i * kind.nbytes), 1)
            f.store(f.convert(number, BYTE), target + (i * lanes + c))
    if with_frame:
        zero_frame(f, task.blocked, lanes, task.first, task.stop, f.convert(f.number("zero"), BYTE))
    return Kernel.of(f)


def _reader(f: Function, kind: Type) -> Callable[[Value, int], Value]:
    """What reads one or more plain elements as numbers from 0 to 255."""
    if kind == BYTE:
        flip = f.convert(f.number("flip"), BYTE)
        return lambda at, lanes: unsigned(f, f.load(vector(BYTE, lanes), at) ^ flip)
    scale, low, high = (float_number(f, name) for name in ("scale", "low", "high"))
    zero = f.convert(f.number("zero"), INT32)
    return lambda at, lanes: nearest(f, clamped(f, f.load(vector(FLOAT, lanes), at) / scale, low, high)) + zero


def _interleaved(f: Function, parts: list[Value]) -> Value:
    """Lane 0 of all vectors, then lane 1 of all, …; 1, 2 or 4 of them."""
    while len(parts) > 1:
        half = len(parts) // 2
        size = parts[0].type.lanes
        order = [i + k * size for i in range(size) for k in (0, 1)]
        parts = [f.shuffle(a, b, order) for a, b in zip(parts[:half], parts[half:], strict=True)]
    return parts[0]


@cache
def _from_blocked(lanes: int, floats: bool) -> Kernel:
    kind = FLOAT if floats else BYTE
    f = Function(f"bytes_to_{'floats' if floats else 'plain'}_{lanes}", _FIELDS)
    task = _Chunk(f, lanes, "y", "x", kind.nbytes)
    flip, zero, scale = f.convert(f.number("flip"), BYTE), f.convert(f.number("zero"), INT32), float_number(f, "scale")
    with f.range(task.first, task.stop) as row, f.range(task.count) as c:
        source = task.blocked + (row * f.number("blocked_row") + c)
        target = task.plain + (task.between * c + row * task.width * kind.nbytes)
        with f.range(task.width) as i:
            byte = f.load(BYTE, source + i * lanes)
            result = f.convert(unsigned(f, byte) - zero, FLOAT) * scale if floats else byte ^ flip
            f.store(result, target + i * kind.nbytes)
    return Kernel.of(f)
