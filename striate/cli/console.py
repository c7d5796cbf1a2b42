"""What the subcommands print with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["complain", "facts", "grid", "say", "show"]


def say(text: str, style: str = "") -> None:
    """One line; what looks like markup in it is only text."""
    Console().print(Text(text, style=style), soft_wrap=True)


def complain(text: str) -> None:
    """One red line on stderr."""
    Console(stderr=True).print(Text(f"striate: {text}", style="red"), soft_wrap=True)


def show(item: Any) -> None:
    """A table, or anything else that rich renders."""
    Console().print(item)


def grid(title: str, columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table with a heading line.

    Args:
        columns: heading → `left` or `right`.
    """
    table = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold", min_width=len(title)
    )
    for heading, side in columns.items():
        first = table.columns == []
        table.add_column(
            heading,
            justify="right" if side == "right" else "left",
            overflow="ellipsis" if first else "fold",
            no_wrap=first,
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def facts(title: str, pairs: Mapping[str, Any]) -> Table:
    """A table of names and values."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE, show_header=False, title_style="bold")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(Text(name), Text(str(value)))
    return table
