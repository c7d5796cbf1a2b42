"""Kernels compiled by several processes: who compiles what, and that a helper that fails costs nothing but time."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import pytest

from striate.runtime.engines.native import compiler, helpers

from .guard import posix

WHOLE = 2 * helpers.STARTING


def texts(count: int, size: int = WHOLE) -> list[tuple[str, str]]:
    """Modules whose function returns a number, as long as it is worth another process, of comments mostly."""
    made = []
    for i in range(count):
        text = f"define i64 @helped{i}() {{\n  ret i64 {i}\n}}\n"
        made.append((f"helped{i}", text + f"; {'x' * max(0, size - len(text) - 3)}\n"))
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(helpers, "cores", lambda: 3)
    for name, text in texts(6):
        compiler._symbols.pop(compiler._key(name, text), None)
    return tmp_path / "cache"


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def results() -> list[int]:
    at = compiler.addresses(texts(6))
    return [ctypes.CFUNCTYPE(ctypes.c_int64)(where)() for where in at]


def spied() -> tuple[list[str], object]:
    """What `compiler.compiled` is called with in this process."""
    seen: list[str] = []

    @functools.wraps(compiler.compiled)
    def compiled(name: str, text: str) -> object:
        seen.append(name)
        return real(name, text)

    real = compiler.compiled
    return seen, compiled


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("sizes", [[], [9], [WHOLE] * 7, [9] * 50, [WHOLE * 9, *[WHOLE] * 9]])
def test_every_text_is_in_one_share(sizes: list[int], most: int) -> None:
    given = [(f"f{i}", "x" * size) for i, size in enumerate(sizes)]
    own, *others = helpers.shares(given, most)
    assert sorted([*own, *(text for share in others for text in share)]) == sorted(given)
    assert all(others)
    assert len(others) < most
    loads = [sum(len(text) for _, text in own)]
    loads += [helpers.STARTING + sum(len(text) for _, text in share) for share in others]
    assert max(loads) - min(loads) <= max([*sizes, helpers.STARTING])
    assert bool(others) == (most > 1 and sum(sizes) > helpers.STARTING and len(sizes) > 1)


def test_helpers_fill_the_cache(cache: Path) -> None:
    seen, compiled = spied()
    helpers.compile_shared(texts(6), compiled)  # type: ignore[arg-type]
    assert 0 < len(seen) < 6
    assert len(entries(cache)) == 6
    assert results() == list(range(6))


def test_what_is_no_text_in_the_path_is_left_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs put a `Path` there by mistake, which Python ignores."""
    monkeypatch.setattr(sys, "path", [*sys.path, cache])
    helpers.compile_shared(texts(6), compiler.compiled)
    assert len(entries(cache)) == 6


@posix
@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nkill -9 $$\n", "no program"])
def test_helpers_that_fail(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    broken = tmp_path / "python3"
    broken.write_text(script)
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    assert results() == list(range(6))
    assert len(entries(cache)) == 6


@posix
def test_a_helper_that_never_ends(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "python3"
    slow.write_text("#!/bin/sh\nexec sleep 1000\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    monkeypatch.setattr(helpers, "LONGEST", 0.1)
    assert results() == list(range(6))


@pytest.mark.parametrize("name", ["", "/usr/bin/uwsgi", "/opt/painter"])
def test_programs_that_hold_a_python_are_not_started(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "executable", name)
    seen, compiled = spied()
    helpers.compile_shared(texts(6), compiled)  # type: ignore[arg-type]
    assert len(seen) == 6


def test_without_a_cache_there_are_no_helpers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("what a helper compiles would be lost")

    monkeypatch.setattr(compiler, "compile_shared", refuse)
    monkeypatch.setenv("STRIATE_CACHE", "")
    assert results() == list(range(6))
