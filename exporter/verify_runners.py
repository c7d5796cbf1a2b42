"""Those who compute: our kernels node by node, onnxruntime and ONNX's reference evaluator stretch by stretch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import onnx

from ..runtime.errors import MissingDependency, RunFailed
from .verify import first_line
from .verify_widen import widen

__all__ = ["RUNNERS", "Runner", "run_ours"]

Values = dict[str, Any]


class Runner(Protocol):
    """Runs a model and gives the values of its outputs by name."""

    def __call__(self, model: onnx.ModelProto, feeds: Mapping[str, Any]) -> Values: ...


def run_ours(model: onnx.ModelProto, feeds: Mapping[str, Any], *, in_float64: bool = False) -> Values:
    """Our kernels on the graph as it is, no pass applied.

    Args:
        in_float64: on the widened model; feeds must be wide already.
    """
    import onnx_ir as ir

    from ..runtime.engines.arrays import to_host
    from ..runtime.executor import Executor

    wanted = [v.name for v in model.graph.output]
    executor = Executor(ir.from_proto(widen(model) if in_float64 else model), optimize=False)
    return dict(zip(wanted, map(to_host, executor.run(feeds, wanted)), strict=True))


# data type → what onnxruntime can hand over to NumPy in its stead, and the type whose values those are
_CAST: dict[int, tuple[int, Any]] = {
    onnx.TensorProto.BFLOAT16: (onnx.TensorProto.FLOAT, ml_dtypes.bfloat16),
    onnx.TensorProto.INT4: (onnx.TensorProto.INT8, ml_dtypes.int4),
    onnx.TensorProto.UINT4: (onnx.TensorProto.UINT8, ml_dtypes.uint4),
    onnx.TensorProto.INT2: (onnx.TensorProto.INT8, ml_dtypes.int2),
    onnx.TensorProto.UINT2: (onnx.TensorProto.UINT8, ml_dtypes.uint2),
    onnx.TensorProto.FLOAT4E2M1: (onnx.TensorProto.FLOAT, ml_dtypes.float4_e2m1fn),
}
_BITS: dict[int, Any] = {
    onnx.TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    onnx.TensorProto.FLOAT8E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    onnx.TensorProto.FLOAT8E5M2: ml_dtypes.float8_e5m2,
    onnx.TensorProto.FLOAT8E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
}
"""Data types that onnxruntime hands over as bytes."""


def _onnxruntime(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> Values:
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependency("this check needs onnxruntime; install it with pip install 'striate[check]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    names = [v.name for v in model.graph.output]
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.output if v.type.HasField("tensor_type")}
    model, fetch, given = _bridged(model, types, feeds)
    for node in model.graph.node:
        node.name = ""  # it refuses two nodes of one name
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(fetch, given)
    except Exception as error:
        raise RunFailed(
            f"onnxruntime does not run the model node by node: {first_line(error)}; "
            "check against 'reference' or 'float64' instead"
        ) from error
    return {name: _arrived(value, types.get(name, 0)) for name, value in zip(names, results, strict=True)}


def _bridged(
    model: onnx.ModelProto, types: Mapping[str, int], feeds: Mapping[str, Any]
) -> tuple[onnx.ModelProto, list[str], dict[str, Any]]:
    """The model with casts where onnxruntime and NumPy do not share a type."""
    names = [v.name for v in model.graph.output]
    narrow = [name for name in names if types.get(name) in _CAST]
    given = dict(feeds)
    odd = [v for v in model.graph.input if v.type.tensor_type.elem_type in _CAST]
    if not narrow and not odd:
        return model, names, given
    made = onnx.ModelProto()
    made.CopyFrom(model)
    taken = {n for node in made.graph.node for n in (*node.input, *node.output)}
    for name in narrow:
        fetched = _free_name(f"{name}/fetched", taken)
        made.graph.node.append(onnx.helper.make_node("Cast", [name], [fetched], to=_CAST[types[name]][0]))
        made.graph.output.append(onnx.helper.make_tensor_value_info(fetched, _CAST[types[name]][0], None))
        names[names.index(name)] = fetched
    for info in [v for v in made.graph.input if v.type.tensor_type.elem_type in _CAST]:
        stand_in, kind = _free_name(f"{info.name}/fed", taken), info.type.tensor_type.elem_type
        made.graph.node.insert(0, onnx.helper.make_node("Cast", [stand_in], [info.name], to=kind))
        given[stand_in] = given.pop(info.name).astype(onnx.helper.tensor_dtype_to_np_dtype(_CAST[kind][0]))
        info.name, info.type.tensor_type.elem_type = stand_in, _CAST[kind][0]
    return made, names, given


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _arrived(value: Any, kind: int) -> Any:
    if kind in _CAST:
        return value.astype(_CAST[kind][1])
    if kind in _BITS and isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.view(_BITS[kind])
    return _as_value(value)


def _as_value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_as_value(item) for item in value]
    return value if value is None or isinstance(value, dict) else np.asarray(value)


def _reference(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> Values:
    from onnx.reference import ReferenceEvaluator

    names: Sequence[str] = [v.name for v in model.graph.output]
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(names, dict(feeds))
    except Exception as error:
        raise RunFailed(
            f"onnx's reference evaluator does not run the model: {first_line(error)}; check against 'float64' instead"
        ) from error
    return dict(zip(names, map(_as_value, results), strict=True))


RUNNERS: dict[str, Runner] = {"onnxruntime": _onnxruntime, "reference": _reference}
"""Runtimes that can be asked for the values inside a model."""
