"""First values of weights, under Keras's names and with its formulas; float32 NumPy arrays.

Glorot: Glorot & Bengio 2010. He: He et al. 2015. LeCun: LeCun et al. 1998; LeCun 1989. Orthogonal: Saxe et al. 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..runtime import random
from ..runtime.errors import InvalidInput
from .naming import resolve, snake_case
from .seeding import get_seed

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "Lecun1989Uniform",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
    "serialize",
    "with_fans",
]

Array = np.ndarray

_TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a unit normal cut off at two standard deviations."""


class Initializer:
    """Base of all initializers: `initializer(shape) -> array`."""

    def __call__(self, shape: Sequence[int], *, seed: int | None = None, name: str = "") -> Array:
        """A float32 array of `shape`, a function of the seed and the name alone.

        Args:
            shape: in Keras's order of dimensions: kernels are (*spatial, in, out).
            seed: default: the global seed. An initializer made with a seed of its own uses that one, whatever the name.
            name: of the weight; different names draw different values.
        """
        own = getattr(self, "seed", None)
        key = random.derive(own) if own is not None else random.derive(get_seed() if seed is None else seed, name)
        try:
            values = self.draw(tuple(int(d) for d in shape), key)
        except InvalidInput as error:
            raise InvalidInput(f"weight {name!r}: {error}" if name else str(error)) from None
        return np.asarray(values, np.float32, order="C")

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        """The values, drawn from the random stream `key`."""
        raise NotImplementedError

    def per_fan(self, fan_in: Any, fan_out: Any) -> tuple[Initializer, Any]:
        """How the values depend on how many inputs a unit has and how many units an input: what is drawn, times what.

        Both are numbers or arrays that broadcast to the weight.
        """
        return self, 1.0


@dataclass(frozen=True)
class Zeros(Initializer):
    """All 0."""

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return np.zeros(shape, np.float32)


@dataclass(frozen=True)
class Ones(Initializer):
    """All 1."""

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return np.ones(shape, np.float32)


@dataclass(frozen=True)
class Constant(Initializer):
    """All `value`, a number, or nested lists of them that are repeated where their dimensions are 1 or missing."""

    value: Any = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.value, (int, float)):
            object.__setattr__(self, "value", _numbers(self.value).tolist())

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        value = np.asarray(self.value, np.float32)
        try:
            return np.broadcast_to(value, shape).copy()
        except ValueError:
            raise InvalidInput(
                f"initializer Constant: its value has shape {value.shape}, which does not fit a weight of shape {shape}"
            ) from None


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        unit = random.uniform(np, key, 0, shape, np.float32)
        return unit * np.float32(self.maxval - self.minval) + np.float32(self.minval)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return random.normal(np, key, 0, shape, np.float32) * np.float32(self.stddev) + np.float32(self.mean)


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal, with values further than two standard deviations from the mean drawn again."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return _truncated_normal(shape, key) * np.float32(self.stddev) + np.float32(self.mean)


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Variance `scale / n`, where n is the `fan_in`, the `fan_out`, or their average (`fan_avg`).

    `distribution` is `truncated_normal`, `untruncated_normal` or `uniform`.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise InvalidInput(f"initializer VarianceScaling: scale is {self.scale}, expected a number above 0")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise InvalidInput(f"initializer VarianceScaling: mode {self.mode!r}, expected fan_in, fan_out or fan_avg")
        if self.distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise InvalidInput(
                f"initializer VarianceScaling: distribution {self.distribution!r}, "
                "expected truncated_normal, untruncated_normal or uniform"
            )

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return self._of(self.scale / max(1.0, self._fan(*fans(shape)))).draw(shape, key)

    def per_fan(self, fan_in: Any, fan_out: Any) -> tuple[Initializer, Any]:
        return self._of(1.0), np.sqrt(self.scale / np.maximum(1.0, self._fan(fan_in, fan_out)))

    def _fan(self, fan_in: Any, fan_out: Any) -> Any:
        return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]

    def _of(self, variance: float) -> Initializer:
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return RandomUniform(-limit, limit)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, math.sqrt(variance))
        return TruncatedNormal(0.0, math.sqrt(variance) / _TRUNCATED_STDDEV)


@dataclass(frozen=True)
class _Scaled(Initializer):
    """A variance scaling with everything but the seed fixed."""

    seed: int | None = None

    SCALE = 1.0
    MODE = "fan_avg"
    DISTRIBUTION = "uniform"

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return self._scaling().draw(shape, key)

    def per_fan(self, fan_in: Any, fan_out: Any) -> tuple[Initializer, Any]:
        return self._scaling().per_fan(fan_in, fan_out)

    def _scaling(self) -> VarianceScaling:
        return VarianceScaling(self.SCALE, self.MODE, self.DISTRIBUTION)


class GlorotUniform(_Scaled):
    """Uniform within ±sqrt(6 / (fan_in + fan_out))."""


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    DISTRIBUTION = "truncated_normal"


class HeUniform(_Scaled):
    """Uniform within ±sqrt(6 / fan_in)."""

    SCALE = 2.0
    MODE = "fan_in"


class HeNormal(HeUniform):
    """Truncated normal of variance 2 / fan_in."""

    DISTRIBUTION = "truncated_normal"


