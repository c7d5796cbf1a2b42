"""A line that says what happens now, on a terminal; elsewhere nothing is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["status"]


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Gives a function that changes the text; the line goes when the block ends."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status(Text(text)) as shown:
        yield lambda text: shown.update(Text(text))
