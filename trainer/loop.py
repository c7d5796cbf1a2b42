"""`fit`, `evaluate`, `predict`: batches in, one executor run per batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.engines.arrays import engine, to_host
from ..runtime.errors import InvalidInput, NonFiniteLoss
from ..runtime.executor import Executor
from . import feeds, samples
from . import losses as losses_
from . import metrics as metrics_
from . import optimizers as optimizers_
from .callbacks import Callback, CallbackList, History, Progress
from .losses import Loss
from .optimizers import Optimizer
from .regularizers import Regularizer
from .samples import Arrays
from .seeding import get_seed
from .step import LOSS, RATE, STEP, MetricsPerOutput, StepGraph, evaluation_graph, prediction_graph, training_graph

if TYPE_CHECKING:
    from .model import Model


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
    metrics: MetricsPerOutput
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
            regularizers=self._regularizers(),
            seed=self.seed,
        )
        shapes = {p.name: p.value.shape for p in parameters}
        place = engine(self.device)
        for name, (parameter, initial) in made.slots.items():
            saved = self.pending.get(name)
            fits = saved is not None and saved.shape == shapes[parameter]
            self.slots[name] = place.asarray(saved if fits else np.full(shapes[parameter], initial, np.float32))
        return made

    def forget_graphs(self) -> None:
        """Called when the model's structure changed: graphs are built anew, with the optimizer state that fits."""
        for name in ("graph", "executor", "evaluation"):
            vars(self).pop(name, None)
        self.pending |= {name: to_host(array) for name, array in self.slots.items()}
        self.slots = {}

    @cached_property
    def executor(self) -> Executor:
        """Runs the training step, parameters and slots updated in place."""
        return Executor(self.graph.model, self.device, donate=self.graph.donate, guard=LOSS)

    @cached_property
    def evaluation(self) -> tuple[StepGraph, Executor]:
        """Inference with loss and metrics."""
        names = [p.name for p in self.model.parameters]
        graph = evaluation_graph(self.model.to_ir(), names, self.losses, self.metrics, self._regularizers())
        return graph, Executor(graph.model, self.device)

    def _regularizers(self) -> dict[str, Regularizer]:
        parameters = self.model.trainable_weights
        return {p.name: p.regularizer for p in parameters if p.regularizer is not None}


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
        loss: a name or `Loss`; for a model with several outputs a list of them, or a dict by output name.
        metrics: names or `Metric`s, for every output; or for each output its own: a list of lists, or a dict by name.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of shuffling and Dropout; the global seed by default.

    Raises:
        InvalidInput: for unknown names or a device that is not there.
    """
    engine(device)
    if loss is None:
        raise InvalidInput("compile needs a loss, such as loss='sparse_categorical_crossentropy'")
    if isinstance(loss, Mapping) and "class_name" not in loss:
        loss = _by_output(model, "loss", loss)
    chosen = [losses_.get(item) for item in (loss if isinstance(loss, (list, tuple)) else [loss])]
    watched = [[metrics_.get(m) for m in own] for own in _metrics_per_output(model, metrics, len(chosen))]
    model.training = Training(
        model, optimizers_.get(optimizer), chosen, watched, device, get_seed() if seed is None else seed
    )


def _by_output(model: Model, what: str, given: Mapping[str, Any]) -> list[Any]:
    """The entries of a dict by output name, in the order of the outputs."""
    names = model.output_names
    if not set(given) <= set(names):
        raise InvalidInput(f"{what} is given for {sorted(given)}; the model's outputs are {names}")
    return [given.get(name) for name in names]


def _metrics_per_output(model: Model, metrics: Any, count: int) -> list[list[Any]]:
    if isinstance(metrics, Mapping) and "class_name" not in metrics:
        metrics = [_listed(own) for own in _by_output(model, "metrics", metrics)]
    listed = _listed(metrics)
    if not any(isinstance(own, (list, tuple)) for own in listed):
        return [listed] * count
    if len(listed) != count:
        raise InvalidInput(f"metrics lists {len(listed)} entries for {count} outputs; expected one list for each")
    return [_listed(own) for own in listed]


def _listed(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]


def fit(
    model: Model,
    x: Any,
    y: Any,
    *,
    batch_size: int = 32,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Callback | Sequence[Callback] | None = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
) -> History:
    """Trains for `epochs` passes over x and y; see `Model.fit`."""
    training = _compiled(model)
    samples.whole_number("batch_size", batch_size, least=1)
    samples.whole_number("epochs", epochs, least=0)
    seed = training.seed if shuffle else None
    if feeds.is_stream(x):
        if y is not None or validation_split:
            raise InvalidInput("x gives batches: its labels come with it (no y), and it cannot be split")
        feed: feeds.Feed = _stream(training, x, steps_per_epoch, "steps_per_epoch", epochs - initial_epoch)
    else:
        xs, ys = samples.pair(model, training.losses, x, y)
        if validation_data is None and validation_split:
            xs, ys, validation_data = samples.split(xs, ys, validation_split)
        feed = feeds.ArrayFeed(xs, ys, batch_size, seed, steps_per_epoch)
    history = History()
    shown = [Progress()] if verbose in ("auto", 1, 2) else []
    params = {"epochs": epochs, "steps": feed.steps, "samples": feed.samples, "verbose": verbose}
    every = CallbackList([history, *_callbacks(callbacks), *shown], model, params)
    model.stop_training = False
    logs: dict[str, float] = {}
    every.call("on_train_begin", logs)
    try:
        for epoch in range(initial_epoch, epochs):
            every.call("on_epoch_begin", epoch, {})
            with closing(feed.epoch(epoch)) as batches:
                logs = _train_epoch(training, batches, every)
            if validation_data is not None:
                given = samples.unpaired(validation_data)
                found = evaluate(model, *given, batch_size=batch_size, steps=validation_steps)
                logs |= {f"val_{name}": value for name, value in found.items()}
            every.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
    finally:
        feed.close()
        every.call("on_train_end", logs)
    model.history = history
    return history


def _callbacks(given: Callback | Sequence[Callback] | None) -> list[Callback]:
    callbacks = [] if given is None else [given] if isinstance(given, Callback) else list(given)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise InvalidInput(
                f"callbacks: {callback!r} is no Callback; expected for example callbacks.EarlyStopping()"
            )
    return callbacks


def _stream(training: Training, x: Any, steps: int | None, name: str, epochs: int = 1) -> feeds.StreamFeed:
    if steps is not None:
        samples.whole_number(name, steps, least=1)
    return feeds.StreamFeed(training.model, training.losses, x, steps, epochs)


def _train_epoch(training: Training, batches: feeds.Pairs, every: CallbackList) -> dict[str, float]:
    """One pass over the batches; returns the epoch's loss and metrics."""
    graph, place = training.graph, training.executor.engine
    state = _state(training.model, place) | training.slots
    totals = _Totals(graph)
    try:
        for number, (xs, ys) in enumerate(batches):
            every.call("on_train_batch_begin", number, {})
            batch, size = _named(graph, training.model, xs, ys), len(xs[0])
            totals.add(_run_step(training, state | batch, number, totals.fetch), size)
            every.call("on_train_batch_end", number, totals.means() | {"size": size})
    finally:
        _write_back(training.model, state, place.on_host)
    return totals.means() | {"learning_rate": float(training.optimizer.rate(max(training.step - 1, 0)))}


