"""What the README says is so: its Python runs, its commands exist, its files are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "readme.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    *epochs, result = done.stdout.strip().splitlines()
    assert len(epochs) == 3
    accuracy = re.fullmatch(r"([\d.]+)% of 359 test digits", result)
    assert accuracy is not None
    assert float(accuracy[1]) > 85
    assert (tmp_path / "lenet5.onnx").is_file()


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_the_examples_run(example: str, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "examples" / example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


COMMAND = re.compile(r"`striate ((?:(?:plot|experiment|explain) )?[\w-]+)")


@pytest.mark.parametrize("command", sorted(set(COMMAND.findall(README))))
def test_the_commands_exist(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "striate", *command.split(), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Example" in done.stdout


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), f"README.md links to {target}, which is not there"
