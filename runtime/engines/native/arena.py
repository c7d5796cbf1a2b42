"""Values that live at different times share memory; so do parts of a batch that are computed one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from .program import ALIGNMENT, Step
from .rounds import Rounds, copy_bytes, teams

__all__ = ["Front", "Parts", "Place", "arrange"]


@dataclass
class Place:
    """A slot whose memory lies in the arena, from the step that first writes it to the last that touches it."""

    nbytes: int
    first: int
    last: int
    offset: int = 0


@dataclass(frozen=True)
class Front:
    """The first ops of a stretch, if they compute a part of the batch, over and over.

    Attributes:
        ops: how many.
        count: of parts.
        whole: part → the value of which it is a part: of what comes from outside, and of what others read.
    """

    ops: int
    count: int
    whole: Mapping[ir.Value, ir.Value]


class Parts(NamedTuple):
    """The first steps compute parts of a batch.

    Attributes:
        steps: so many.
        pieces: how many parts.
        threads: that will walk them.
        strides: slots of whole values → bytes from one part to the next.
        spare: three new slots, the last there are.
    """

    steps: int
    pieces: int
    threads: int
    strides: Mapping[int, int]
    spare: tuple[int, int, int]


def arrange(
    steps: Sequence[Step], places: Mapping[int, Place], inside: Mapping[int, tuple[int, int]], parts: Parts | None
) -> tuple[dict[int, int], int, Rounds | None]:
    """Where the slots lie in an arena, how large that is, and how its first steps are walked.

    Args:
        places: slot → what it needs; `last` is found here.
        inside: slot → another, in which it lies, and at which byte.
    """

    def root(slot: int) -> int:
        return inside.get(slot, (slot, 0))[0]

    for i, step in enumerate(steps):
        for slot in map(root, step.touches()):
            if slot in places:
                places[slot].last = max(places[slot].last, i)
    if parts is None:
        top, rounds, own = _fit(places.values()), None, set()
    else:
        touched = list(dict.fromkeys(slot for step in steps[: parts.steps] for slot in step.touches()))
        whole = {root(slot): stride for slot, stride in parts.strides.items()}
        moving = tuple((slot, whole[root(slot)]) for slot in touched if root(slot) in whole)
        private = tuple(slot for slot in touched if root(slot) in places and root(slot) not in whole)
        own = set(map(root, private))
        own_bytes = -(-_fit(places[slot] for slot in own) // ALIGNMENT) * ALIGNMENT
        crews = teams(parts.pieces, parts.threads)
        number, copy, pool = parts.spare
        last = parts.steps - 1  # whole values are read after it
        shared = {slot: place for slot, place in places.items() if slot not in own}
        shared[copy] = Place(crews * copy_bytes(pool + 1), 0, last)
        shared[pool] = Place(crews * own_bytes, 0, last)
        top = _fit(shared.values())
        for slot in own:
            places[slot].offset += shared[pool].offset
        places = {**places, **shared}
        rounds = Rounds(parts.steps, parts.pieces, crews, moving, private, own_bytes, number, copy)
    found = {slot: place.offset for slot, place in places.items()}
    found |= {slot: found[outer] + offset for slot, (outer, offset) in inside.items() if outer in found}
    return found, top, rounds


def _fit(places: Iterable[Place]) -> int:
    """Finds an offset for each, the first that fits; how many bytes that takes."""
    live: list[Place] = []
    top = 0
    for place in sorted(places, key=lambda p: p.first):
        live = [p for p in live if p.last >= place.first]
        for other in sorted(live, key=lambda p: p.offset):
            if place.offset + place.nbytes <= other.offset:
                break
            place.offset = max(place.offset, -(-(other.offset + other.nbytes) // ALIGNMENT) * ALIGNMENT)
        live.append(place)
        top = max(top, place.offset + place.nbytes)
    return top