class LecunUniform(_Scaled):
    """Uniform within ±sqrt(3 / fan_in)."""

    MODE = "fan_in"


class LecunNormal(LecunUniform):
    """Truncated normal of variance 1 / fan_in."""

    DISTRIBUTION = "truncated_normal"


@dataclass(frozen=True)
class Lecun1989Uniform(Initializer):
    """Uniform within ±2.4 / fan_in (LeCun 1989, Generalization and network design strategies)."""

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        limit = 2.4 / max(1, fans(shape)[0])
        return RandomUniform(-limit, limit).draw(shape, key)

    def per_fan(self, fan_in: Any, fan_out: Any) -> tuple[Initializer, Any]:
        return RandomUniform(-1.0, 1.0), 2.4 / np.maximum(1.0, fan_in)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """`gain` times an orthogonal matrix, the Q of a random normal one; dimensions before the last count as one."""

    gain: float = 1.0
    seed: int | None = None

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        if len(shape) < 2:
            raise InvalidInput(f"initializer Orthogonal needs at least 2 dimensions, found shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = random.normal(np, key, 0, (max(rows, columns), min(rows, columns)), np.float64)
        q, r = np.linalg.qr(normal)
        q = q * np.sign(np.diag(r))
        return self.gain * (q.T if rows < columns else q).reshape(shape)


@dataclass(frozen=True)
class Identity(Initializer):
    """`gain` times the identity matrix; only for matrices."""

    gain: float = 1.0

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        if len(shape) != 2:
            raise InvalidInput(f"initializer Identity makes matrices only, found shape {shape}")
        return self.gain * np.eye(*shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _WithFans(Initializer):
    """What `unit` draws for a fan of 1, times a `factor` that broadcasts to the weight."""

    unit: Initializer
    factor: Any
    seed: int | None

    def draw(self, shape: tuple[int, ...], key: Any) -> Array:
        return self.unit.draw(shape, key) * np.asarray(self.factor, np.float32)


@dataclass(frozen=True)
class _Function(Initializer):
    """A user's `function(shape) -> array`."""

    function: Callable[..., Any]

    def __call__(self, shape: Sequence[int], *, seed: int | None = None, name: str = "") -> Array:
        values = np.asarray(self.function(tuple(shape)), np.float32, order="C")
        if values.shape != tuple(shape):
            raise InvalidInput(f"initializer {self.function!r} made shape {values.shape}, expected {tuple(shape)}")
        return values


_CLASSES = (
    Zeros, Ones, Constant, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling, GlorotUniform, GlorotNormal,
    HeUniform, HeNormal, LecunUniform, LecunNormal, Lecun1989Uniform, Orthogonal, Identity,
)  # fmt: skip
_TABLE: dict[str, type[Initializer]] = {snake_case(c.__name__): c for c in _CLASSES}
_TABLE |= {"uniform": RandomUniform, "normal": RandomNormal}


def get(identifier: Any) -> Initializer:
    """An initializer from its name, its class or configuration, a function `f(shape)`, or an initializer.

    Raises:
        InvalidInput: for anything else.
    """
    found = resolve(identifier, _TABLE, "initializer")
    if isinstance(found, type) and issubclass(found, Initializer):
        return found()
    if isinstance(found, Initializer):
        return found
    if callable(found):
        return _Function(found)
    raise InvalidInput(f"initializer {identifier!r} does not fit; expected one of: {', '.join(_TABLE)}, or a function")


def serialize(initializer: Initializer) -> dict[str, Any]:
    """The configuration that `get` turns back into an equal initializer.

    Raises:
        InvalidInput: for a function of the user's, which cannot be written down.
    """
    name = type(initializer).__name__
    if _TABLE.get(snake_case(name)) is not type(initializer):
        raise InvalidInput(f"initializer {initializer!r} cannot be saved; use one of: {', '.join(_TABLE)}")
    return {"class_name": name, "config": asdict(initializer)}  # type: ignore[call-overload]


def with_fans(initializer: Initializer, fan_in: Any, fan_out: Any) -> Initializer:
    """The initializer for a weight whose shape does not tell how many inputs a unit has, and how many units an input.

    Args:
        fan_in, fan_out: numbers, or arrays that broadcast to the weight.
    """
    unit, factor = initializer.per_fan(fan_in, fan_out)
    return initializer if unit is initializer else _WithFans(unit, factor, getattr(initializer, "seed", None))


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel (*spatial, in, out): how many inputs an output sees, and the reverse."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive


def _numbers(value: Any) -> Array:
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InvalidInput(f"initializer Constant: value is {value!r}, expected numbers") from None


def _truncated_normal(shape: tuple[int, ...], key: Any) -> Array:
    """Unit normals within ±2; those outside are replaced from the next streams of the same key."""
    values = random.normal(np, key, 0, (math.prod(shape),), np.float32)
    outside = np.flatnonzero(np.abs(values) > 2)
    stream = 1
    while outside.size:
        values[outside] = random.normal(np, key, stream, (outside.size,), np.float32)
        outside = outside[np.abs(values[outside]) > 2]
        stream += 1
    return values.reshape(shape)
