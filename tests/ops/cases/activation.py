"""Activations on both sides of their kinks, at large arguments, with all attributes; the softmax family by axis."""

from __future__ import annotations

from math import erf

import numpy as np

from ..table import case, distinct, ints, real

X = distinct(3, 8)
"""Every 0.05 off a multiple of 0.1, so that no kink is near."""
LARGE = np.array([-800.0, -90.0, -30.0, 0.0, 30.0, 90.0, 800.0])
HALF = ("float16", "bfloat16")


def sigmoid(x):
    return np.where(x > 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x):
    return np.logaddexp(x, 0)


def unit(x, linear, scale, inner=1.0):
    return np.where(x > 0, linear * x, scale * np.expm1(np.minimum(x, 0) / inner))


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
FUNCTIONS = {
    "Relu": (14, lambda x, **_: np.maximum(x, 0), {}),
    "LeakyRelu": (16, lambda x, alpha=0.01, **_: np.where(x < 0, np.float32(alpha) * x, x), {"alpha": 0.1}),
    "ThresholdedRelu": (22, lambda x, alpha=1.0: np.where(x > np.float32(alpha), x, 0), {"alpha": 0.5}),
    "Elu": (22, lambda x, alpha=1.0, **_: unit(x, 1, np.float32(alpha)), {"alpha": 0.7}),
    "Selu": (
        22,
        lambda x, alpha=SELU_ALPHA, gamma=SELU_GAMMA: unit(
            x, np.float32(gamma), np.float64(np.float32(gamma)) * np.float32(alpha)
        ),
        {"alpha": 0.5, "gamma": 2.0},
    ),
    "Sigmoid": (13, lambda x, **_: sigmoid(x), {}),
    "HardSigmoid": (
        22,
        lambda x, alpha=0.2, beta=0.5, **_: np.clip(np.float32(alpha) * x + np.float32(beta), 0, 1),
        {"alpha": 0.6, "beta": 0.3},
    ),
    "HardSwish": (22, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), {}),
    "Softplus": (22, softplus, {}),
    "Softsign": (22, lambda x: x / (1 + np.abs(x)), {}),
    "Mish": (22, lambda x: x * np.tanh(softplus(x)), {}),
    "Gelu": (20, gelu, {"approximate": "tanh"}),
    "Shrink": (9, None, {"bias": 0.3, "lambd": 0.6}),
}
LEGACY = ("Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid")
STEEP = {"HardSwish": 3.7 * X}


def activation_cases():
    for name, (half_since, function, attrs) in FUNCTIONS.items():
        x = STEEP.get(name, X)
        yield case(name, x, grad=(0,), expect=function)
        if attrs:
            yield case(name, x, grad=(0,), expect=function, name="attributes", **attrs)
        yield case(name, np.float64(0.7), expect=function, name="scalar")
        half = ("float16",) if name == "Shrink" else HALF
        yield case(name, x, dtypes=half, opset=half_since, expect=function, name="half")
        if name != "Shrink":
            yield case(name, LARGE, expect=function, name="large")
        if name in LEGACY:
            yield case(name, x, opset=6, expect=function, name="six", **attrs)
            yield case(name, x, opset=1, expect=function, consumed_inputs=[0], **attrs)


def leaky(x, slope, **_):
    return np.where(x < 0, slope * x, x)


def per_channel(x, slope, **_):
    return leaky(x, slope.reshape(-1, *(1,) * (x.ndim - 2)))


def coerced(function):
    """What versions before 13 do: the dimensions from the axis on are one."""

    def compute(x, axis=1):
        rows = int(np.prod(x.shape[: axis % x.ndim]))
        return function(x.reshape(rows, -1)).reshape(x.shape)

    return compute


def softmax(x):
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def hardmax(x):
    return (np.arange(x.shape[-1]) == x.argmax(-1)[..., None]).astype(x.dtype)


def along(function):
    return lambda x, axis=-1: np.moveaxis(function(np.moveaxis(x, axis, -1)), -1, axis)


SOFTMAXES = {"Softmax": softmax, "LogSoftmax": log_softmax, "Hardmax": hardmax}
SCORES = np.array([[1000.0, 0.0, -1000.0], [1000.0, 1000.0, 999.0], [-1e4, -1e4, -1e4]])


