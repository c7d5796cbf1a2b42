"""Runs rows of the case table: through the executor, straight through a kernel, and through the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from striate.runtime.builder import attributes
from striate.runtime.dtypes import NUMPY, is_float, onnx_dtype
from striate.runtime.engines.arrays import ArraysEngine, to_host
from striate.runtime.executor import Executor, Subgraph
from striate.runtime.ops import registry
from striate.runtime.subgraphs import close, graphs_of

from .cases import CASES
from .table import Case

Arrays = list[Any]
"""Arrays; for a sequence a list of them, for a map a dict, None for an absent input."""

TOLERANCES: dict[str, tuple[float, float]] = {
    "float64": (1e-9, 1e-11),
    "float32": (1e-5, 1e-6),
    "float16": (4e-3, 2e-3),
    "bfloat16": (2e-2, 1e-2),
    "float8_e4m3fn": (0.13, 0.02),
    "float8_e4m3fnuz": (0.13, 0.02),
    "float8_e5m2": (0.26, 0.02),
    "float8_e5m2fnuz": (0.26, 0.02),
    "float8_e8m0fnu": (1e-9, 0.0),
    "complex64": (1e-5, 1e-6),
    "complex128": (1e-9, 1e-11),
}
"""(relative, absolute) by dtype of the result; every other dtype must agree exactly."""

EXCEPTIONS: dict[tuple[str, str], tuple[float, float, str]] = {
    ("Resize", "float64"): (5e-5, 5e-6, "the reference holds the weights of cubic interpolation in float32"),
}
"""(operator, dtype of the result) → (relative, absolute, why the table above does not hold)."""


def rows() -> list[tuple[Case, str]]:
    """(case, dtype) for all cases; a case without floating-point inputs has the one row `as given`."""
    return [(case, dtype) for case in CASES for dtype in (case.dtypes if has_floats(case) else ("as given",))]


def row_id(row: tuple[Case, str]) -> str:
    return f"{row[0].id}-{row[1].replace(' ', '-')}"


def has_floats(case: Case) -> bool:
    return any(x.dtype == np.float64 for given in case.inputs for x in tensors(given))


def tensors(given: Any) -> list[np.ndarray]:
    """The tensors of one value: itself, or those of a sequence; maps hold none."""
    if isinstance(given, list):
        return [x for x in given if not isinstance(x, dict)]
    return [given] if isinstance(given, (np.ndarray, np.generic)) else []


def each(given: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """One input with every tensor in it changed; a map, which holds no tensors, as it is."""
    if isinstance(given, list):
        return [change(x) for x in given]
    return change(given) if isinstance(given, np.ndarray) else given


def arrays_of(case: Case, dtype: str) -> Arrays:
    """The inputs of a case with float64 cast to `dtype`; read-only, so that a kernel that writes to them fails."""

    def cast(x: np.ndarray) -> np.ndarray:
        wanted = named_dtype(dtype) if x.dtype == np.float64 and dtype != "as given" else x.dtype
        array = x.astype(object if wanted.kind in "UT" else wanted)
        array.flags.writeable = False
        return array

    return [each(x, cast) for x in case.inputs]


def named_dtype(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, name))


def operator_of(case: Case) -> registry.Operator:
    return registry.lookup(case.domain, case.op, case.opset)


def node_proto(case: Case) -> onnx.NodeProto:
    inputs = [f"x{i}" if x is not None else "" for i, x in enumerate(case.inputs)]
    node = helper.make_node(case.op, inputs, [f"y{i}" for i in range(case.outputs)], name="node", domain=case.domain)
    node.attribute.extend(_attribute(case, k, v) for k, v in case.attrs.items() if v is not None)
    return node


def model_proto(case: Case, arrays: Arrays) -> onnx.ModelProto:
    """The case as a model of one node; the outputs' types are left open."""
    inputs = [helper.make_value_info(f"x{i}", type_of(x)) for i, x in enumerate(arrays) if x is not None]
    outputs = [onnx.ValueInfoProto(name=f"y{i}") for i in range(case.outputs)]
    graph = helper.make_graph([node_proto(case)], "case", inputs, outputs)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid(case.domain, case.opset)])


def ir_model(case: Case, arrays: Arrays) -> ir.Model:
    """`model_proto` for the executor; inputs that are maps have no type, since onnx_ir has none for them."""
    proto = model_proto(case, arrays)
    for value in proto.graph.input:
        if value.type.HasField("map_type"):
            value.ClearField("type")
    return ir.from_proto(proto)


def type_of(x: Any) -> onnx.TypeProto:
    """The ONNX type of an input; a sequence must not be empty, nor a map."""
    if isinstance(x, list):
        shape = x[0].shape if len({item.shape for item in x}) == 1 else None
        return helper.make_sequence_type_proto(helper.make_tensor_type_proto(onnx_dtype(x[0].dtype), shape))
    if isinstance(x, dict):
        key, value = next(iter(x.items()))
        of_value = helper.make_tensor_type_proto(onnx_dtype(np.asarray(value).dtype), ())
        return helper.make_map_type_proto(onnx_dtype(np.asarray(key).dtype), of_value)
    return helper.make_tensor_type_proto(onnx_dtype(x.dtype), x.shape)


