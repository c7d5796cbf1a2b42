"""`fit`, `evaluate`, `predict`: batches in, one executor run per batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.engines.arrays import engine, to_host
from ..runtime.errors import InvalidInput, NonFiniteLoss
from ..runtime.executor import Executor
from ..runtime.random import derive, permutation
from . import losses as losses_
from . import metrics as metrics_
from . import optimizers as optimizers_
from .callbacks import Callback, CallbackList, History, Progress
from .losses import Loss
from .metrics import Metric
from .optimizers import Optimizer
from .seeding import get_seed
from .step import LOSS, RATE, STEP, StepGraph, evaluation_graph, prediction_graph, training_graph

if TYPE_CHECKING:
    from .model import Model

Arrays = list[np.ndarray]


@dataclass
class Training:
    """What `compile` decided, the executors made from it, and the state that training adds to the model.

    Attributes:
        step: training steps done so far.
        slots: optimizer state by name, on the device.
        pending: optimizer state read from a file, to be used when the training graph is built.
    """

    model: Model
    optimizer: Optimizer
    losses: list[Loss]
    metrics: list[str | Metric]
    device: str = "cpu"
    seed: int = 0
    step: int = 0
    slots: dict[str, Any] = field(default_factory=dict)
    pending: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def graph(self) -> StepGraph:
        """The training step."""
        parameters = self.model.parameters
        made = training_graph(
            self.model.to_ir(),
            [p.name for p in parameters],
            self.losses,
            self.metrics,
            self.optimizer,
            trainable=[p.name for p in parameters if p.trainable],
            frozen=[p.name for p in parameters if p.frozen],
            regularizers={p.name: p.regularizer for p in parameters if p.trainable and p.regularizer is not None},
            seed=self.seed,
        )
        shapes = {p.name: p.value.shape for p in parameters}
        place = engine(self.device)
        for name, (parameter, initial) in made.slots.items():
            saved = self.pending.get(name)
            self.slots[name] = place.asarray(
                np.full(shapes[parameter], initial, np.float32) if saved is None else saved
            )
        return made

    @cached_property
    def executor(self) -> Executor:
        """Runs the training step, parameters and slots updated in place."""
        return Executor(self.graph.model, self.device, donate=self.graph.donate, guard=LOSS)

    @cached_property
    def evaluation(self) -> tuple[StepGraph, Executor]:
        """Inference with loss and metrics."""
        names = [p.name for p in self.model.parameters]
        graph = evaluation_graph(self.model.to_ir(), names, self.losses, self.metrics)
        return graph, Executor(graph.model, self.device)


def compile_model(
    model: Model,
    optimizer: str | Optimizer = "rmsprop",
    loss: Any = None,
    metrics: Any = None,
    *,
    device: str = "cpu",
    seed: int | None = None,
) -> None:
    """Decides how `model` is trained.

    Args:
        loss: a name or `Loss`; a list of them, one per output, for a model with several outputs.
        metrics: names or `Metric`s, applied to every output.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of shuffling and Dropout; the global seed by default.

    Raises:
        InvalidInput: for unknown names or a device that is not there.
    """
    engine(device)
    if loss is None:
        raise InvalidInput("compile needs a loss, such as loss='sparse_categorical_crossentropy'")
    wanted = list(metrics) if isinstance(metrics, (list, tuple)) else [] if metrics is None else [metrics]
    chosen = [losses_.get(item) for item in (loss if isinstance(loss, (list, tuple)) else [loss])]
    watched = [metrics_.get(metric) for metric in wanted]
    model.training = Training(
        model, optimizers_.get(optimizer), chosen, watched, device, get_seed() if seed is None else seed
    )


def fit(
    model: Model,
    x: Any,
    y: Any,
    *,
    batch_size: int = 32,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Sequence[Callback] | None = None,
    validation_split: float = 0.0,
    validation_data: tuple[Any, Any] | None = None,
    shuffle: bool = True,
    initial_epoch: int = 0,
) -> History:
    """Trains for `epochs` passes over x and y; see `Model.fit`."""
    training = _compiled(model)
    xs, ys = _inputs(model, x), _labels(model, training, y)
    _same_length(xs, ys)
    if batch_size < 1 or epochs < 0:
        raise InvalidInput(f"batch_size is {batch_size} and epochs is {epochs}; expected at least 1 and 0")
    if validation_data is None and validation_split:
        xs, ys, validation_data = _split(xs, ys, validation_split)
    samples = len(xs[0])
    steps = -(-samples // batch_size)
    history = History()
    shown = [Progress()] if verbose in ("auto", 1, 2) else []
    params = {"epochs": epochs, "steps": steps, "samples": samples, "verbose": verbose}
    every = CallbackList([history, *(callbacks or []), *shown], model, params)
    model.stop_training = False
    logs: dict[str, float] = {}
    every.call("on_train_begin", logs)
    try:
        for epoch in range(initial_epoch, epochs):
            every.call("on_epoch_begin", epoch, {})
            order = permutation(derive(training.seed, "shuffle"), epoch, samples) if shuffle else np.arange(samples)
            logs = _train_epoch(training, xs, ys, order, batch_size, every)
            if validation_data is not None:
                found = evaluate(model, *validation_data, batch_size=batch_size)
                logs |= {f"val_{name}": value for name, value in found.items()}
            every.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        every.call("on_train_end", logs)
    model.history = history
    return history


def _train_epoch(
    training: Training, xs: Arrays, ys: Arrays, order: np.ndarray, batch_size: int, every: CallbackList
) -> dict[str, float]:
    """One pass over the samples in the given order; returns the epoch's loss and metrics."""
    graph, executor = training.graph, training.executor
    place = executor.engine
    state = _state(training.model, place) | training.slots
    totals = _Totals(graph)
    for number, start in enumerate(range(0, len(order), batch_size)):
        every.call("on_train_batch_begin", number, {})
        picked = order[start : start + batch_size]
        batch = _named(graph, training.model, [x[picked] for x in xs], [y[picked] for y in ys])
        rate = np.float32(training.optimizer.rate(training.step))
        feeds = state | batch | {RATE: np.asarray(rate), STEP: np.asarray(training.step, np.int64)}
        try:
            results = executor.run(feeds, totals.fetch)
        except NonFiniteLoss:
            raise NonFiniteLoss(_explain(training, feeds, number)) from None
        training.step += 1
        totals.add(results, len(picked))
        every.call("on_train_batch_end", number, totals.means() | {"size": len(picked)})
    _write_back(training.model, state, place.on_host)
    return totals.means() | {"learning_rate": float(training.optimizer.rate(max(training.step - 1, 0)))}


