"""Fourier transforms of every kind, axis and length, windows, and mel filters."""

from __future__ import annotations

import itertools

import numpy as np

from ..table import Case, case, ints, real

SAWTOOTH = np.arange(16.0).reshape(1, 16, 1) % 5
HANN_5 = [0, 0.5, 1, 0.5, 0]


def _sums(x, axis, length, sign):
    """The transform as its definition writes it: a matrix of exp(sign · 2πi·k·n/N) times the padded or cut signal."""
    z = np.moveaxis(x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0], axis, -1)[..., :length]
    waves = np.exp(sign * 2j * np.pi * np.outer(np.arange(z.shape[-1]), np.arange(length)) / length)
    return np.moveaxis(z @ waves, -1, axis)


def _parts(z):
    return np.stack([z.real, z.imag], -1)


def _forward(axis, length, bins=None):
    return lambda x, *_, **attrs: _parts(_sums(x, axis, length, -1).take(np.arange(bins or length), axis))


def _backward(axis, length):
    return lambda x, *_, **attrs: _parts(_sums(x, axis, length, 1) / length)


def _signal(axis, length):
    """The real signal of a half spectrum: each bin is joined by its conjugate, the first and a middle one are real."""

    def expect(x, *_, **attrs):
        x = np.moveaxis(x, axis, 0)[: length // 2 + 1].copy()
        for k in {0} if length % 2 else {0, length // 2} & set(range(len(x))):
            x[k] *= [0.5, 0]
        return 2 * np.moveaxis(_sums(x, 0, length, 1).real / length, 0, axis)[..., None]

    return expect


def _framed(step, length, bins):
    def expect(x, *others, **attrs):
        window = next((w for w in others if w is not None and w.ndim == 1), np.ones(length))
        starts = range(0, x.shape[1] - length + 1, step)
        frames = np.stack([x[:, s : s + length] * window[:, None] for s in starts], 1)
        return _parts(_sums(frames, 2, length, -1)[:, :, :bins])

    return expect


def _constant(y, dtype):
    return lambda *_, **attrs: np.asarray(y, dtype)


MEL = [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1], [0] * 6, [0] * 6]
"""Eight equal steps on the mel scale up to 4000 Hz are, in bins of 8192/9 Hz: 0 0.21 0.47 0.80 1.22 1.76 2.44 3.30."""

CASES: list[Case] = [
    *(
        case("DFT", real(2, 3, 5, parts), opset=17, axis=axis, inverse=inverse,
             expect=(_backward if inverse else _forward)(axis % 4, (2, 3, 5)[axis % 4]),
             name=f"{parts} {axis} {inverse}")
        for parts, axis, inverse in itertools.product((1, 2), (1, -2, 0), (0, 1))
    ),
    case("DFT", real(2, 6, 3, 1), 4, opset=17, onesided=1, expect=_forward(1, 4, 3), name="half and cut"),
    case("DFT", real(2, 4, 3, 2), opset=17, onesided=1, inverse=1, expect=_signal(1, 6), name="half back"),
    *(
        case("DFT", real(2, 4, 3, parts), length, np.int64(axis), inverse=inverse, grad=(0,),
             expect=(_backward if inverse else _forward)(axis % 4, length),
             name=f"{length} of 4 along {axis} of {parts}, {inverse}")
        for parts, length, axis, inverse in itertools.product((1, 2), (1, 3, 6), (1, -3), (0, 1))
    ),
    case("DFT", real(2, 5, 1), grad=(0,), expect=_forward(1, 5), name="default axis"),
    case("DFT", real(2, 5, 2), inverse=1, grad=(0,), expect=_backward(1, 5), name="default axis inverse"),
    *(
        case("DFT", real(size, 2, 1), length, 0, onesided=1, grad=(0,),
             expect=_forward(0, length or size, (length or size) // 2 + 1), name=f"half, {length} of {size}")
        for size, length in ((6, None), (5, None), (1, None), (4, 7), (6, 3), (6, 2))
    ),
    *(
        case("DFT", real(bins, 2, 2), length, 0, onesided=1, inverse=1, grad=(0,),
             expect=_signal(0, length or 2 * (bins - 1)), name=f"back from half, {length} of {bins}")
        for bins, length in ((4, None), (2, None), (4, 7), (4, 6), (2, 7), (5, 4), (1, 1), (3, 2))
    ),
    case("DFT", real(0, 4, 1), onesided=1, expect=lambda x, **_: np.zeros((0, 3, 2)), name="no signals"),
    case("DFT", real(0, 4, 2), onesided=1, inverse=1, expect=lambda x, **_: np.zeros((0, 6, 1)), name="no spectra"),
    case("DFT", real(2, 6, 1), np.int32(6), onesided=1, dtypes=("float16", "bfloat16"), expect=_forward(1, 6, 4),
         name="half precision"),
    case("STFT", SAWTOOTH, 4, None, 6, expect=_framed(4, 6, 4)),
    case("STFT", real(2, 17, 1), 3, real(5), expect=_framed(3, 5, 3), name="window"),
    case("STFT", real(2, 17, 1), np.int32(3), real(5), np.int32(5), onesided=0, expect=_framed(3, 5, 5),
         name="both sides"),
    case("STFT", real(2, 9, 2), 1, real(4), onesided=0, expect=_framed(1, 4, 4), name="complex"),
    case("STFT", real(2, 9, 2), 2, None, 4, expect=_framed(2, 4, 3), name="complex, first bins"),
    case("STFT", real(2, 6, 1), 9, expect=_framed(9, 6, 4), name="one frame"),
    case("STFT", real(1, 3, 1), 2, None, 1, expect=_framed(2, 1, 1), name="frames of one"),
    case("STFT", real(0, 6, 1), 2, None, 4, expect=lambda x, *_, **a: np.zeros((0, 2, 3, 2)), name="no signals"),
    case("STFT", real(1, 12, 1), 4, real(4), dtypes=("float16", "bfloat16"), expect=_framed(4, 4, 3),
         name="half precision"),
    *(
        case(f"{name}Window", ints(low=size, high=size + 1), opset=17, periodic=periodic, output_datatype=11,
             name=f"{size} {periodic}")
        for name, size, periodic in itertools.product(("Hann", "Hamming", "Blackman"), (1, 8, 9), (1, 0))
    ),
    *(
        case(f"{name}Window", np.int32(0), expect=_constant([], np.float32), name="empty")
        for name in ("Hann", "Hamming", "Blackman")
    ),
    case("HannWindow", 5, periodic=0, expect=_constant(HANN_5, np.float32), name="default data type"),
    case("HannWindow", 5, periodic=0, output_datatype=10, expect=_constant(HANN_5, np.float16), name="float16"),
    case("BlackmanWindow", 7, periodic=0, output_datatype=2, expect=_constant([0, 0, 0, 1, 0, 0, 0], np.uint8),
         name="integers"),
    case("HammingWindow", 2, output_datatype=11, expect=_constant([4 / 46, 1], np.float64), name="two"),
    case("MelWeightMatrix", 8, 16, 8192, np.float32(0), np.float32(4096)),
    case("MelWeightMatrix", 5, 101, 16000, 300.0, 7900.0, output_datatype=11, dtypes=("float64",), name="float64"),
    case("MelWeightMatrix", np.int32(12), np.int32(200), np.int32(8000), np.float16(60), np.float16(3500),
         output_datatype=10, name="float16"),
    case("MelWeightMatrix", 6, 8, 8192, np.float32(0), np.float32(4000), output_datatype=7,
         expect=_constant(MEL, np.int64), name="integers"),
    case("MelWeightMatrix", 0, 16, 8192, np.float32(0), np.float32(4000), name="none"),
    case("MelWeightMatrix", 2, 1, 8, np.float32(0), np.float32(1), expect=_constant([[1, 1]], np.float32),
         name="one bin"),
]  # fmt: skip
