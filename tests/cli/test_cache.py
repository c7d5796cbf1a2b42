"""`striate cache` shows what is kept, and removes nothing that Striate did not put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from striate.runtime.engines.native import compiler

from .conftest import Run


def test_show_and_clear(striate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    compiler.compiled("one", "define i64 @one() {\n  ret i64 1\n}\n")
    for name in ("plans/abc/face", "plans/abc/x.plan", "tuned/y", "notes.txt", "mine/letter.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"." * 2**20)
    done = striate("cache")
    assert done.code == 0
    found = {line.split("  ")[1].strip(): line for line in done.out.splitlines() if "files" in line}
    assert "2 files, 2.0 MiB" in found["plans of models"]
    assert "1 files, 1.0 MiB" in found["choices measured"]
    assert "1 files" in found["machine code of kernels"]
    assert "removed 4 files" in striate("cache", "--clear").out
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["letter.txt", "notes.txt"]
    assert "0 files" in striate("cache").out


def test_nothing_is_kept(striate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", "")
    done = striate("cache", "--clear")
    assert done.code == 0
    assert "nothing is kept" in done.out