def evaluate(model: Model, x: Any, y: Any, *, batch_size: int = 32) -> dict[str, float]:
    """Loss and metrics over x and y, by name."""
    training = _compiled(model)
    xs, ys = _inputs(model, x), _labels(model, training, y)
    _same_length(xs, ys)
    graph, executor = training.evaluation
    state = _state(model, executor.engine)
    totals = _Totals(graph)
    for batch in _batches(len(xs[0]), batch_size):
        feeds = state | _named(graph, model, [x[batch] for x in xs], [y[batch] for y in ys])
        totals.add(executor.run(feeds, totals.fetch), len(xs[0][batch]))
    return totals.means()


def predict(model: Model, x: Any, *, batch_size: int = 32, device: str | None = None) -> Any:
    """The model's outputs for x, as NumPy arrays: one array, or a list of them for several outputs."""
    xs = _inputs(model, x)
    device = device or (model.training.device if model.training is not None else "cpu")
    executor = model.predictor(device)
    state = _state(model, executor.engine)
    names = model.input_names
    parts = [
        [to_host(a) for a in executor.run(state | dict(zip(names, (x[batch] for x in xs), strict=True)))]
        for batch in _batches(len(xs[0]), batch_size)
    ]
    outputs = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    return outputs[0] if len(outputs) == 1 else outputs


