"""`striate cache`"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["cache"]

KINDS = {"plans": "plans of models", "tuned": "choices measured", "": "machine code of kernels"}
"""Folder within the cache → what lies in it; kernels lie in folders of two letters beside the others."""


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all of it; it is made anew when it is needed.")
    ] = False,
) -> None:
    """Shows what Striate keeps on disk so that sessions start faster, and how much of it there is.

    STRIATE_CACHE in the environment names another folder; empty, nothing is kept. Plans of models take
    2 GiB at most, machine code some 100 MiB.

    Examples:

        striate cache

        striate cache --clear
    """
    from ..runtime.engines.native.compiler import cache_folder
    from .console import facts, say, show

    folder = cache_folder()
    if folder is None:
        say("nothing is kept: STRIATE_CACHE is empty, or there is no home folder; give a folder in STRIATE_CACHE")
        return
    files = list(_files(folder))
    rows = {}
    for name, text in KINDS.items():
        sizes = [path.stat().st_size for path in files if _kind(path.relative_to(folder)) == name]
        rows[text] = f"{len(sizes):,} files, {sum(sizes) / 2**20:,.1f} MiB"
    show(facts("Cache", {"folder": folder, **rows}))
    if clear:
        for path in files:
            path.unlink(missing_ok=True)
        say(f"removed {len(files):,} files")


def _files(folder: Path) -> Iterator[Path]:
    """The files that Striate put there, and no others."""
    for path in sorted(folder.glob("*/*")):
        if path.parent.name == "plans":
            yield from (file for file in sorted(path.glob("*")) if file.is_file())
        elif path.is_file() and (path.parent.name == "tuned" or len(path.parent.name) == 2):
            yield path


def _kind(path: Path) -> str:
    return path.parts[0] if path.parts[0] in KINDS else ""
