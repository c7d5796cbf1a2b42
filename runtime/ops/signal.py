"""Signals: Fourier transforms, the windows to look at them through, and mel filters.

A tensor of complex numbers has a last axis of length 2, the real and the imaginary part; a real signal has a last axis
of length 1.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import compute_dtype, numpy_dtype
from ..errors import InvalidGraph, InvalidInput
from ._axes import axis_in, bounded
from .casting import cast
from .registry import op

_REAL, _COMPLEX = 1, 2
_NUMBERS = {"bfloat16", "float16", "float32", "float64"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}


def _scalar(x, name, least=None):
    """The one number a host input holds.

    Raises:
        InvalidInput: if it does not hold one, or a smaller one than `least`.
    """
    if x.size != 1:
        raise InvalidInput(f"{name} has shape {list(x.shape)}; expected a scalar")
    number = x.reshape(-1)[0]
    number = int(number) if x.dtype.kind in "iu" else float(number)
    if least is not None and number < least:
        raise InvalidInput(f"{name} is {number}; expected at least {least}")
    return number


# ---- Fourier transforms


def _joined(xp, x):
    """Real numbers [..., 1] as real numbers [...], or parts [..., 2] as complex numbers [...]."""
    x = x.astype(compute_dtype(x.dtype), copy=False)
    if x.shape[-1] == _REAL:
        return x[..., 0]
    return xp.ascontiguousarray(x).view(np.result_type(x.dtype, np.complex64))[..., 0]


def _parted(xp, Y, dtype):
    """Complex numbers [...] as their parts [..., 2]."""
    return xp.stack((Y.real, Y.imag), axis=-1).astype(dtype, copy=False)


def _dft(xp, input, dft_length, axis, inverse, onesided):
    if input.ndim < 2 or input.shape[-1] not in (_REAL, _COMPLEX):
        raise InvalidInput(
            f"DFT of shape {list(input.shape)}: expected a last axis of length 1 or 2, and others before"
        )
    axis = axis_in(axis, input.ndim)
    if axis == input.ndim - 1:
        raise InvalidInput(f"DFT along axis {axis}, which holds real and imaginary parts; expected one before it")
    if onesided and input.shape[-1] != (_COMPLEX if inverse else _REAL):
        kinds = "a complex input for inverse=1" if inverse else "a real input for inverse=0"
        raise InvalidInput(f"DFT with onesided=1 of shape {list(input.shape)}; expected {kinds}")
    length = _length(dft_length, input.shape[axis], inverse and onesided)
    bins = length // 2 + 1 if onesided and not inverse else length
    shape = bounded((*input.shape[:axis], bins, *input.shape[axis + 1 : -1]), np.complex128)
    parts = _REAL if inverse and onesided else _COMPLEX
    if 0 in shape:
        return xp.zeros((*shape, parts), input.dtype)
    x = _joined(xp, input)
    if parts == _REAL:
        return xp.fft.irfft(x, length, axis)[..., None].astype(input.dtype, copy=False)
    transform = xp.fft.ifft if inverse else xp.fft.rfft if onesided else xp.fft.fft
    return _parted(xp, transform(x, length, axis), input.dtype)


def _length(dft_length, size, halved):
    """How many values are transformed along an axis of this size, `halved` if it holds one half of a spectrum."""
    if dft_length is not None:
        return _scalar(dft_length, "dft_length", 1)
    length = 2 * (size - 1) if halved else size
    if length < 1:
        raise InvalidInput(f"an axis of size {size} leaves nothing to transform; expected a longer one, or dft_length")
    return length


@op("DFT", since=17, host=(1,))
def dft_17(xp, input, dft_length=None, *, axis=1, inverse=0, onesided=0):
    """See `dft_20`; the axis is an attribute."""
    return _dft(xp, input, dft_length, axis, inverse, onesided)


@op("DFT", since=20, host=(1, 2))
def dft_20(xp, input, dft_length=None, axis=None, *, inverse=0, onesided=0):
    """Y[k] = Σₙ X[n] · exp(−2πi·k·n/N) along `axis`, N = dft_length: the signal is cut to that, or zeros are appended.

    inverse=1: X[n] = 1/N · Σₖ Y[k] · exp(2πi·k·n/N). onesided=1: of a real signal's spectrum only k = 0 to ⌊N/2⌋ are
    returned, or given, the others being their conjugates; the inverse then returns that signal, [..., 1].
    """
    return _dft(xp, input, dft_length, -2 if axis is None else _scalar(axis, "axis"), inverse, onesided)


@dft_20.gradient
def _(g, node, dY):
    """The matrix of the DFT is symmetric and, but for a factor, unitary: with N values along the axis,

    forward: dX = N · DFT⁻¹(dY); inverse: dX = 1/N · DFT(dY), doubled with onesided=1 where a bin also stands for its
    conjugate; of a real X the real part, and each with zeros appended or cut off to the size of X.
    """
    X, dft_length, _ = node.inputs
    inverse, onesided = node.attrs["inverse"], node.attrs["onesided"]
    rank = len(node.shape(0))
    axis = axis_in(-2 if node.inputs[2] is None else int(node.constant(2)), rank)
    size = g.Squeeze(g.Shape(X, start=axis, end=axis + 1), [0])
    default = g.Mul(g.Sub(size, 1), 2) if inverse and onesided else size
    length = default if dft_length is None else g.Cast(dft_length, to=size.dtype.value)
    factor = g.Cast(length, to=X.dtype.value)
    spectrum = g.DFT(dY, length, np.int64(axis), inverse=int(not inverse), onesided=int(inverse and onesided))
    dX = g.Div(spectrum, factor) if inverse else g.Mul(spectrum, factor)
    kept = length
    if inverse and onesided:
        kept = g.Add(g.Div(length, 2), 1)
        dX = g.Mul(dX, g.Reshape(_stands_for(g, length, kept, X), [-1] + [1] * (rank - axis - 1)))
    if node.static_shape(0, slice(-1, None)) == (_REAL,):
        dX = g.Slice(dX, [0], [1], [-1])
    if dft_length is None:
        return dX
    pads = g.Concat([0], g.Reshape(g.Sub(size, kept), [1]), axis=0)
    return g.Pad(dX, pads, None, [axis])


def _stands_for(g, length, bins, X):
    """How many of `length` bins each of a one-sided spectrum stands for: two, but the first and a middle one."""
    bin = g.Range(0, bins, 1)
    alone = g.Or(g.Equal(bin, 0), g.Equal(g.Mul(bin, 2), length))
    return g.Where(alone, g.like(1, X), g.like(2, X))


@op("STFT", since=17, host=(1, 3), differentiable=False)
def stft(xp, signal, frame_step, window=None, frame_length=None, *, onesided=1):
    """The DFT of each frame of signals [batch, time, 1 or 2], weighted by the window: [batch, frames, bins, 2].

    A frame begins every `frame_step` values, as long as it fits. onesided=1: the first ⌊frame_length/2⌋ + 1 bins.
    """
    if signal.ndim != 3 or signal.shape[-1] not in (_REAL, _COMPLEX):
        raise InvalidInput(f"STFT of shape {list(signal.shape)}; expected [batch, time, 1] or [batch, time, 2]")
    batch, time, parts = signal.shape
    step, length = _scalar(frame_step, "frame_step", 1), _frame_length(time, window, frame_length)
    bins = length // 2 + 1 if onesided else length
    frames = (time - length) // step + 1
    bounded((batch, frames, length), np.complex128)
    if batch == 0:
        return xp.zeros((0, frames, bins, _COMPLEX), signal.dtype)
    x = xp.lib.stride_tricks.sliding_window_view(_joined(xp, signal), length, 1)[:, ::step]
    if window is not None:
        x = x * window.astype(compute_dtype(window.dtype), copy=False)
    Y = xp.fft.rfft(x, axis=2) if parts == _REAL and onesided else xp.fft.fft(x, axis=2)[..., :bins]
    return _parted(xp, Y, signal.dtype)


def _frame_length(time, window, frame_length):
    if window is not None and window.ndim != 1:
        raise InvalidInput(f"window has shape {list(window.shape)}; expected a vector")
    weights = time if window is None else window.shape[0]
    length = weights if frame_length is None else _scalar(frame_length, "frame_length")
    if window is not None and weights != length:
        raise InvalidInput(f"window has {weights} values; expected {length}, as frame_length says")
    if not 1 <= length <= time:
        raise InvalidInput(f"frames of {length} values do not fit a signal of {time}; expected 1 to {time}")
    return length


# ---- Windows and mel filters


def _output_dtype(code):
    dtype = numpy_dtype(code)
    if dtype.name not in _NUMBERS:
        raise InvalidGraph(f"output_datatype {code} is {dtype}; expected integers or floats of 8 to 64 bits")
    return dtype


def _window(xp, size, output_datatype, periodic, a1, a2):
    """1 − a₁ − a₂ − a₁·cos(2πn/N) + a₂·cos(4πn/N) for n = 0, ..., size − 1; N is the size if periodic, else 1 less."""
    dtype = _output_dtype(output_datatype)
    size = _scalar(size, "size", 0)
    bounded((size,), np.float64)
    angle = xp.arange(size, dtype=np.float64) * math.tau / (size if periodic else size - 1)
    # In this order the peak is exactly 1, which integers keep and anything less would lose.
    Y = (1 - a1 - a2) + a2 * xp.cos(2 * angle) - a1 * xp.cos(angle)
    return cast(xp, Y, dtype)


@op("HannWindow", since=17, host=(0,), differentiable=False)
def hann_window(xp, size, *, output_datatype=1, periodic=1):
    """See `_window`."""
    return _window(xp, size, output_datatype, periodic, 0.5, 0.0)


@op("HammingWindow", since=17, host=(0,), differentiable=False)
def hamming_window(xp, size, *, output_datatype=1, periodic=1):
    """See `_window`."""
    return _window(xp, size, output_datatype, periodic, 21 / 46, 0.0)


@op("BlackmanWindow", since=17, host=(0,), differentiable=False)
def blackman_window(xp, size, *, output_datatype=1, periodic=1):
    """See `_window`."""
    return _window(xp, size, output_datatype, periodic, 0.5, 0.08)


@op("MelWeightMatrix", since=17, host=(0, 1, 2, 3, 4), differentiable=False)
def mel_weight_matrix(
    xp, num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz, *, output_datatype=1
):
    """Triangles of height 1 over the bins of a one-sided spectrum: [⌊dft_length/2⌋ + 1, num_mel_bins].

    Their corners lie on the mel scale, mel(f) = 2595 · log₁₀(1 + f/700), which is divided from the lower to the upper
    edge into num_mel_bins + 2 equal steps, the last of which no triangle reaches; then on the bin below.
    """
    dtype = _output_dtype(output_datatype)
    count, length = _scalar(num_mel_bins, "num_mel_bins", 0), _scalar(dft_length, "dft_length", 1)
    shape = (length // 2 + 1, count)
    bounded((shape[0] + 2, count + 2), np.float64)
    edges = _scalar(lower_edge_hertz, "lower_edge_hertz"), _scalar(upper_edge_hertz, "upper_edge_hertz")
    corners = _corners(count, length, _scalar(sample_rate, "sample_rate", 1), *edges)
    if not corners[-1] < shape[0]:
        raise InvalidInput(f"the mel filters reach bin {corners[-1]:.0f}; expected at most {shape[0] - 1}")
    left, centre, right = (xp.asarray(corners[i : i + count]) for i in range(3))
    bins = xp.arange(shape[0], dtype=np.float64)[:, None]
    rise = (bins - left) / xp.maximum(centre - left, 1)
    fall = (right - bins) / xp.maximum(right - centre, 1)
    Y = xp.where(bins == centre, 1.0, xp.maximum(xp.where(bins < centre, rise, fall), 0))
    return cast(xp, Y, dtype)


def _corners(count, length, sample_rate, lower, upper):
    """The numbers of the bins where the triangles begin, peak and end, in that order."""
    if not 0 <= lower <= upper < math.inf:
        raise InvalidInput(f"the edges are {lower} and {upper} hertz; expected at least 0, in ascending order")
    low, high = (2595 * math.log1p(hertz / 700) / math.log(10) for hertz in (lower, upper))
    mel = np.arange(count + 2) * ((high - low) / (count + 2)) + low
    return np.floor((length + 1) * (700 * np.expm1(mel / 2595 * math.log(10))) / sample_rate)
