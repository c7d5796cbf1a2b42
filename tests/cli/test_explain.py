"""`striate explain conv` and `striate summary --count`."""

from __future__ import annotations

import pytest

from .conftest import Run


def test_the_books_example(striate: Run) -> None:
    done = striate("explain", "conv", "--input", "320x280", "--kernel", "1x2")
    assert done.code == 0
    for text in ("= 319", "8,003,072,000", "267,960 operations", "29,867", "59,733", "roughly 60,000"):
        assert text in done.out


def test_the_lectures_third_example(striate: Run) -> None:
    done = striate("explain", "conv", "--input", "32x32x3", "--kernel", "5x5", "--filters", 10)
    assert "= 28" in done.out
    assert "7,840" in done.out
    assert "10 · (5 · 5 · 3 + 1) = 760" in done.out
    assert "60,000" not in done.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--input", "320"), "--input '320' does not fit; expected WxH"),
        (("--input", "0x5"), "--input '0x5' does not fit"),
        (("--input", "9x9x9x9"), "does not fit"),
        (("--input", f"{10**7}x5"), "does not fit"),
        (("--kernel", "3x3x3"), "--kernel '3x3x3' does not fit; expected HxW"),
        (("--input", "4x4", "--kernel", "5x2"), "kernel 5×2 does not fit into 4 rows"),
    ],
)
def test_what_does_not_fit_is_said(striate: Run, arguments: tuple[str, ...], text: str) -> None:
    done = striate("explain", "conv", *arguments)
    assert done.code == 1
    assert text in done.err


def test_counting_layers(striate: Run) -> None:
    done = striate("summary", "lenet5_1998", "--count")
    assert done.code == 0
    line = next(line for line in done.out.splitlines() if "C1 (Conv2D)" in line)
    assert line.split() == ["C1", "(Conv2D)", "28×28×6", "4,704", "156", "122,304", "122,304", "117.6", "k", "5", "1"]
    assert "60,000" in done.out


def test_counting_is_for_layers(striate: Run) -> None:
    done = striate("summary", "some.onnx", "--count")
    assert done.code == 1
    assert "leave out --count" in done.err