def _run_step(training: Training, values: dict[str, Any], batch: int, fetch: Sequence[str]) -> list[Any]:
    """One training step; the parameters and slots among the feeds are updated in place."""
    rate = np.asarray(training.optimizer.rate(training.step), np.float32)
    values |= {RATE: rate, STEP: np.asarray(training.step, np.int64)}
    try:
        results = training.executor.run(values, fetch)
    except NonFiniteLoss:
        raise NonFiniteLoss(_explain(training, values, batch)) from None
    training.step += 1
    return results


def evaluate(model: Model, x: Any, y: Any, *, batch_size: int = 32, steps: int | None = None) -> dict[str, float]:
    """Loss and metrics over x and y, by name; over so many steps of them where a number is given."""
    training = _compiled(model)
    samples.whole_number("batch_size", batch_size, least=1)
    if feeds.is_stream(x) and y is None:
        feed: feeds.Feed = _stream(training, x, steps, "steps")
    else:
        feed = feeds.ArrayFeed(*samples.pair(model, training.losses, x, y), batch_size, None, steps)
    graph, executor = training.evaluation
    state = _state(model, executor.engine)
    totals = _Totals(graph)
    with closing(feed), closing(feed.epoch(0)) as batches:
        for xs, ys in batches:
            totals.add(executor.run(state | _named(graph, model, xs, ys), totals.fetch), len(xs[0]))
    return totals.means()


def predict(model: Model, x: Any, *, batch_size: int = 32, device: str | None = None) -> Any:
    """The model's outputs for x, as NumPy arrays: one array, or a list of them for several outputs."""
    xs = samples.inputs(model, x)
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


def _batches(count: int, batch_size: int) -> Iterator[slice]:
    samples.whole_number("batch_size", batch_size, least=1)
    return (slice(start, start + batch_size) for start in range(0, max(count, 1), batch_size))


def _compiled(model: Model) -> Training:
    if model.training is None:
        raise InvalidInput("the model is not compiled; call model.compile(optimizer=…, loss=…) first")
    return model.training


def _explain(training: Training, given: Mapping[str, Any], batch: int) -> str:
    """Runs the forward part once more with every value exposed, and names the first that is not finite."""
    where = f"the loss is not finite at step {training.step} (batch {batch})"
    for name, array in given.items():
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
    for name, array in zip(names, Executor(model, training.device, optimize=False).run(given, names), strict=True):
        if not np.isfinite(to_host(array)).all():
            made = producers[name]
            by = f"from node {made.name!r} ({made.op_type})" if made is not None else ""
            return f"{where}: the first value that is not finite is {name!r}, {by}; {_ADVICE}"
    return f"{where}; {_ADVICE}"


_ADVICE = "the parameters are as they were before that step; try a smaller learning rate, clipnorm, or look at the data"


def _kind(training: Training, name: str) -> str:
    return "parameter" if name in {p.name for p in training.model.parameters} else "input"
