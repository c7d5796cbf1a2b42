"""What `fit` and `evaluate` read from: arrays cut into batches, or batches that something else makes.

Batches come as pairs (x, y), each as `fit` takes it: from an iterator (a generator), which runs once; from an iterable,
which begins anew; or from an object with `epoch(number)`, such as `data.Batches`, which knows the epoch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..runtime.errors import InvalidInput
from ..runtime.random import derive, permutation

if TYPE_CHECKING:
    from .losses import Loss
    from .model import Model

__all__ = ["ArrayFeed", "Feed", "StreamFeed", "is_stream"]

Arrays = list[np.ndarray]
Pairs = Generator[tuple[Arrays, Arrays], None, None]


class Feed(Protocol):
    """Batches by epoch; `steps` and `samples` of an epoch are None where that is not known beforehand."""

    @property
    def steps(self) -> int | None: ...

    @property
    def samples(self) -> int | None: ...

    def epoch(self, number: int) -> Pairs:
        """The batches of an epoch, held against the model's inputs and outputs."""
        ...

    def close(self) -> None:
        """Ends what makes batches."""
        ...


def is_stream(x: Any) -> bool:
    """Whether x gives batches, rather than being arrays."""
    if isinstance(x, (np.ndarray, Sequence, Mapping, str)) or hasattr(x, "__array__"):
        return False
    return callable(getattr(x, "epoch", None)) or (isinstance(x, Iterable) and not hasattr(x, "select"))


class ArrayFeed:
    """Batches of arrays, shuffled anew in each epoch where there is a seed."""

    def __init__(self, xs: Arrays, ys: Arrays, batch_size: int, seed: int | None, steps: int | None = None) -> None:
        self.xs, self.ys, self.batch_size, self.seed = xs, ys, batch_size, seed
        self.samples = count = len(xs[0])
        whole = -(-count // batch_size)
        if steps is not None and steps > whole:
            raise InvalidInput(f"{steps} steps are asked for; {count} samples make {whole} batches of {batch_size}")
        self.steps = whole if steps is None else steps

    def epoch(self, number: int) -> Pairs:
        count = len(self.xs[0])
        order = np.arange(count)
        if self.seed is not None:
            order = permutation(derive(self.seed, "shuffle"), number, count)
        for start in range(0, self.steps * self.batch_size, self.batch_size):
            picked = order[start : start + self.batch_size]
            yield [x[picked] for x in self.xs], [y[picked] for y in self.ys]

    def close(self) -> None:
        pass


class StreamFeed:
    """Batches that something else makes.

    Args:
        steps: batches of an epoch. Without it an epoch is one pass. With it passes go on from epoch to epoch, and begin
            anew where one ends.
        epochs: how many epochs will be asked for.

    Raises:
        InvalidInput: for an iterator that would have to run several times, or gives something else than pairs.
    """

    def __init__(self, model: Model, losses: Sequence[Loss], source: Any, steps: int | None, epochs: int = 1) -> None:
        self.model, self.losses, self.source = model, losses, source
        self._once = isinstance(source, Iterator)
        if self._once and steps is None and epochs > 1:
            raise InvalidInput(
                f"x is a {type(source).__name__}, which runs once, for {epochs} epochs; give steps_per_epoch, or an "
                "iterable that begins anew, such as data.Batches"
            )
        self._fixed = steps
        length = len(source) if hasattr(source, "__len__") else None
        self.steps = steps if steps is not None else length
        self.samples = getattr(source, "samples", None) if steps is None else None
        self._passes = 0
        self._running: Iterator[Any] | None = None
        if not model.built:
            self._build()

    def _build(self) -> None:
        """An unbuilt model learns its shapes from the first batch."""
        running = self._begin(0)
        first = next(running, None)
        if first is None:
            raise InvalidInput("x gives no batches; expected at least one")
        self._checked(first)
        if self._once:
            self.source = self._running = chain([first], running)
        else:
            _close(running)

    def epoch(self, number: int) -> Pairs:
        if self._fixed is not None:
            for _ in range(self._fixed):
                yield self._checked(self._next(number))
            return
        running = self._running or self._begin(number)
        self._running = None
        found = False
        with closing(_Closing(running)):
            for batch in running:
                found = True
                yield self._checked(batch)
        if not found:
            raise InvalidInput(f"x gives no batches in epoch {number}; expected at least one")

    def _next(self, number: int) -> Any:
        """The next batch of the passes that go on from epoch to epoch."""
        for _ in range(2):
            if self._running is None:
                if self._once and self._passes:
                    raise InvalidInput(f"x ended in epoch {number} before its {self._fixed} steps were done")
                self._running = self._begin(self._passes)
                self._passes += 1
            batch = next(self._running, None)
            if batch is not None:
                return batch
            self._running = None
        raise InvalidInput(f"x gives no batches in epoch {number}; expected at least one")

    def _begin(self, number: int) -> Iterator[Any]:
        if callable(getattr(self.source, "epoch", None)):
            return iter(self.source.epoch(number))
        return iter(self.source)

    def _checked(self, batch: Any) -> tuple[Arrays, Arrays]:
        from . import samples

        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise InvalidInput(f"x gives a {type(batch).__name__}; expected batches as pairs (x, y)")
        return samples.pair(self.model, self.losses, *batch)

    def close(self) -> None:
        if self._running is not None and not self._once:
            _close(self._running)
            self._running = None


class _Closing:
    """Closes an iterator that can be closed."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def close(self) -> None:
        _close(self._iterator)


def _close(iterator: Iterator[Any]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
