"""A trained model, or any graph, as an `.onnx` file that every runtime can read."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..runtime import opset as opsets
from ..runtime.errors import InvalidGraph, InvalidInput
from ..runtime.files import atomic_write
from ..runtime.inference import dims
from ..runtime.passes import fold
from .inference import inference_only, simplify

__all__ = ["Exportable", "export", "exported"]

MAX_SINGLE_FILE = (1 << 31) - (1 << 24)
"""Models of more bytes than this keep their weights in a second file: protobuf messages end at 2 GiB."""

BATCH = "batch"

MAX_SAID = 2000
"""Longer facts, such as a vocabulary, are in the metadata alone and not in the description too."""


@runtime_checkable
class Exportable(Protocol):
    """What `export` needs of a model. It may also have `name` and `training_facts`, a mapping."""

    def to_ir(self) -> ir.Model:
        """The inference graph with the current weights."""
        ...


def export(
    model: Exportable | ir.Model,
    path: str | os.PathLike[str],
    *,
    opset: int | None = None,
    fold_batchnorm: bool = True,
    dynamic_batch: bool | int = True,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `model` as an inference graph; the file appears whole or not at all.

    Args:
        model: anything with `to_ir()`, such as a trained `Model`, or an `onnx_ir.Model`; left untouched.
        path: weights of more than 2 GiB go into `<path>.data` beside it.
        opset: the opset to write; the model's own by default.
        fold_batchnorm: let batch normalisation disappear into the convolution before it.
        dynamic_batch: keep the batch dimension open; False fixes it to 1, a number to that.
        metadata: entries of `metadata_props`, beside the facts of training that the model knows.

    Returns:
        `path`.

    Raises:
        InvalidGraph: if the graph breaks the specification; the message is that of onnx's checker.
        UnsupportedOperator: if a node cannot be written for this opset; the message names it.
        InvalidInput: if the folder does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InvalidInput(f"cannot write {target}: there is no folder {str(target.parent)!r}")
    if target.is_dir():
        raise InvalidInput(f"cannot write {target}: it is a folder; expected the name of a file")
    made = exported(model, opset=opset, fold_batchnorm=fold_batchnorm, dynamic_batch=dynamic_batch, metadata=metadata)
    if _weight_bytes(made) > MAX_SINGLE_FILE:
        _write_with_external_data(made, target)
    else:
        proto = ir.to_proto(made)
        _check(proto)
        atomic_write(target, proto.SerializeToString(deterministic=True))
    return target


def exported(
    model: Exportable | ir.Model,
    *,
    opset: int | None = None,
    fold_batchnorm: bool = True,
    dynamic_batch: bool | int = True,
    metadata: Mapping[str, Any] | None = None,
) -> ir.Model:
    """The graph that `export` writes; its arguments and errors."""
    made = model.clone() if isinstance(model, ir.Model) else model.to_ir().clone()
    inference_only(made)
    _set_batch(made.graph, dynamic_batch)
    simplify(made, fold_batchnorm=fold_batchnorm)
    made = opsets.convert(made, opset or made.graph.opset_imports[""])
    fold.infer_types(made)
    _name(made)
    _describe(made, model, metadata or {})
    return made


def _set_batch(graph: ir.Graph, dynamic_batch: bool | int) -> None:
    """Names the open first dimensions of the inputs, or binds them."""
    if not isinstance(dynamic_batch, bool) and dynamic_batch < 1:
        raise InvalidInput(f"dynamic_batch is {dynamic_batch}; expected True, False or a batch size of at least 1")
    for value in graph.inputs:
        if value.shape is None or len(value.shape) == 0 or isinstance(value.shape[0], int):
            continue
        first, *rest = dims(value.shape)
        if dynamic_batch is not True:
            value.shape = ir.Shape([int(dynamic_batch) or 1, *rest])
        elif first is None:
            value.shape = ir.Shape([BATCH, *rest])


def _name(model: ir.Model) -> None:
    """Every node and value gets a name, and no two the same."""
    common.RemoveUnusedOpsetsPass()(model)
    for node in model.graph:
        node.name = node.name or node.op_type
        for i, value in enumerate(node.outputs):
            value.name = value.name or (f"{node.name}:{i}" if i else node.name)
    common.NameFixPass()(model)


def _describe(made: ir.Model, source: Exportable | ir.Model, metadata: Mapping[str, Any]) -> None:
    made.producer_name, made.producer_version = "striate", version("striate")
    imports = [onnx.helper.make_opsetid(domain, number) for domain, number in made.graph.opset_imports.items()]
    made.ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    facts = getattr(source, "training_facts", None) or {}
    for key, value in {**facts, **metadata}.items():
        made.metadata_props[str(key)] = value if isinstance(value, str) else json.dumps(value, default=str)
    name = getattr(source, "name", None)
    if isinstance(name, str) and name:
        made.graph.name = name
    said = {k: made.metadata_props[k] for k in map(str, facts)}
    summary = ", ".join(f"{k} {text}" for k, text in said.items() if len(text) <= MAX_SAID)
    text = f"{made.graph.name or 'Model'}, written by Striate {made.producer_version}."
    made.doc_string = made.doc_string or (f"{text} Training: {summary}." if summary else text)


def _check(model: onnx.ModelProto | str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise InvalidGraph(f"the exported graph does not pass onnx's checker: {reason}") from None


def _weight_bytes(model: ir.Model) -> int:
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def _write_with_external_data(model: ir.Model, target: Path) -> None:
    """The pair is written and checked in a folder beside the target, then the weights move first."""
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name[:64]}.", suffix=".part", dir=target.parent))
    data = f"{target.name}.data"
    try:
        ir.save(model, beside / target.name, external_data=data)
        _check(str(beside / target.name))
        for name in (data, target.name):
            os.replace(beside / name, target.with_name(name))
    finally:
        shutil.rmtree(beside, ignore_errors=True)