def softmax_cases():
    for name, function in SOFTMAXES.items():
        grad = () if name == "Hardmax" else (0,)
        for axis in (-1, 0, 1, 2):
            yield case(name, real(2, 3, 4), grad=grad, axis=axis, expect=along(function), name=f"axis{axis}")
        yield case(name, real(2, 3), grad=grad, expect=along(function))
        yield case(name, real(3, 2), dtypes=HALF, expect=along(function), name="half")
        yield case(name, SCORES, expect=along(function), name="large")
        yield case(name, real(2, 0), expect=lambda x: x, name="empty")
        yield case(name, real(2, 3, 4), opset=1, expect=coerced(function))
        for axis in (0, 1, 2, -1):
            yield case(name, real(2, 3, 4), opset=11, axis=axis, expect=coerced(function), name=f"axis{axis}")


CASES = [
    *activation_cases(),
    case("Relu", ints(6, low=-3, high=3, dtype=np.int32), opset=14, name="integers"),
    case("LeakyRelu", X, alpha=1.5, grad=(0,), expect=FUNCTIONS["LeakyRelu"][1], name="steeper-below"),
    case("LeakyRelu", LARGE, alpha=0.0, expect=lambda x, alpha: np.maximum(x, 0), name="flat-below"),
    case("LeakyRelu", X, alpha=-0.5, grad=(0,), expect=FUNCTIONS["LeakyRelu"][1], name="rising-below"),
    case("Celu", X, grad=(0,), expect=lambda x, alpha=1.0: unit(x, 1, alpha, alpha)),
    case(
        "Celu",
        X,
        alpha=0.5,
        grad=(0,),
        expect=lambda x, alpha: unit(x, 1, alpha, alpha),
        name="alpha",
    ),
    case("Celu", X, opset=28, dtypes=HALF, expect=lambda x: unit(x, 1, 1), name="half"),
    case("Selu", X, opset=6, name="six"),
    case(
        "Selu",
        X,
        opset=1,
        expect=lambda x: unit(x, np.float32(1.0507), np.float64(np.float32(1.0507)) * np.float32(1.6732)),
    ),
    case("PRelu", X, real(8, key="slope"), grad=(0, 1), expect=leaky),
    case("PRelu", X, real(3, 1, key="slope"), grad=(0, 1), expect=leaky, name="column"),
    case("PRelu", X, np.float64(0.25), grad=(0, 1), expect=leaky, name="scalar"),
    case("PRelu", X, real(8, key="slope"), opset=16, dtypes=HALF, expect=leaky, name="half"),
    case("PRelu", ints(2, 3, low=-5, high=5), ints(3, key="slope"), opset=9, expect=leaky, name="integers"),
    case("PRelu", X, real(8, key="slope"), opset=7, expect=leaky),
    case("PRelu", real(2, 3, 4), real(3, key="slope"), opset=6, expect=per_channel, name="channels"),
    case("PRelu", real(2, 3, 4), real(1, key="slope"), opset=6, expect=leaky, name="one"),
    case("PRelu", real(2, 3, 4), real(2, 3, 4, key="slope"), opset=6, expect=leaky, name="full"),
    case("PRelu", real(2, 3, 4), real(3, key="slope"), opset=1, consumed_inputs=[0, 0], expect=per_channel),
    case("Shrink", ints(7, low=-3, high=4, dtype=np.int32), lambd=1.0, bias=1.0, name="integers"),
    case("Shrink", ints(7, high=4, dtype=np.uint8), lambd=1.0, bias=1.0, name="bytes"),
    case("Swish", X, opset=24, expect=lambda x: x * sigmoid(x)),
    case("Swish", X, opset=24, alpha=1.5, expect=lambda x, alpha: x * sigmoid(alpha * x), name="alpha"),
    case("Swish", X, opset=24, dtypes=HALF, expect=lambda x: x * sigmoid(x), name="half"),
    case("SwiGLU", X, real(3, 8), opset=28, expect=lambda a, b: a * sigmoid(a) * b),
    case(
        "SwiGLU",
        X,
        real(3, 8),
        opset=28,
        alpha=0.5,
        expect=lambda a, b, alpha: a * sigmoid(alpha * a) * b,
        name="alpha",
    ),
    *softmax_cases(),
    case("Hardmax", np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), expect=along(hardmax), name="ties"),
]
