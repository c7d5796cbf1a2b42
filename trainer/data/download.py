"""Files fetched from the net: over https, within a size, and only under their name once their checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from ...runtime.errors import InvalidInput, LimitExceeded
from ...runtime.files import atomic_write

__all__ = ["KNOWN", "data_folder", "download", "fetch", "is_url"]

MAX_BYTES = 1 << 34
"""No file may be larger, unless another limit is asked for."""
TIMEOUT = 30.0
"""Seconds without a byte after which a server is given up."""
PIECE = 1 << 18

_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
_LENGTHS = {"sha256": 64, "md5": 32}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Remote:
    """A file of a well-known data set. `checksum` is a SHA-256, or `md5:…` where its publisher gives only that."""

    url: str
    checksum: str


_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"


def _remotes(base: str, checksums: dict[str, str]) -> tuple[Remote, ...]:
    return tuple(Remote(base + name, checksum) for name, checksum in checksums.items())


KNOWN = {
    "mnist": _remotes(
        _MNIST,
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _remotes(
        _FASHION,
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar10": _remotes(
        _CIFAR, {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
    ),
    "cifar100": _remotes(
        _CIFAR, {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}
    ),
}
"""Data sets by name: where they lie, and the checksums their publishers and TensorFlow Datasets give for them."""


def is_url(spec: str) -> bool:
    """Whether this begins as an address does."""
    return re.match(r"[a-z][a-z0-9+.-]+://", spec, re.IGNORECASE) is not None


def data_folder() -> Path:
    """Where downloads are kept: STRIATE_DATA, or `striate/data` in the user's cache folder."""
    given = os.environ.get("STRIATE_DATA")
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "striate" / "data"


def fetch(name: str, progress: Progress | None = None) -> Path:
    """A well-known data set, downloaded unless it is there: its folder, or its file where it is a single archive.

    Raises:
        InvalidInput: as `download`.
    """
    remotes = KNOWN[name]
    folder = data_folder() / name
    paths = [download(r.url, folder, r.checksum, progress=progress) for r in remotes]
    return paths[0] if len(paths) == 1 else folder


def download(
    url: str,
    folder: str | os.PathLike[str],
    checksum: str,
    *,
    max_bytes: int = MAX_BYTES,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Path:
    """The file at `url`, in `folder` under the last part of its address; not fetched again if it is there and right.

    What arrives is written beside its place and gets its name after the checksum was found to be right.

    Args:
        url: https; http only on this machine, and so for every address that the server leads on to.
        checksum: 64 hexadecimal digits of SHA-256, or `md5:` and 32, which only guard against damage.
        max_bytes: a larger file is refused.
        progress: called with (bytes so far, bytes in all or 0).

    Raises:
        InvalidInput: for another kind of address or checksum, an answer that is no file, or a wrong checksum.
        LimitExceeded: if the file is larger than allowed.
        OSError: if the folder cannot be written to.
    """
    kind, expected = _checksum(checksum)
    _check_address(url)
    target = Path(folder) / _name(url)
    if target.is_file():
        found = _digest(target, kind)
        if found == expected:
            return target
        raise InvalidInput(
            f"{target}: its {kind} is {found}, expected {expected}; the file is not that of {url}: remove it"
        )
    target.parent.mkdir(parents=True, exist_ok=True)

    def write(file: BinaryIO) -> None:
        found = _copied(url, file, kind, max_bytes, timeout, progress)
        if found != expected:
            raise InvalidInput(f"{url}: its {kind} is {found}, expected {expected}; nothing was kept")

    atomic_write(target, write)
    return target


def _copied(url: str, file: BinaryIO, kind: str, max_bytes: int, timeout: float, progress: Progress | None) -> str:
    """Writes what the server sends; returns its checksum."""
    digest, done = hashlib.new(kind, usedforsecurity=kind != "md5"), 0
    request = urllib.request.Request(url, headers={"User-Agent": "striate", "Accept-Encoding": "identity"})
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            total = _length(answer)
            if total > max_bytes:
                raise LimitExceeded(f"{url}: has {total:,} bytes; at most {max_bytes:,} are allowed")
            while piece := answer.read(PIECE):
                done += len(piece)
                if done > max_bytes:
                    raise LimitExceeded(f"{url}: has more than the {max_bytes:,} bytes that are allowed")
                digest.update(piece)
                file.write(piece)
                if progress is not None:
                    progress(done, total)
    except urllib.error.HTTPError as error:
        with error:
            raise InvalidInput(f"{url}: the server answered {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise InvalidInput(f"{url}: cannot be fetched: {reason}") from None
    if done < total:
        raise InvalidInput(f"{url}: ended after {done:,} of {total:,} bytes; nothing was kept, try again")
    return digest.hexdigest()


def _length(answer: Any) -> int:
    text = answer.headers.get("Content-Length") or ""
    return int(text) if text.isdecimal() else 0


class _SameRules(urllib.request.HTTPRedirectHandler):
    """An address that a server leads on to is held to the same rules."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SameRules())


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise InvalidInput(f"{url}: is not fetched; expected an address that begins with https://")


def _name(url: str) -> str:
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not re.fullmatch(r"\w[\w.-]{0,199}", name, re.ASCII):
        raise InvalidInput(f"{url}: does not end with the name of a file (letters, digits, '.', '-' and '_')")
    return name


def _checksum(text: str) -> tuple[str, str]:
    kind, colon, digits = text.partition(":")
    kind, digits = (kind, digits) if colon else ("sha256", text)
    if kind not in _LENGTHS or not re.fullmatch(rf"[0-9a-fA-F]{{{_LENGTHS[kind]}}}", digits):
        raise InvalidInput(f"checksum {text!r}; expected sha256: and 64 hexadecimal digits, or md5: and 32")
    return kind, digits.lower()


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=kind != "md5")).hexdigest()
