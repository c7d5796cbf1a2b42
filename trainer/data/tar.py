"""Examples in tar files, read from the beginning to the end: members `key.png` and `key.cls`, side by side.

This is the layout of WebDataset: a key is a member's name up to the first dot of its last part, members of one key are
neighbours. Nothing is unpacked, so names lead nowhere. Sizes and counts are bounded, and an archive must end as tar
files do, so that one that was cut off is noticed.
"""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...runtime.errors import InvalidInput, LimitExceeded
from .folder import SUFFIXES as PICTURES

__all__ = ["Member", "examples"]

ARRAY = ".npy"
LABELS = (".cls", ".json")
MAX_DATA = 1 << 28
MAX_LABEL = 1 << 20
MAX_MEMBERS = 1 << 24
MAX_KEY = 1024


@dataclass(frozen=True)
class Member:
    """One example as it is stored.

    Attributes:
        suffix: of the picture or array, in lower case.
        data: its bytes; empty where only labels were asked for.
        label: a number, or the name of a class.
    """

    key: str
    suffix: str
    data: bytes
    label: int | str


def examples(path: Path, *, data: bool = True) -> Iterator[Member]:
    """The examples of one tar file (gzipped or not), in their order.

    Args:
        data: whether pictures are wanted, or only their labels.

    Raises:
        InvalidInput: if the archive is cut off or damaged, or an example lacks its picture or label; the message names
            the file and the key.
        LimitExceeded: if a member, or their number, is larger than the limits.
    """
    key = ""
    parts: dict[str, bytes] = {}
    for member, content in _members(path, data):
        found, suffix = member
        if found != key:
            if parts:
                yield _example(path, key, parts)
            key, parts = found, {}
        if suffix in parts:
            raise InvalidInput(f"{path}: {key}{suffix} is there twice")
        parts[suffix] = content
    if parts:
        yield _example(path, key, parts)


def _example(path: Path, key: str, parts: dict[str, bytes]) -> Member:
    images = [s for s in parts if s in PICTURES or s == ARRAY]
    labels = [s for s in parts if s in LABELS]
    if len(images) != 1 or not labels:
        kind = "picture or array" if len(images) != 1 else "label (.cls or .json)"
        count = "several" if len(images) > 1 else "no"
        raise InvalidInput(
            f"{path}: example {key!r} has {count} {kind}; its members are {', '.join(sorted(parts))} (members of one "
            "example must be neighbours)"
        )
    label = _label(parts[labels[0]], f"{path}: {key}{labels[0]}", labels[0])
    return Member(key, images[0], parts[images[0]], label)


def _label(content: bytes, name: str, suffix: str) -> int | str:
    """A number, or a name: alone, or as `label`, `cls` or `class` of a JSON object."""
    try:
        found: Any = content.decode("utf-8").strip()
        if suffix == ".json":
            found = json.loads(found)
            if isinstance(found, dict):
                found = next((found[k] for k in ("label", "cls", "class") if k in found), None)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name}: cannot be read as a label: {error}") from None
    if isinstance(found, str) and found.isdecimal() and found.isascii() and len(found) < 10:
        return int(found)
    number = isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 10**9
    if not number and (not isinstance(found, str) or not found):
        raise InvalidInput(f"{name}: label {found!r}; expected a number from 0, the name of a class, or label in JSON")
    return found


def _members(path: Path, data: bool) -> Iterator[tuple[tuple[str, str], bytes]]:
    """(key, suffix) and content of each regular member that is part of an example."""
    try:
        with _opened(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            count = 0
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined] # else every header stays in memory
                count += 1
                if count > MAX_MEMBERS:
                    raise LimitExceeded(f"{path}: has more than {MAX_MEMBERS:,} members; split it into several files")
                if member.isdir():
                    continue
                if not member.isreg():
                    raise InvalidInput(f"{path}: {member.name!r} is no regular file; expected only such in shards")
                named = _named(path, member.name)
                if named[1] not in PICTURES and named[1] != ARRAY and named[1] not in LABELS:
                    continue
                yield named, _content(path, archive, member, data or named[1] in LABELS)
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise InvalidInput(f"{path}: ends without the mark of a tar file's end; it is cut off or damaged")
            while file.read(1 << 20):
                pass  # gzip's checksum comes last
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: cannot be read as a tar file: {error}; it is cut off or damaged") from None


def _named(path: Path, name: str) -> tuple[str, str]:
    folder, slash, last = name.removeprefix("./").rpartition("/")
    stem, dot, suffix = last.partition(".")
    if len(name) > MAX_KEY or not stem or not dot:
        raise InvalidInput(f"{path}: member {name[:80]!r}; expected names such as 000123.png and 000123.cls")
    return folder + slash + stem, "." + suffix.lower()


def _content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, wanted: bool) -> bytes:
    most = MAX_LABEL if member.name.lower().endswith(LABELS) else MAX_DATA
    if member.size > most:
        raise LimitExceeded(f"{path}: {member.name} takes {member.size:,} bytes; at most {most:,} are allowed")
    if not wanted:
        return b""
    file = archive.extractfile(member)
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        raise InvalidInput(f"{path}: {member.name} ends after {len(content):,} of {member.size:,} bytes")
    return content


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            yield file
            return
        with gzip.open(file) as unzipped:
            yield unzipped
