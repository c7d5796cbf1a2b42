"""Learning rates as functions of the training step, under Keras's names."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ..runtime.errors import InvalidInput


@dataclass(frozen=True)
class Schedule:
    """Base: a schedule maps the step, counted from 0, to a learning rate."""

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        raise NotImplementedError

    def serialize(self) -> dict[str, Any]:
        """What `deserialize` makes the same schedule of."""
        return {"class_name": type(self).__name__, "config": asdict(self)}

    @staticmethod
    def deserialize(saved: dict[str, Any]) -> Schedule:
        """The schedule that `serialize` described.

        Raises:
            InvalidInput: for an unknown class name.
        """
        known = {cls.__name__: cls for cls in Schedule.__subclasses__()}
        if saved.get("class_name") not in known:
            raise InvalidInput(
                f"schedule {saved.get('class_name')!r} is unknown; expected one of: {', '.join(sorted(known))}"
            )
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in saved["config"].items()}
        return known[saved["class_name"]](**config)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """initial · rate^(step / decay_steps), by whole multiples of decay_steps if `staircase`."""

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __call__(self, step: int) -> float:
        periods = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(periods) if self.staircase else periods)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Half a cosine from the initial rate to alpha · initial, after a linear rise to `warmup_target` if given."""

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __call__(self, step: int) -> float:
        peak = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        if self.warmup_target is not None and step < self.warmup_steps:
            return self.initial_learning_rate + (peak - self.initial_learning_rate) * step / self.warmup_steps
        done = min(step - (self.warmup_steps if self.warmup_target is not None else 0), self.decay_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * done / self.decay_steps))
        return peak * ((1.0 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """values[i] up to and including step boundaries[i], then the next; one value more than boundaries."""

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.boundaries) + 1:
            raise InvalidInput(
                f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, found {len(self.values)}"
            )

    def __call__(self, step: int) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """(initial − end)·(1 − step / decay_steps)^power + end"""

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0

    def __call__(self, step: int) -> float:
        left = 1.0 - min(step, self.decay_steps) / self.decay_steps
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate
