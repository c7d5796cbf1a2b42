"""Files that a command is to write: refused before the work if they cannot be, and whole or not at all after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..runtime.errors import InvalidInput

__all__ = ["writable", "write_json"]


def writable(file: Path | None) -> None:
    """Refuses a file that cannot be written.

    Raises:
        InvalidInput: there is no such folder, or it is one itself.
    """
    if file is not None and not file.parent.is_dir():
        raise InvalidInput(f"cannot write {file}: there is no folder {str(file.parent)!r}")
    if file is not None and file.is_dir():
        raise InvalidInput(f"cannot write {file}: it is a folder")


def write_json(file: Path, content: Any) -> None:
    """Writes it, and says so."""
    from ..runtime.files import atomic_write
    from .console import say

    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    atomic_write(file, text.encode("utf-8", "surrogateescape"))
    say(f"wrote {file}")
