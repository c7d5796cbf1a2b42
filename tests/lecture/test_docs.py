"""docs/ says what Striate computes: its Python runs to the digit, and all that the lecture prints is computed."""

from __future__ import annotations

import doctest
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate.cli.app import app

from .pages import DOCS, examples

LECTURE = DOCS / "lecture.md"
PAGES = sorted(path for path in DOCS.rglob("*.md") if ">>> " in path.read_text(encoding="utf-8"))

P = """9.855923e-01 1.419998e-02 2.045877e-04 2.947614e-06 4.246805e-08 6.118620e-10 8.815459e-12 6.118620e-10
    4.246805e-08"""

PRINTED = {
    "Human vision, computer vision": "451 731",
    "Better with fewer weights": "87.0% 88.5% 98.4% 1,226 1,060",
    "Weights of fully connected layers": "42",
    "Net-1, Net-2, Net-3 (LeCun, 1989)": "2,570 266 3214 278 640 416 170 1226 346",
    "Local connectivity and sharing together": "9 10 90",
    "Sharing in Net-3": "10 26 170 206",
    "The reader of zip codes (LeCun et al., 1989)": "19,968 38,592 5,790 310 64,660 8824",
    "Convolution needs fewer operations": "8,003,072,000 267,960 60,000",
    "Example 1: age and gender (Levi and Hassner, 2015)": "227 96 3×7×7 256 96×5×5 384 256×3×3 512 (3,~3) (2,~2)",
    "Convolution stage": "9 32 14 26",
    "Convolution stage: stride and padding": "3 5 1~~6~~5 7~10~~9 7~10~~8",
    "Convolution stage: output dimension": "28 2×2×1 2×2×3 28×28×10",
    "LeNet-5, stage C1": "28 28*28*6 156 122,304",
    "LeNet-5, stage S2": "14 14*14*6 12 5,880",
    "LeNet-5, stage C3": "10 10*10*16 2416 1516 241,600 156,000",
    "LeNet-5 in Keras, and in Striate": """(None,~28,~28,~6) (None,~14,~14,~6) (None,~10,~10,~16) (None,~5,~5,~16)
        (None,~400) (None,~120) (None,~84) (None,~10) 156 2,416 48,120 10,164 850 61,706 2416 48120 10164""",
    "Forward propagation": f"{P} 1.829901e-15 118 102 424 33.93",
    "∂E/∂net: the output units": f"{P} -1",
    "∂E/∂w3: the weights of the output layer": """9.86E-01 1.42E-02 2.05E-04 2.95E-06 4.25E-08 6.12E-10 8.82E-12
        -1.00E+00 4.18E+02 6.02E+00 8.67E-02 1.25E-03 1.80E-05 2.59E-07 3.74E-09 -4.24E+02 0.00E+00""",
    "∂E/∂w2: through the hidden layer": "0.079854 0.0799 9.4227 8.1451",
    "∂E/∂w1 and δB1: through pooling and convolution": "0.07985382 0.23956146",
}
"""What the slides print, by the part of the page that computes it; ~ is a blank. With Python's points and commas."""

COMMANDS = ("explain conv", "plot receptive-field", "models")
"""Those that are run as the page has them; of all others the help must exist, for training takes long."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_says_what_the_page_says(page: Path) -> None:
    test = examples(page)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not result.failed, "".join(said)
    assert result.attempted == page.read_text(encoding="utf-8").count("\n>>> ")


def test_no_example_is_skipped_or_let_off() -> None:
    assert PAGES
    for page in PAGES:
        assert not any(example.options for example in examples(page).examples), page


@cache
def parts() -> dict[str, list[doctest.Example]]:
    """The examples of the lecture below each heading."""
    lines = LECTURE.read_text(encoding="utf-8").splitlines()
    heads = {i: line.lstrip("# ") for i, line in enumerate(lines) if line.startswith("#")}
    found: dict[str, list[doctest.Example]] = {head: [] for head in heads.values()}
    for example in examples(LECTURE).examples:
        found[heads[max(i for i in heads if i < example.lineno)]].append(example)
    return found


def occurs(number: str, text: str) -> bool:
    """Whether a number stands there by itself, not within a longer one."""
    return re.search(rf"(?<![\w.,×*-]){re.escape(number)}(?![\w×*]|[.,]\d)", text) is not None


@pytest.mark.parametrize(
    ("part", "number"), [(part, n.replace("~", " ")) for part, numbers in PRINTED.items() for n in numbers.split()]
)
def test_what_the_lecture_prints_is_computed(part: str, number: str) -> None:
    """It is in the output of an example that does not have it in its source: it is not only repeated."""
    computed = [e for e in parts()[part] if occurs(number, e.want) and not occurs(number, e.source)]
    assert computed, f"no example of {part!r} computes {number}"


def pictures(page: Path) -> list[tuple[str, str]]:
    """Description and target of each picture that a page shows."""
    return re.findall(r"!\[(.*?)\]\((.*?)\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pictures_are_there(page: Path) -> None:
    for text, target in pictures(page):
        path = page.parent / target
        assert path.is_file(), f"{page.name} shows {target}, which is not there"
        assert path.stat().st_size < 200 * 1024, f"{target} is larger than 200 KiB"
        assert len(text) > 10, f"{page.name}: {target} is not described"


def test_every_picture_of_the_lecture_is_shown() -> None:
    drawn = {f"pictures/{path.name}" for path in (DOCS / "pictures").glob("lecture_*")}
    assert drawn == {target for _, target in pictures(LECTURE)}


def test_the_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`striate ([^`]+)`", LECTURE.read_text(encoding="utf-8")))))
def test_the_commands_exist(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in shlex.split(command) if word != "NAME"]
    if not command.startswith(COMMANDS):
        names = [word for word in words if not word.startswith("--")]
        words = [*names[: 2 if names[0] in ("plot", "experiment") else 1], "--help"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
