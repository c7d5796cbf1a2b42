"""Files that are either there whole or not there: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_write"]


def atomic_write(
    path: str | os.PathLike[str], content: bytes | Callable[[BinaryIO], object], *, durable: bool = True
) -> None:
    """Writes `path` so that a reader, or a crash at any moment, sees the old file or the new one, never half of one.

    Args:
        path: its folder must exist; a file already there is replaced and keeps its permissions.
        content: the bytes, or a function that writes them to the open binary file it is given.
        durable: waits for the disk. Without it a power cut may lose the file, which only suits what can be made again
            and whose readers notice damage.

    Raises:
        OSError: if the folder is missing or not writable, or the disk is full; `path` is then as it was.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.part")
    file = open(beside, "xb")  # noqa: SIM115 - closed before the rename, below
    try:
        with file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if target.exists():
            os.chmod(beside, target.stat().st_mode & 0o777)
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself survive a power cut, where the platform can open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
