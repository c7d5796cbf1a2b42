"""`--input` where a shape will do: `NAME=2x3x224x224`, or a file as `read_inputs` takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..runtime.errors import InvalidInput

__all__ = ["shapes_and_files"]

_SHAPE = re.compile(r"\d{1,11}([x×,]\d{1,11})*", re.ASCII)


def shapes_and_files(given: Sequence[str], names: Sequence[str]) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Shapes by input, and what is left, which names files. Names may hold `=`; a lone shape is the only input's.

    Raises:
        InvalidInput: for an input the model does not have, or one whose shape is given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    files = []
    for text in given:
        name, _, size = text.rpartition("=")
        if not _SHAPE.fullmatch(size) or Path(text).exists():
            files.append(text)
            continue
        name = name or (names[0] if len(names) == 1 else "")
        if name not in names:
            raise InvalidInput(f"--input {text!r}: the model has no input {name!r}; its inputs are {list(names)}")
        if name in shapes:
            raise InvalidInput(f"--input gives the shape of {name!r} twice")
        shapes[name] = tuple(int(part) for part in re.split("[x×,]", size))
    return shapes, files
