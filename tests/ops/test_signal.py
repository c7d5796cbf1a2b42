"""What the case table cannot say of signals: errors, and sizes that are refused before memory is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import registry

from .table import real

HUGE = np.array(2**50)
MEL = (np.array(8), np.array(16), np.array(8000), np.array(0.0), np.array(4000.0))


def _mel(**changed: Any) -> tuple[Any, ...]:
    names = ("bins", "length", "rate", "lower", "upper")
    return tuple(np.array(changed.get(name, x)) for name, x in zip(names, MEL, strict=True))


WRONG: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any], str]] = {
    "no parts": ("DFT", 20, (real(2, 3),), {}, "last axis of length 1 or 2"),
    "no axis but the parts": ("DFT", 20, (real(2),), {}, "others before"),
    "axis of the parts": ("DFT", 20, (real(2, 3, 1), None, np.array(-1)), {}, "holds real and imaginary"),
    "axis of the parts, 17": ("DFT", 17, (real(3, 2),), {}, "holds real and imaginary"),
    "axis beyond": ("DFT", 20, (real(2, 3, 1), None, np.array(3)), {}, "axis 3 does not exist"),
    "axes": ("DFT", 20, (real(2, 3, 1), None, np.array([0, 1])), {}, "expected a scalar"),
    "half of complex": ("DFT", 20, (real(2, 3, 2),), {"onesided": 1}, "expected a real input"),
    "back to half": ("DFT", 20, (real(2, 3, 1),), {"onesided": 1, "inverse": 1}, "expected a complex input"),
    "length 0": ("DFT", 20, (real(2, 3, 1), np.array(0)), {}, "dft_length is 0; expected at least 1"),
    "length below 0": ("DFT", 17, (real(2, 3, 1), np.array(-4)), {}, "dft_length is -4"),
    "lengths": ("DFT", 20, (real(2, 3, 1), np.array([3, 3])), {}, "expected a scalar"),
    "huge length": ("DFT", 20, (real(2, 3, 1), HUGE), {}, "bytes"),
    "huge length back": ("DFT", 20, (real(2, 3, 2), HUGE), {"onesided": 1, "inverse": 1}, "bytes"),
    "nothing to transform": ("DFT", 20, (real(2, 0, 1),), {}, "size 0 leaves nothing"),
    "half of nothing": ("DFT", 20, (real(2, 1, 2),), {"onesided": 1, "inverse": 1}, "size 1 leaves nothing"),
    "signal": ("STFT", 17, (real(2, 8), np.array(1)), {}, r"\[batch, time, 1\]"),
    "signal of triples": ("STFT", 17, (real(2, 8, 3), np.array(1)), {}, r"\[batch, time, 1\]"),
    "no step": ("STFT", 17, (real(2, 8, 1), np.array(0)), {}, "frame_step is 0"),
    "step back": ("STFT", 17, (real(2, 8, 1), np.array(-1)), {}, "frame_step is -1"),
    "long frame": ("STFT", 17, (real(2, 8, 1), np.array(1), None, np.array(9)), {}, "frames of 9 values do not fit"),
    "long window": ("STFT", 17, (real(2, 8, 1), np.array(1), real(9)), {}, "frames of 9 values do not fit"),
    "no frame": ("STFT", 17, (real(2, 8, 1), np.array(1), None, np.array(0)), {}, "frames of 0 values do not fit"),
    "no signal": ("STFT", 17, (real(2, 0, 1), np.array(1)), {}, "frames of 0 values do not fit"),
    "window": ("STFT", 17, (real(2, 8, 1), np.array(1), real(3), np.array(4)), {}, "window has 3 values; expected 4"),
    "windows": ("STFT", 17, (real(2, 8, 1), np.array(1), real(2, 4)), {}, "expected a vector"),
    "window below 0": ("HannWindow", 17, (np.array(-5),), {}, "size is -5"),
    "huge window": ("BlackmanWindow", 17, (HUGE,), {}, "bytes"),
    "sizes": ("HammingWindow", 17, (np.array([2, 3]),), {}, "expected a scalar"),
    "window of text": ("HannWindow", 17, (np.array(3),), {"output_datatype": 8}, "output_datatype 8 is object"),
    "window of no type": ("HannWindow", 17, (np.array(3),), {"output_datatype": 99}, "99"),
    "mel bins below 0": ("MelWeightMatrix", 17, _mel(bins=-1), {}, "num_mel_bins is -1"),
    "huge mel bins": ("MelWeightMatrix", 17, _mel(bins=2**50), {}, "bytes"),
    "huge spectrum": ("MelWeightMatrix", 17, _mel(length=2**50), {}, "bytes"),
    "huge spectrum of no filter": ("MelWeightMatrix", 17, _mel(length=2**62, bins=0), {}, "bytes"),
    "no spectrum": ("MelWeightMatrix", 17, _mel(length=0), {}, "dft_length is 0"),
    "no rate": ("MelWeightMatrix", 17, _mel(rate=0), {}, "sample_rate is 0"),
    "edges swapped": ("MelWeightMatrix", 17, _mel(lower=5000.0), {}, "ascending order"),
    "edge below 0": ("MelWeightMatrix", 17, _mel(lower=-700.0), {}, "at least 0"),
    "edge at infinity": ("MelWeightMatrix", 17, _mel(upper=np.inf), {}, "ascending order"),
    "edge nowhere": ("MelWeightMatrix", 17, _mel(lower=np.nan), {}, "ascending order"),
    "edge beyond": ("MelWeightMatrix", 17, _mel(upper=8000.0), {}, "reach bin 12; expected at most 8"),
    "edge far beyond": ("MelWeightMatrix", 17, _mel(upper=1e300), {}, "expected at most 8"),
    "mel of text": ("MelWeightMatrix", 17, MEL, {"output_datatype": 9}, "output_datatype 9 is bool"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, int, tuple[Any, ...], dict[str, Any], str]) -> None:
    name, version, inputs, attributes, message = wrong
    with pytest.raises(StriateError, match=message):
        registry.lookup("", name, version).kernel(np, *inputs, **attributes)


def test_huge_steps_find_one_frame() -> None:
    (batch, frames, *_) = registry.lookup("", "STFT", 17).kernel(np, real(2, 8, 1), np.array(2**62)).shape
    assert (batch, frames) == (2, 1)


@pytest.mark.parametrize("name", ["HannWindow", "HammingWindow", "BlackmanWindow"])
def test_peaks_are_exactly_one(name: str) -> None:
    kernel = registry.lookup("", name, 17).kernel
    peaks = [kernel(np, np.array(size), output_datatype=11, periodic=0)[size // 2] for size in range(3, 301, 2)]
    assert set(peaks) == {1.0}
