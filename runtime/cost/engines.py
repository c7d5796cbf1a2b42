"""Which engine would run a node."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from ..engines import native
from ..ops import registry
from ..passes.identity import changes_nothing

__all__ = ["engine_of", "lowered"]


def engine_of(node: ir.Node, version: int, functions: Container[Any] = (), *, folded: bool = False) -> str:
    """What becomes of a node of the given opset when its model runs.

    Args:
        functions: the identifiers of the model's own functions.
        folded: whether its result is known before the first run.

    Returns:
        `folded`: computed once, when the model is loaded or the shapes are known;
        `arrays`: a kernel on NumPy or CuPy arrays, unless the node is among those that are `lowered`;
        `function body`: replaced by the nodes of a function of the model, or of the specification;
        `not supported`: nothing here can run it.
    """
    if folded:
        return "folded"
    if node.op_identifier() in functions:
        return "function body"
    return _engine(node.domain, node.op_type, version)


@cache
def _engine(domain: str, name: str, version: int) -> str:
    if registry.find(domain, name, version) is not None:
        return "arrays"
    try:
        schema: Any = onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return "not supported"
    bodies = (*schema.function_opset_versions, *schema.context_dependent_function_opset_versions)
    return "function body" if any(body <= version for body in bodies) else "not supported"


def lowered(nodes: Iterable[ir.Node], constants: Container[ir.Value]) -> set[ir.Node]:
    """The nodes that become machine code on a CPU, or nothing at all beside such, for the shapes of their values.

    Args:
        nodes: of one graph, in order, without those whose results are known before a run.
        constants: values known before a run, be it that their numbers are not at hand.
    """
    if not native.available():
        return set()
    from ..engines.native.lowering import WORTH
    from ..engines.native.operators import ops_of

    stretches: list[list[ir.Node]] = [[]]
    for node in nodes:
        fits = False
        with _stand_ins(node, constants), suppress(Exception):  # the model may break any rule
            fits = changes_nothing(node) or bool(ops_of(node))
        if fits:
            stretches[-1].append(node)
        else:
            stretches.append([])
    return {n for stretch in stretches if any(n.op_type in WORTH for n in stretch) for n in stretch}


@contextmanager
def _stand_ins(node: ir.Node, constants: Container[ir.Value]) -> Iterator[None]:
    """Zeros, which take no memory, for constants of the node whose numbers are not at hand."""
    changed = []
    for value in node.inputs:
        if value is None or value.const_value is not None or value not in constants:
            continue
        if value.shape is not None and value.shape.is_static() and value.dtype not in (None, ir.DataType.STRING):
            assert value.dtype is not None
            zeros = np.broadcast_to(np.zeros((), value.dtype.numpy()), value.shape.numpy())
            value.const_value = ir.Tensor(zeros, value.dtype)
            changed.append(value)
    try:
        yield
    finally:
        for value in changed:
            value.const_value = None
