"""Downloads, from a server on this machine: whole, wrong, cut, too large, led elsewhere, or not there."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput, LimitExceeded
from striate.trainer.data import download, load
from striate.trainer.data.download import KNOWN, Remote, fetch

CONTENT = bytes(range(256)) * 3000
SHA = hashlib.sha256(CONTENT).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - one list for all requests, cleared by the fixture
    files: dict[str, bytes] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        content = self.files.get(self.path, CONTENT)
        if self.path == "/missing.bin":
            self.send_error(404)
            return
        self.send_response(302 if self.path.startswith("/led") else 200)
        if self.path == "/led.bin":
            self.send_header("Location", "/whole.bin")
        if self.path == "/led-away.bin":
            self.send_header("Location", "http://example.invalid/whole.bin")
        if self.path != "/endless.bin":
            self.send_header("Content-Length", str(0 if self.path.startswith("/led") else len(content)))
        self.end_headers()
        if not self.path.startswith("/led"):
            with suppress(ConnectionError):  # the other side may have had enough
                self.wfile.write(content[:1000] if self.path == "/cut.bin" else content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that ends with the test."""
    _Handler.asked.clear()
    _Handler.files.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def nothing_kept(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


def test_a_file_is_fetched_once(server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = download(f"{server}/whole.bin", tmp_path, SHA, progress=lambda *p: seen.append(p))
    assert (path, path.read_bytes()) == (tmp_path / "whole.bin", CONTENT)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert download(f"{server}/whole.bin", tmp_path, f"sha256:{SHA.upper()}") == path
    assert _Handler.asked == ["/whole.bin"]
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert download(f"{server}/led.bin", tmp_path, f"md5:{md5}").read_bytes() == CONTENT
    path.write_bytes(b"changed")
    with pytest.raises(InvalidInput, match="remove it"):
        download(f"{server}/whole.bin", tmp_path, SHA)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["led.bin", "whole.bin"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.bin", "404"),
        ("cut.bin", "1,000 of 768,000 bytes|IncompleteRead"),
        ("led-away.bin", "begins with https://"),
    ],
)
def test_what_goes_wrong_leaves_nothing(server: str, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        download(f"{server}/{name}", tmp_path / "new", SHA)
    assert nothing_kept(tmp_path / "new")


def test_wrong_checksum(server: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"its sha256 is {SHA}, expected 0000.*nothing was kept"):
        download(f"{server}/whole.bin", tmp_path, "0" * 64)
    assert nothing_kept(tmp_path)


@pytest.mark.parametrize("name", ["whole.bin", "endless.bin"])
def test_too_large_said_or_found(server: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(LimitExceeded, match="100,000"):
        download(f"{server}/{name}", tmp_path, SHA, max_bytes=100_000)
    assert nothing_kept(tmp_path)
    assert download(f"{server}/{name}", tmp_path, SHA, max_bytes=len(CONTENT)).read_bytes() == CONTENT


def test_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(InvalidInput, match=r"cannot be fetched: .*refused"):
            download(f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin", tmp_path, SHA, timeout=5)


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(InvalidInput, match=r"cannot be fetched: .*timed out"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin", tmp_path, SHA, timeout=0.2)


@pytest.mark.parametrize(
    ("url", "checksum", "message"),
    [
        ("http://example.invalid/a.bin", SHA, "begins with https://"),
        ("file:///etc/passwd", SHA, "begins with https://"),
        ("ftp://127.0.0.1/a.bin", SHA, "begins with https://"),
        ("http://127.0.0.1/", SHA, "name of a file"),
        ("http://127.0.0.1/%2e%2e%2fa", SHA, "begin|name of a file|cannot"),
        ("http://127.0.0.1/.hidden", SHA, "name of a file"),
        ("http://127.0.0.1/a.bin", "abc", "64 hexadecimal digits"),
        ("http://127.0.0.1/a.bin", "sha1:" + "0" * 40, "64 hexadecimal digits"),
    ],
)
def test_addresses_and_checksums_are_checked_first(tmp_path: Path, url: str, checksum: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        download(url, tmp_path, checksum, timeout=1)
    assert nothing_kept(tmp_path)


def test_data_by_address_and_by_name(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load` takes an address with its checksum; well-known names take both from the table."""
    np.savez(tmp_path / "few.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4))
    content = (tmp_path / "few.npz").read_bytes()
    _Handler.files["/few.npz"] = content
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "kept"))
    checksum = hashlib.sha256(content).hexdigest()
    assert load(f"{server}/few.npz,sha256={checksum}").x.shape == (4, 8, 8, 1)
    assert (tmp_path / "kept" / "files" / "few.npz").read_bytes() == content
    with pytest.raises(InvalidInput, match="has no checksum"):
        load(f"{server}/few.npz")

    for name, array in (
        ("images-idx3", np.zeros((3, 28, 28), np.uint8)),
        ("labels-idx1", np.arange(3, dtype=np.uint8)),
    ):
        _Handler.files[f"/train-{name}-ubyte"] = _Handler.files[f"/t10k-{name}-ubyte"] = (
            bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes() + array.tobytes()
        )
    sums = {n: hashlib.sha256(c).hexdigest() for n, c in _Handler.files.items() if "ubyte" in n}
    monkeypatch.setitem(KNOWN, "mnist", tuple(Remote(server + n, c) for n, c in sums.items()))
    _Handler.asked.clear()
    assert load("mnist", part="test").x.shape == (3, 28, 28, 1)
    assert len(load("mnist")) == 6
    assert len(_Handler.asked) == 4
    assert fetch("mnist") == tmp_path / "kept" / "mnist"


def test_the_table_is_of_https_and_whole_checksums() -> None:
    assert {"mnist", "fashion-mnist", "cifar10", "cifar100"} == set(KNOWN)
    for remotes in KNOWN.values():
        for remote in remotes:
            assert remote.url.startswith("https://")
            kind, _, digits = remote.checksum.rpartition(":")
            assert len(bytes.fromhex(digits)) == (16 if kind == "md5" else 32)