def make_predictor(model: Model, device: str) -> Executor:
    """An executor of the inference graph with the parameters as inputs."""
    graph = prediction_graph(model.to_ir(), [p.name for p in model.parameters])
    return Executor(graph.model, device)


class _Totals:
    """Adds up the loss and the metrics of batches."""

    def __init__(self, graph: StepGraph) -> None:
        self.metrics = list(graph.metrics)
        self.fetch = [LOSS, *(name for pair in graph.metrics.values() for name in pair)]
        self._sums = np.zeros(len(self.fetch) + 1)

    def add(self, results: Sequence[Any], size: int) -> None:
        values = [float(to_host(r)) for r in results]
        self._sums += [values[0] * size, *values[1:], size]

    def means(self) -> dict[str, float]:
        loss, *parts, size = self._sums.tolist()
        ratios = {
            n: over / under if under else 0.0
            for n, over, under in zip(self.metrics, parts[::2], parts[1::2], strict=True)
        }
        return {"loss": loss / size if size else 0.0} | ratios


def _state(model: Model, place: Any) -> dict[str, Any]:
    """The parameters on the device; on the CPU these are the model's own arrays."""
    return {p.name: place.asarray(p.value) for p in model.parameters}


def _write_back(model: Model, state: Mapping[str, Any], shared: bool) -> None:
    if not shared:
        for parameter in model.parameters:
            parameter.value = to_host(state[parameter.name])


def _named(graph: StepGraph, model: Model, xs: Arrays, ys: Arrays) -> dict[str, np.ndarray]:
    return dict(zip(model.input_names, xs, strict=True)) | {
        str(v.name): y for v, y in zip(graph.labels, ys, strict=True)
    }


def _batches(samples: int, batch_size: int) -> Iterator[slice]:
    if batch_size < 1:
        raise InvalidInput(f"batch_size is {batch_size}; expected at least 1")
    return (slice(start, start + batch_size) for start in range(0, samples, batch_size))


def _compiled(model: Model) -> Training:
    if model.training is None:
        raise InvalidInput("the model is not compiled; call model.compile(optimizer=…, loss=…) first")
    return model.training


def _as_list(arrays: Any) -> list[Any]:
    return list(arrays) if isinstance(arrays, (list, tuple)) and arrays and hasattr(arrays[0], "shape") else [arrays]


def _inputs(model: Model, x: Any) -> Arrays:
    """x as one array per input of the model, in the input's dtype.

    Raises:
        InvalidInput: for a wrong number of arrays, rank or size; the message names the input.
    """
    if x is None:
        raise InvalidInput("x is missing")
    given = [np.asarray(a) for a in _as_list(x)]
    if not model.built:
        model.build(given[0].shape)
    expected = model.input_specs
    if len(given) != len(expected):
        raise InvalidInput(
            f"the model has {len(expected)} inputs ({', '.join(n for n, _, _ in expected)}), found {len(given)} arrays"
        )
    return [
        _fitting(a, f"input {name!r}", shape, dtype) for a, (name, shape, dtype) in zip(given, expected, strict=True)
    ]