def feeds_of(arrays: Arrays) -> dict[str, np.ndarray]:
    return {f"x{i}": x for i, x in enumerate(arrays) if x is not None}


def run_executor(case: Case, arrays: Arrays, engine: str | ArraysEngine = "cpu") -> list[np.ndarray]:
    executor = Executor(ir_model(case, arrays), engine)
    return [to_host(y) for y in executor.run(feeds_of(arrays))]


def run_kernel(case: Case, arrays: Arrays, engine: ArraysEngine, out: Any = None) -> list[Any]:
    """The kernel's results on the engine's device; inputs the operator reads on the host stay there."""
    operator = operator_of(case)
    model = ir_model(case, arrays)
    node = model.graph[0]
    bodies = {}
    for name, graph in graphs_of(node).items():
        graph.opset_imports.update(model.opset_imports)
        bodies[name] = Subgraph(Executor(close(graph, 10)[0], engine))
    bound = operator.bind({**attributes(node), **bodies})
    call = engine.bind(operator, bound, case.outputs)
    given = [x if i in operator.host else engine.asarray(x) for i, x in enumerate(arrays)]
    with np.errstate(all="ignore"):
        result = call(*given, **({} if out is None else {"out": out}))
    return list(result)[: case.outputs] if isinstance(result, tuple) else [result]


def oracle(case: Case, arrays: Arrays) -> list[np.ndarray]:
    """The right outputs, computed in float64 from the values the (possibly narrower) inputs hold."""
    wide = [
        each(x, lambda x: x.astype(np.float64)) if any(t.dtype == np.float64 for t in tensors(given)) else x
        for x, given in zip(arrays, case.inputs, strict=True)
    ]
    with np.errstate(all="ignore"):
        if case.expect is not None:
            result = case.expect(*wide, **case.attrs)
            result = result if isinstance(result, (tuple, list)) else (result,)
        else:
            result = ReferenceEvaluator(model_proto(case, wide)).run(None, feeds_of(wide))
    return [y if y is None or isinstance(y, dict) or _is_sequence(y) else np.asarray(y) for y in result]


def _is_sequence(y: Any) -> bool:
    return isinstance(y, list) and all(isinstance(item, (np.ndarray, dict)) for item in y)


def expected_dtype(case: Case, arrays: Arrays, dtype: str, index: int, wide: np.ndarray) -> np.dtype:
    """The dtype the specification gives output `index`.

    For domains it does not know, the dtype of the oracle's result, narrowed like the inputs.
    """
    inferred = (
        onnx.shape_inference.infer_shapes(model_proto(case, arrays)).graph.output[index].type.tensor_type.elem_type
    )
    if inferred:
        return NUMPY[inferred]
    return named_dtype(dtype) if wide.dtype == np.float64 and dtype != "as given" else wide.dtype


def assert_close(case: Case, got: Any, want: Any) -> None:
    """`got` equals `want`, up to the tolerances for its dtype; sequences item by item."""
    if isinstance(want, list):
        assert isinstance(got, list)
        for mine, right in zip(got, want, strict=True):
            assert_close(case, mine, right)
        return
    if want is None or isinstance(want, dict):
        assert got == want
        return
    assert got.shape == want.shape
    name = got.dtype.name
    rtol, atol = EXCEPTIONS.get((case.op, name), TOLERANCES.get(name, (0, 0)))[:2]
    if not rtol and not atol:
        np.testing.assert_array_equal(got, want.astype(got.dtype))
        return
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        want = want.astype(got.dtype).astype(wide)
    np.testing.assert_allclose(got.astype(wide), want, rtol=rtol, atol=atol)


def floats(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [a for a in arrays if is_float(a.dtype)]


def _attribute(case: Case, name: str, value: Any) -> onnx.AttributeProto:
    """An attribute of the type the specification gives it."""
    kind = _attribute_type(case, name)
    types = onnx.AttributeProto
    if isinstance(value, np.ndarray) and kind in (None, types.TENSOR):
        return helper.make_attribute(name, numpy_helper.from_array(value))
    if isinstance(value, (bool, np.bool_, np.integer)):
        value = int(value)
    if kind == types.FLOAT:
        value = float(value)
    if kind == types.FLOATS:
        value = [float(v) for v in value]
    if kind == types.INTS:
        value = [int(v) for v in value]
    if kind is None and isinstance(value, (list, tuple)) and not value:
        kind = types.INTS
    return helper.make_attribute(name, value, attr_type=kind)


def _attribute_type(case: Case, name: str) -> int | None:
    try:
        schema = onnx.defs.get_schema(case.op, case.opset, case.domain)
    except onnx.defs.SchemaError:
        return None
    found = schema.attributes.get(name)
    return None if found is None else found.type.value
