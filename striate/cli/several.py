"""Options that take several values at once: `--threads 1 2`, `--threads 1,2` and `--threads 1 --threads 2` are one."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from typer.core import TyperCommand

from ..runtime.errors import InvalidInput

__all__ = ["Several", "numbers", "words"]

OPTIONS = {"--threads": "0123456789,", "--batch": "0123456789,", "--engine": "abcdefghijklmnopqrstuvwxyz,"}
"""Option → the characters of which what may follow it is made."""


class Several(TyperCommand):
    """A command whose options of numbers and names may be followed by more of them."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        made: list[str] = []
        allowed = ""
        for text in args:
            if allowed and text and set(text) <= set(allowed):
                if made[-1] in OPTIONS:
                    made.append(text)
                else:
                    made[-1] += f",{text}"
            else:
                made.append(text)
                allowed = OPTIONS.get(text, "")
        return super().parse_args(ctx, made)


def numbers(option: str, given: Sequence[str] | None, default: list[int]) -> list[int]:
    """The numbers of an option, each once, in order.

    Raises:
        InvalidInput: for what is not a number above 0.
    """
    parts = _parts(given)
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) < 1_000_000 for part in parts):
        raise InvalidInput(f"{option} is {', '.join(parts)!r}; expected numbers above 0, such as {option} 1 8")
    return [int(part) for part in parts] or default


def words(option: str, given: Sequence[str] | None, known: Sequence[str], default: str) -> list[str]:
    """The names of an option, each once, in order.

    Raises:
        InvalidInput: for an unknown one.
    """
    parts = _parts(given)
    wrong = next((part for part in parts if part not in known), None)
    if wrong is not None:
        raise InvalidInput(f"{option} is {wrong!r}; expected {' or '.join(known)}")
    return parts or [default]


def _parts(given: Sequence[str] | None) -> list[str]:
    return list(dict.fromkeys(part.strip() for text in given or () for part in text.split(",") if part.strip()))
