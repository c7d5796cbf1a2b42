"""Compiled stretches as files: what was worked out once is only read by the next process.

    MAGIC, then two 64-bit words: how long the header and the tables are
    header   JSON: kernels, slots, constants, shapes, and what the caller wants remembered
    tables   64-bit words: of each step the kernel's number, tasks, how many parameters, and these
    objects  machine code of the kernels, one after the other
    digest   of all before
    weights  at multiples of 64, each with a checksum in the header

Such a file is as good as the processor and the versions it was made for; whoever names it takes care of that.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from . import compiler
from .constants import Constants
from .program import ALIGNMENT, Bound, Program
from .rounds import Rounds
from .stretch import Stretch

__all__ = ["Damaged", "read", "write"]

MAGIC = b"striate stretch 2\n"
DIGEST = 20
_LENGTHS = struct.Struct("<QQ")


class Damaged(Exception):
    """A file is not what `write` wrote."""


def write(stretch: Stretch, notes: Mapping[str, Any], file: BinaryIO) -> None:
    """Writes a stretch that was not read from such a file itself.

    Args:
        notes: what `read` gives back; JSON holds it.
    """
    program = stretch.program
    kernels = list(dict.fromkeys((step.kernel.name, step.kernel.ir) for step in program.steps))
    objects = [compiler.compiled(name, ir) for name, ir in kernels]
    number = {kernel: i for i, kernel in enumerate(kernels)}
    words: list[int] = []
    for step in program.steps:
        table = step.table().tolist()
        words += [number[step.kernel.name, step.kernel.ir], step.tasks, len(table), *table]
    tables = np.array(words, "<i8").tobytes()
    header = json.dumps(
        {
            "kernels": [(o.key, o.name, len(o.code)) for o in objects],
            "constants": [(slot, a.nbytes, zlib.crc32(a.data)) for slot, a in program.constants.items()],
            "places": list(program.places.items()),
            "arena": program.arena_bytes,
            "slots": program.slots,
            "outside": list(program.outside),
            "rounds": program.rounds,
            "threads": stretch.threads,
            "inputs": [dtype.str for dtype in stretch.inputs],
            "outputs": [(shape, dtype.str) for shape, dtype in stretch.outputs],
            "notes": notes,
        }
    ).encode()
    front = [MAGIC, _LENGTHS.pack(len(header), len(tables)), header, tables, *(o.code for o in objects)]
    digest = hashlib.blake2b(digest_size=DIGEST)
    for part in front:
        digest.update(part)
        file.write(part)
    file.write(digest.digest())
    for array in program.constants.values():
        file.write(bytes(-file.tell() % ALIGNMENT))
        file.write(array.data)


def read(file: BinaryIO) -> tuple[Stretch, dict[str, Any]]:
    """The stretch in a file, and the notes.

    Raises:
        Damaged: something is missing or was changed.
        OSError: the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=DIGEST)

    def take(count: int) -> bytes:
        part = file.read(count)
        if len(part) != count:
            raise Damaged
        digest.update(part)
        return part

    if take(len(MAGIC)) != MAGIC:
        raise Damaged
    front, back = _LENGTHS.unpack(take(_LENGTHS.size))
    text, tables = take(_bounded(front, file)), take(_bounded(back, file))
    try:
        header = json.loads(text)
        objects = [compiler.Object(key, name, take(size)) for key, name, size in header["kernels"]]
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged from error
    if file.read(DIGEST) != digest.digest():
        raise Damaged
    constants = _constants(header["constants"], file)
    steps = _steps(np.frombuffer(tables, "<i8"), [compiler.linked(o) for o in objects])
    places = dict(header["places"])
    rounds = None if header["rounds"] is None else Rounds(*header["rounds"])
    program = Program([], constants, places, header["arena"], header["slots"], header["outside"], steps, rounds)
    outputs = [(tuple(shape), np.dtype(dtype)) for shape, dtype in header["outputs"]]
    return Stretch(program, header["threads"], [np.dtype(d) for d in header["inputs"]], outputs), header["notes"]


def _bounded(count: int, file: BinaryIO) -> int:
    """A length that a damaged file may announce: no longer than the file."""
    here = file.tell()
    left = file.seek(0, 2) - here
    file.seek(here)
    if count > left:
        raise Damaged
    return count


def _steps(words: np.ndarray, kernels: list[int]) -> list[Bound]:
    made, at = [], 0
    while at < len(words):
        kernel, tasks, count = words[at : at + 3].tolist()
        made.append(Bound(kernels[kernel], words[at + 3 : at + 3 + count], tasks))
        at += 3 + count
    return made


def _constants(listed: list[tuple[int, int, int]], file: BinaryIO) -> dict[int, np.ndarray]:
    """The weights, slot → bytes, read to where they stay."""
    memory, found = Constants(), {}

    def fill(place: np.ndarray) -> None:
        if file.readinto(place.data) != place.nbytes:  # type: ignore[attr-defined]
            raise Damaged

    for slot, nbytes, checksum in listed:
        file.seek(-file.tell() % ALIGNMENT, 1)
        found[slot] = memory.read(_bounded(nbytes, file), fill)
        if zlib.crc32(found[slot].data) != checksum:
            raise Damaged
    return found