def _fitting(array: np.ndarray, what: str, shape: Sequence[int | None], dtype: np.dtype) -> np.ndarray:
    fits = array.ndim == len(shape) and all(w is None or w == h for w, h in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = "(" + ", ".join("None" if d is None else str(d) for d in shape) + ")"
        raise InvalidInput(f"{what} has shape {array.shape}; expected {wanted}")
    if array.dtype.kind not in "fiub":
        raise InvalidInput(f"{what} has dtype {array.dtype}; expected numbers")
    return np.ascontiguousarray(array, dtype)


def _labels(model: Model, training: Training, y: Any) -> Arrays:
    """y as one array per output: class numbers for sparse losses, else the output's shape.

    Raises:
        InvalidInput: for labels of a wrong shape, or out of range; the message says which.
    """
    if y is None:
        raise InvalidInput("y is missing")
    given = [np.asarray(a) for a in _as_list(y)]
    specs = model.output_specs
    if not len(given) == len(specs) == len(training.losses):
        raise InvalidInput(
            f"{len(specs)} outputs, {len(training.losses)} losses and {len(given)} label arrays; "
            "expected as many of each"
        )
    return [
        _class_numbers(a, name, shape, loss)
        if loss.sparse
        else _fitting(_column(a, shape), f"labels of {name!r}", shape, np.dtype(np.float32))
        for a, (name, shape), loss in zip(given, specs, training.losses, strict=True)
    ]


def _column(array: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
    """[N] as [N, 1] where the output has one column."""
    return array[:, None] if array.ndim == 1 and len(shape) == 2 and shape[1] == 1 else array


def _class_numbers(array: np.ndarray, name: str, shape: Sequence[int | None], loss: Loss) -> np.ndarray:
    if array.ndim == len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "iu" and not (array.dtype.kind == "f" and (array == np.floor(array)).all()):
        raise InvalidInput(f"labels of {name!r} have dtype {array.dtype}; expected class numbers for {loss.name}")
    array = _fitting(array, f"labels of {name!r}", shape[:-1], np.dtype(np.int64))
    classes, ignored = shape[-1], getattr(loss, "ignore_class", None)
    bad = (array < 0) | (array >= classes) if classes is not None else array < 0
    bad &= array != ignored if ignored is not None else True
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        found = array[tuple(where)]
        raise InvalidInput(
            f"label {found} at position {where[0] if len(where) == 1 else where} is out of range; "
            f"expected 0 to {(classes or 0) - 1}"
        )
    return array


def _same_length(xs: Arrays, ys: Arrays) -> None:
    lengths = [len(a) for a in (*xs, *ys)]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise InvalidInput(
            f"x has {[len(a) for a in xs]} samples and y {[len(a) for a in ys]}; expected the same number, at least 1"
        )


def _split(xs: Arrays, ys: Arrays, share: float) -> tuple[Arrays, Arrays, tuple[Arrays, Arrays]]:
    """The last `share` of the samples is kept for validation, as in Keras."""
    if not 0.0 < share < 1.0:
        raise InvalidInput(f"validation_split is {share}; expected a number between 0 and 1")
    at = int(len(xs[0]) * (1.0 - share))
    return [x[:at] for x in xs], [y[:at] for y in ys], ([x[at:] for x in xs], [y[at:] for y in ys])


def _explain(training: Training, feeds: Mapping[str, Any], batch: int) -> str:
    """Runs the forward part once more with every value exposed, and names the first that is not finite."""
    where = f"the loss is not finite at step {training.step} (batch {batch})"
    for name, array in feeds.items():
        host = to_host(array)
        if host.dtype.kind == "f" and not np.isfinite(host).all():
            return f"{where}: {_kind(training, name)} {name!r} already holds NaN or infinity; {_ADVICE}"
    model = training.graph.model.clone()
    graph = model.graph
    upto = next(v for v in graph.outputs if v.name == LOSS)
    values = []
    for node in graph:
        values += [v for v in node.outputs if v.dtype is not None and v.dtype.is_floating_point()]
        if upto in node.outputs:
            break
    graph.outputs[:] = values
    producers = {v.name: v.producer() for v in values}
    names = [str(v.name) for v in values]
    for name, array in zip(names, Executor(model, training.device, optimize=False).run(feeds, names), strict=True):
        if not np.isfinite(to_host(array)).all():
            made = producers[name]
            by = f"from node {made.name!r} ({made.op_type})" if made is not None else ""
            return f"{where}: the first value that is not finite is {name!r}, {by}; {_ADVICE}"
    return f"{where}; {_ADVICE}"


_ADVICE = "the parameters are as they were before that step; try a smaller learning rate, clipnorm, or look at the data"


def _kind(training: Training, name: str) -> str:
    return "parameter" if name in {p.name for p in training.model.parameters} else "input"
