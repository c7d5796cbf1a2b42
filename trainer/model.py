"""Models: layers called on symbolic tensors, collected, named, and written down as one ONNX graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..runtime.builder import OPSET
from ..runtime.errors import InvalidInput
from . import architecture
from .connections import calls_between, free_name, input_layer_of, tensors_of
from .layers import InputLayer, Layer, LayerBuilder, Parameter, Tensor
from .layers.base import Call, Shape, run_emit
from .naming import snake_case
from .seeding import checked_seed, get_seed
from .summary import summary_text

if TYPE_CHECKING:
    from ..runtime.executor import Executor
    from .callbacks import Callback, History
    from .loop import Training
    from .optimizers import Optimizer

__all__ = ["Model"]

IR_VERSION = 10


class Model:
    """A network from `inputs` to `outputs`, tensors that `Input` and calls of layers returned.

    Layers called several times, or shared with other models, share their weights. Calling a model on tensors calls its
    layers on them.

    Args:
        name: of the graph; default: `functional`.
        seed: of the initial weights; default: the global seed.

    Raises:
        InvalidInput: if an output does not depend on the inputs alone, or two layers have the same name.
    """

    default_name = "functional"

    def __init__(
        self,
        inputs: Tensor | Sequence[Tensor],
        outputs: Tensor | Sequence[Tensor],
        name: str | None = None,
        seed: int | None = None,
    ) -> None:
        self._start(name, seed)
        self._connect(tensors_of(inputs, "inputs"), tensors_of(outputs, "outputs"))

    def _start(self, name: str | None, seed: int | None) -> None:
        self.name = name or self.default_name
        self.seed = get_seed() if seed is None else checked_seed(seed)
        self.built = False
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.training: Training | None = None
        self.training_facts: dict[str, Any] = {}
        self.history: History | None = None
        self.stop_training = False
        self._names: dict[Layer, str] = {}
        self.input_layers: list[InputLayer] = []
        self._calls: list[Call] = []
        self._forget_graph()

    def _connect(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Makes the part of the network between these tensors the model's."""
        self._calls = calls_between(inputs, outputs)
        known = dict(zip(self.inputs, self.input_layers, strict=True))
        self.input_layers = [known.get(t) or input_layer_of(t) for t in inputs]
        self.inputs, self.outputs, self.built = inputs, outputs, True
        self._name_layers(self.all_layers)
        self._forget_graph()

    def _name_layers(self, layers: Sequence[Layer]) -> None:
        """Gives each layer a name that is unique here; explicit names are kept and must not meet."""
        taken = {name: layer for layer, name in self._names.items()}
        new = [layer for layer in layers if layer not in self._names]
        for layer in sorted(new, key=lambda layer: layer.auto_named):
            name = layer.name
            if layer.auto_named and not (layer.is_named and name not in taken):
                name = free_name(snake_case(type(layer).__name__), taken)
            if name in taken:
                raise InvalidInput(
                    f"model {self.name!r}: two layers are called {name!r} ({type(taken[name]).__name__} and "
                    f"{type(layer).__name__}); give them different names"
                )
            taken[name] = layer
            self._names[layer] = name
            layer.give_name(name, self.seed)

    def _forget_graph(self) -> None:
        self._graph: ir.Graph | None = None
        self._predictors: dict[str, Executor] = {}
        if self.training is not None:
            self.training.forget_graphs()

    # --- What is in it ---

    @property
    def all_layers(self) -> list[Layer]:
        """All layers, inputs included, in the order in which they were first called."""
        inputs = zip((t.call.order for t in self.inputs), self.input_layers, strict=True)
        ordered: list[tuple[int, Layer]] = [*inputs, *((c.order, c.layer) for c in self._calls)]
        return list(dict.fromkeys(layer for _, layer in sorted(ordered, key=lambda pair: pair[0])))

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they were first called."""
        return self.all_layers

    @property
    def calls(self) -> list[Call]:
        """The calls of layers, each after those whose outputs it takes."""
        return list(self._calls)

    def name_of(self, layer: Layer) -> str:
        """The layer's name in this model: its own, unless another layer here had it first."""
        return self._names[layer]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by name or by its place in `layers`.

        Raises:
            InvalidInput: if there is none.
        """
        if (name is None) == (index is None):
            raise InvalidInput("get_layer needs a name or an index, and not both")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise InvalidInput(f"model {self.name!r} has {len(self.layers)} layers, none with index {index}")
            return self.layers[index]
        for layer, own in self._names.items():
            if own == name:
                return layer
        raise InvalidInput(f"model {self.name!r} has no layer {name!r}; its layers are {list(self._names.values())}")

    @property
    def input(self) -> Tensor | list[Tensor]:
        """The symbolic input, a list if there are several."""
        return self.inputs[0] if len(self.inputs) == 1 else list(self.inputs)

    @property
    def output(self) -> Tensor | list[Tensor]:
        """The symbolic output, a list if there are several."""
        return self.outputs[0] if len(self.outputs) == 1 else list(self.outputs)

    @property
    def input_shape(self) -> Shape | list[Shape]:
        """The input's shape with the batch, a list if there are several."""
        return self.inputs[0].shape if len(self.inputs) == 1 else [t.shape for t in self.inputs]

    @property
    def output_shape(self) -> Shape | list[Shape]:
        """The output's shape with the batch, a list if there are several."""
        return self.outputs[0].shape if len(self.outputs) == 1 else [t.shape for t in self.outputs]

    @property
    def input_names(self) -> list[str]:
        """The names of the graph's inputs."""
        return [self._names[layer] for layer in self.input_layers]

    @property
    def output_names(self) -> list[str]:
        """The names of the graph's outputs: those of the layers that make them."""
        return [str(v.name) for v in self.graph().outputs]

    @property
    def input_specs(self) -> list[tuple[str, Shape, np.dtype]]:
        """Name, shape with the batch, and dtype of each input."""
        return [(n, t.shape, np.dtype(t.dtype)) for n, t in zip(self.input_names, self.inputs, strict=True)]

    @property
    def output_specs(self) -> list[tuple[str, Shape]]:
        """Name and shape with the batch of each output."""
        return [(n, t.shape) for n, t in zip(self.output_names, self.outputs, strict=True)]

    # --- Weights ---

    @property
    def parameters(self) -> list[Parameter]:
        """All weights, each under the name of its value in the graph."""
        named = [(f"{self._names[layer]}/{w.local_name}", w) for layer in self.layers for w in layer.weights]
        return [w if w.name == name else w.renamed(name) for name, w in named]

    weights = parameters

    @property
    def trainable_weights(self) -> list[Parameter]:
        return [w for w in self.parameters if w.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        return [w for w in self.parameters if not w.trainable]

    @property
    def trainable(self) -> bool:
        """Whether any layer is to be trained; setting it sets all of them."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = bool(value)

    def count_params(self) -> int:
        """How many numbers all weights hold."""
        return sum(w.size for w in self.parameters)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights in Keras's order and layouts."""
        return [w.to_keras() for w in self.parameters]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights, in the order and layouts of `get_weights`.

        Raises:
            InvalidInput: if their number or shapes differ; no weight is changed then.
        """
        own = self.parameters
        if len(weights) != len(own):
            raise InvalidInput(f"model {self.name!r} was given {len(weights)} weight arrays, it has {len(own)}")
        arrays = [np.asarray(array) for array in weights]
        for parameter, array in zip(own, arrays, strict=True):
            parameter.check_keras(array)
        for parameter, array in zip(own, arrays, strict=True):
            parameter.from_keras(array)

    # --- The graph ---

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Nothing to do: a model made from tensors knows its shapes."""

    def graph(self) -> ir.Graph:
        """The inference graph: inputs named as the `Input`s, outputs as the last layers, nodes as layer and operator.

        Made once; do not change it. Its weights are always the current ones.

        Raises:
            InvalidInput: for a `Sequential` whose input shape is not known yet.
        """
        if self._graph is None:
            self._graph = self._emit()
        return self._graph

    def _emit(self) -> ir.Graph:
        if not self.built:
            raise InvalidInput(
                f"model {self.name!r} is not built: its input shape is not known. Begin it with layers.Input(shape), "
                "or call build((None, …)) or fit first"
            )
        graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name=self.name)
        names = {w: f"{self._names[layer]}/{w.local_name}" for layer in self.layers for w in layer.weights}
        g = LayerBuilder(graph, names)
        values = {t: g.input(n, t.shape, t.dtype) for n, t in zip(self.input_names, self.inputs, strict=True)}
        for call in self._calls:
            with g.scope(self._names[call.layer]):
                values[call.output] = run_emit(call.layer, g, [values[t] for t in call.inputs])
        for parameter in names:  # a layer may have weights that it does not use
            g.parameter(parameter)
        for tensor in self.outputs:
            self._add_output(g, tensor, values[tensor])
        return graph

    def _add_output(self, g: LayerBuilder, tensor: Tensor, value: ir.Value) -> None:
        layer = tensor.call.layer
        name = self._names.get(layer) or self.input_names[self.inputs.index(tensor)]
        if value.producer() is None or value in g.graph.outputs:
            with g.scope(name):
                value = g.Identity(value)
        value.name = g.unique(name)
        g.graph.outputs.append(value)

    def to_ir(self) -> ir.Model:
        """The inference graph as a model of its own, with copies of the current weights (IR version 10, opset 21)."""
        graph = self.graph().clone()
        for value in (*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)):
            if isinstance(value.type, ir.TensorType):
                value.type = ir.TensorType(value.type.dtype)  # clones share types, which can be changed
        for parameter in self.parameters:
            if parameter.name in graph.initializers:
                tensor = ir.tensor(parameter.value.copy(), name=parameter.name)
                graph.initializers[parameter.name].const_value = tensor
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="striate")

    def predictor(self, device: str) -> Executor:
        """The executor that `predict` uses on a device; parameters are its inputs, so training does not outdate it."""
        if device not in self._predictors:
            from .loop import make_predictor

            self._predictors[device] = make_predictor(self, device)
        return self._predictors[device]

    def __call__(self, inputs: Tensor | Sequence[Tensor]) -> Any:
        """The outputs for other symbolic inputs, weights shared; a list of tensors for several outputs."""
        self.graph()
        given = tensors_of(inputs, "inputs of a call")
        if len(given) != len(self.inputs):
            raise InvalidInput(
                f"model {self.name!r} was called on {len(given)} tensors, it has {len(self.inputs)} inputs"
            )
        values = dict(zip(self.inputs, given, strict=True))
        for call in self._calls:
            found = [values[t] for t in call.inputs]
            values[call.output] = call.layer(found if call.layer.takes_many else found[0])
        outputs = [values[t] for t in self.outputs]
        return outputs[0] if len(outputs) == 1 else outputs

    # --- Training; the work is done in loop.py ---

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: Any = None,
        metrics: Any = (),
        *,
        device: str = "cpu",
        seed: int | None = None,
    ) -> None:
        """Decides how the model is trained: optimizer, loss and metrics by name or as objects, on which device."""
        from .loop import compile_model

        compile_model(
            self, optimizer, loss, metrics, device=device, seed=self.seed if seed is None else checked_seed(seed)
        )

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callback | Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        *,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
    ) -> History:
        """Trains for `epochs` passes over x and y; returns loss and metrics of each epoch.

        Args:
            x: an array [samples, …]; for several inputs a list of them, or a dict by input name; or a `data.Dataset`,
                and no y; or what gives batches (x, y): `data.Batches`, an iterable that begins anew in each epoch, or a
                generator.
            y: labels, likewise.
            verbose: 0: silent; else one line per epoch.
            validation_split: share of the samples, taken from the end, that is not trained on but measured on.
            validation_data: (x, y), a `data.Dataset` or batches to measure on after each epoch.
            initial_epoch: where to continue counting.
            steps_per_epoch: batches of an epoch; default: one pass. Batches go on from epoch to epoch then.
            validation_steps: batches to measure on; default: all.

        Raises:
            InvalidInput: if x or y do not fit the model, naming the input.
            NonFiniteLoss: if the loss becomes NaN or infinite.
        """
        from . import loop

        return loop.fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int = 32,
        verbose: int | str = "auto",
        *,
        steps: int | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on x and y, or on batches of both; on so many `steps` if a number is given.

        `verbose` is there for Keras's callers: nothing is printed.

        Returns:
            As in Keras the loss alone without metrics, a list [loss, *metrics] with them, or by name if `return_dict`.
        """
        from . import loop

        found = loop.evaluate(self, x, y, batch_size=batch_size, steps=steps)
        values = list(found.values())
        return found if return_dict else values if len(values) > 1 else values[0]

    def predict(self, x: Any, batch_size: int = 32, verbose: int | str = "auto", *, device: str | None = None) -> Any:
        """The outputs for x as a NumPy array, a list of them for several outputs. `verbose` changes nothing."""
        from . import loop

        return loop.predict(self, x, batch_size=batch_size, device=device)

    @property
    def optimizer(self) -> Optimizer:
        return self._compiled().optimizer

    @property
    def step(self) -> int:
        """Training steps done so far."""
        return self._compiled().step

    def _compiled(self) -> Training:
        if self.training is None:
            raise InvalidInput(f"model {self.name!r} is not compiled; call compile(optimizer=…, loss=…) first")
        return self.training

    # --- Writing it down ---

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Callable[[str], Any] | None = None,
        *,
        show_trainable: bool = False,
    ) -> None:
        """Prints the layers, their output shapes and numbers of weights as a table.

        Args:
            line_length: width of the table; default: the terminal's.
            print_fn: takes the table as one text instead of its being printed.
        """
        text = summary_text(self, line_length, show_trainable=show_trainable, plain=print_fn is not None)
        (print if print_fn is None else print_fn)(text)

    def export(self, path: str | os.PathLike[str], **options: Any) -> Any:
        """Writes the model as an ONNX file; options as in `striate.exporter.export`."""
        from ..exporter import export

        return export(self, path, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes architecture, weights and, if compiled, the state of training to one `.striate` file."""
        from . import checkpoint

        checkpoint.save(path, self, *checkpoint.training_state(self))

    @staticmethod
    def load(path: str | os.PathLike[str], custom_objects: architecture.Classes = None) -> Model:
        """The model that `save` wrote, ready to go on training if it was compiled.

        Args:
            custom_objects: class name → class, for layers that are not Striate's.

        Raises:
            ModelNotFound: if there is no such file.
            InvalidModel: if it is not a whole and consistent `.striate` file.
        """
        from . import checkpoint

        return checkpoint.load_model(path, custom_objects)

    def get_config(self) -> dict[str, Any]:
        """The architecture as JSON-ready values; see `architecture.config_of`."""
        return architecture.config_of(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: architecture.Classes = None) -> Model:
        """A model with this architecture and fresh weights.

        Raises:
            InvalidInput: if the configuration is not one of `get_config`, or its layers do not fit each other.
        """
        return architecture.model_of(config, custom_objects)

    @property
    def serialize_as(self) -> str:
        """The class that a saved model is restored as."""
        return "Model"
