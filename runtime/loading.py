"""Between a session's arguments and its executor: read, apply the options, say errors in onnxruntime's words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from . import limits
from .capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, status
from .errors import (
    EmptyModel,
    InvalidInput,
    InvalidModel,
    LimitExceeded,
    ModelNotFound,
    NotAModel,
    StriateError,
    UndefinedValue,
    UnsupportedOperator,
)
from .errors import InvalidGraph as BrokenGraph
from .session_options import GraphOptimizationLevel, SessionOptions

if TYPE_CHECKING:
    import onnx_ir as ir

    from .executor import Executor

__all__ = ["executor", "load", "native", "set_seed"]

EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
LOOP_TRIPS = "striate.loop_trips"
ENGINE = "striate.engine"
_SEED_VALUES = 1 << 24  # as many whole numbers as a float attribute holds exactly
_seed: int | None = None


def set_seed(seed: int) -> None:
    """Seeds random operators without a `seed` of their own, in sessions made afterwards; every run draws the same."""
    global _seed
    if not isinstance(seed, (int, np.integer)):
        raise TypeError(f"a seed is an int, not {type(seed).__name__}")
    _seed = int(seed)


def load(source: str | bytes | os.PathLike[str], options: SessionOptions) -> ir.Model:
    """The model with the options' initializers, dimensions and the process's seed applied.

    Raises:
        TypeError: neither a path nor bytes.
        StriateError: see `reader.read`; under onnxruntime's names and words.
    """
    if not isinstance(source, (str, bytes, os.PathLike)):
        raise TypeError(f"Unable to load from type '{type(source)}'")
    from .deferred import import_onnx_ir

    import_onnx_ir()
    from .reader import read

    try:
        model = read(source, base_dir=options._entries.get(EXTERNAL_FOLDER))
    except StriateError as error:
        path = None if isinstance(source, bytes) else os.fspath(source)
        raise _in_their_words(error, path) from error
    _replace_initializers(model, options)
    _fix_dimensions(model, options)
    if _seed is not None:
        _seed_nodes(model, _seed)
    return model


def executor(model: ir.Model, device: str, options: SessionOptions) -> Executor:
    """An executor of the model; whatever fails while the graph is prepared is the model's fault."""
    from .executor import Executor
    from .passes import declared

    optimize = options.graph_optimization_level != GraphOptimizationLevel.ORT_DISABLE_ALL
    engine = native(options)
    try:
        own = model.clone()
        declared.run(own)
        made = Executor(own, device, owned=True, optimize=optimize, loop_trips=_loop_trips(options), **engine)
        _check_kernels(made.model)
        declared.check(model.graph, made.model.graph)
        if engine["threads"] and device == "cpu":
            made.make_ready()
    except StriateError as error:
        raise _in_their_words(error, model.meta.get("path")) from error
    except MemoryError as error:
        raise status(Fail, "the model does not fit into memory", LimitExceeded) from error
    except Exception as error:
        raise status(Fail, f"This is an invalid model. {' '.join(str(error).split())}", InvalidModel) from error
    return made


def native(options: SessionOptions) -> dict[str, Any]:
    """What the options say of the native engine; it is the CPU's own, the arrays engine does what it cannot."""
    from .engines.native.host import cores

    wanted = options._entries.get(ENGINE) or os.environ.get("STRIATE_ENGINE") or "native"
    if wanted not in ("arrays", "native"):
        raise InvalidInput(f"the option {ENGINE} is {wanted!r}; expected 'arrays' or 'native'")
    if options.numerics not in ("fast", "strict"):
        raise InvalidInput(f"the option numerics is {options.numerics!r}; expected 'fast' or 'strict'")
    threads = (options.intra_op_num_threads or cores()) if wanted == "native" else 0
    return {"threads": max(threads, 0), "strict": options.numerics == "strict", "tune": options.tune}


def _loop_trips(options: SessionOptions) -> int:
    given = options._entries.get(LOOP_TRIPS, str(limits.LOOP_TRIPS))
    if not (given.isascii() and given.isdecimal() and len(given) < 20):
        raise InvalidInput(f"the option {LOOP_TRIPS} is {given!r}; expected a number of trips")
    return int(given)


def _check_kernels(model: ir.Model) -> None:
    """Function bodies are inlined by now; what they are made of must run too."""
    from .ops import registry

    for node in model.graph.all_nodes():
        registry.lookup(node.domain, node.op_type, model.graph.opset_imports.get(node.domain, 1))


def _in_their_words(error: StriateError, path: str | None) -> StriateError:
    """Our error in onnxruntime's words; where those say less, our sentence is the note."""
    where = "" if path is None else f"Load model from {path} failed:"
    ours = type(error)
    if isinstance(error, ModelNotFound):
        return status(NoSuchFile, f"{where}Load model {path} failed. File doesn't exist", ours, str(error))
    if isinstance(error, NotAModel):
        text = f"{where}Protobuf parsing failed." if where else "Failed to load model because protobuf parsing failed."
        return status(InvalidProtobuf, text, ours, str(error))
    if isinstance(error, EmptyModel):
        return status(InvalidArgument, f"{where}No graph was found in the protobuf.", ours, str(error))
    if isinstance(error, UndefinedValue):
        return status(InvalidArgument, f"{where}{error}", ours)
    if isinstance(error, UnsupportedOperator):
        return status(InvalidGraph, f"{where}{error}", ours)
    if isinstance(error, BrokenGraph):
        return status(InvalidGraph, f"{where}This is an invalid model. {error}", ours)
    return status(Fail, f"{where}{error}", ours)


def _replace_initializers(model: ir.Model, options: SessionOptions) -> None:
    import onnx_ir as ir

    for name, value in options._initializers.items():
        if name in model.graph.initializers:
            tensor = ir.tensor(value.numpy(), name=name)
            target = model.graph.initializers[name]
            target.const_value, target.shape, target.dtype = tensor, ir.Shape(tensor.shape.numpy()), tensor.dtype


def _fix_dimensions(model: ir.Model, options: SessionOptions) -> None:
    import onnx_ir as ir

    for value in (*model.graph.inputs, *model.graph.outputs):
        shape = value.shape
        if shape is not None and (options._dimensions or options._denotations):
            denotations = [shape.get_denotation(i) for i in range(len(shape))]
            value.shape = ir.Shape(
                [_size(d, note, options) for d, note in zip(shape, denotations, strict=True)], denotations
            )


def _size(dim: int | ir.SymbolicDim, denotation: str | None, options: SessionOptions) -> int | str | None:
    if isinstance(dim, int):
        return dim
    if dim.value in options._dimensions:
        return options._dimensions[str(dim.value)]
    return options._denotations.get(denotation, dim.value) if denotation else dim.value


def _seed_nodes(model: ir.Model, seed: int) -> None:
    """Every node that draws gets a seed of its own."""
    import onnx_ir as ir

    from . import random
    from .ops import registry

    for i, node in enumerate(model.graph.all_nodes()):
        operator = registry.find(node.domain, node.op_type, model.graph.opset_imports.get(node.domain, 1))
        if operator is None or operator.deterministic or "seed" not in operator.attributes or "seed" in node.attributes:
            continue
        own = random.derive(seed, "session", i) % _SEED_VALUES
        integer = node.op_type == "Dropout"  # the one such operator whose seed the specification makes an integer
        node.attributes["seed"] = ir.AttrInt64("seed", own) if integer else ir.AttrFloat32("seed", float(own))
