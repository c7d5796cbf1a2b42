"""The wheel holds exactly what the folders hold, and works by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("runtime", "trainer", "exporter", "models")
PROJECT = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD = "import setuptools.build_meta as backend; backend.build_wheel('wheel')"


def _sources(folder: str) -> set[str]:
    """Files of a package folder that belong into the wheel."""
    found = (
        p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.name != "README.md"
    )
    return {p.relative_to(ROOT).as_posix() for p in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("source")
    for name in PROJECT:
        shutil.copy(ROOT / name, copy)
    for folder in ("striate", *FOLDERS):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    result = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = (copy / "wheel").glob("*.whl")
    return built


def test_contents(wheel: Path) -> None:
    expected = _sources("striate") | {f"striate/{name}" for folder in FOLDERS for name in _sources(folder)}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_every_package_is_typed_and_has_an_init(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"striate/py.typed", *(f"striate/{folder}/py.typed" for folder in FOLDERS)} <= names
    packages = {name.rpartition("/")[0] for name in names if name.endswith(".py")}
    assert not [p for p in packages if f"{p}/__init__.py" not in names]


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert fields["Name"] == "striate"
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.11"
    assert len(licences) == 1


def test_the_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import striate, striate.runtime, striate.trainer, striate.exporter, striate.models\n"
        "for name in ('', '.runtime', '.trainer', '.exporter', '.models'):\n"
        "    print(sys.modules['striate' + name].__file__)\n"
        "print(striate.models.pretrained('lenet5'))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(Path(line).is_relative_to(tmp_path) and Path(line).is_file() for line in result.stdout.split())
