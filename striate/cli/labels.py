"""Labels of a data set in the numbering of a model: by the names of the classes, where both have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..runtime.errors import InvalidInput
from .console import say

if TYPE_CHECKING:
    from ..trainer.data import Dataset, Shards

__all__ = ["in_model_order"]

Data = TypeVar("Data", bound="Dataset | Shards")

SHOWN = 8
"""Names that a message lists."""


def in_model_order(data: Data, classes: Sequence[str], outputs: int | None, name: str) -> Data:
    """The data with the model's classes, labels numbered as the model's outputs are.

    Classes called 0, 1, 2, … are taken for numbers without names. Data of numbers go by number, and one line says so.

    Args:
        classes: the model's, or nothing where the model does not know them.
        outputs: how many scores the model gives, if that is known.
        name: what messages call the model.

    Raises:
        InvalidInput: if the data have a class that the model does not know.
    """
    ours = tuple(classes)
    if not ours:
        if outputs is not None and outputs > len(data.classes):
            say(
                f"{name} has {outputs} outputs and no names of classes, {data.name} {len(data.classes)} classes: "
                "class i is taken for output i",
                "yellow",
            )
        return data
    if data.classes == ours:
        return data
    if _are_numbers(data.classes):
        if len(data.classes) > len(ours):
            return data
        if not _are_numbers(ours):
            say(f"{data.name} has numbers, not names: class 0 is taken for {ours[0]!r}, and so on", "yellow")
        return replace(data, classes=ours)
    numbers = {known: i for i, known in reversed(list(enumerate(ours)))}
    unknown = [c for c in data.classes if c not in numbers]
    if unknown:
        raise InvalidInput(
            f"{data.name}: class {unknown[0]!r} is not among those {name} was trained on ({_listed(ours)})"
        )
    table = np.asarray([numbers[c] for c in data.classes], np.int64)
    return data.relabelled(table, ours)  # type: ignore[return-value]


def _are_numbers(classes: Sequence[str]) -> bool:
    return all(c == str(i) for i, c in enumerate(classes))


def _listed(names: Sequence[str]) -> str:
    more = f", … {len(names)} in all" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
