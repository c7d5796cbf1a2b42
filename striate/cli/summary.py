"""`striate summary`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["describe", "summary"]

FEW = 60
"""Graphs of fewer nodes are listed node by node."""


def summary(
    model: Annotated[str, typer.Argument(help="An .onnx file, a .striate file, or the name of an architecture.")],
    nodes: Annotated[
        bool | None, typer.Option(help="List every node of an ONNX file. Default: if it has fewer than 60.")
    ] = None,
) -> None:
    """Shows what is in a model: layers and parameters, or inputs, outputs and operators.

    Examples:

        striate summary lenet5

        striate summary run/lenet5.striate

        striate summary lenet5.onnx
    """
    from .console import facts, show
    from .sources import checked_file, load_model

    if model.endswith(".onnx"):
        describe(checked_file(model), nodes=nodes)
        return
    made = load_model(model)
    made.summary()
    if made.training_facts:
        show(facts("Training", {k: _short(v) for k, v in made.training_facts.items()}))


def describe(path: Path, *, nodes: bool | None = False, untrained: bool = False) -> None:
    """Prints what an ONNX file holds, be it that Striate cannot run it.

    Args:
        nodes: whether to list every node; None: if there are few.
        untrained: say that the weights are only random numbers.
    """
    from .console import facts, grid, say, show

    model, problem = _read(path)
    graph = model.graph
    weights = [v.const_value for v in graph.initializers.values() if v.const_value is not None]
    held = {
        "file": f"{path}, {path.stat().st_size:,} bytes",
        "graph": graph.name or "–",
        "producer": f"{model.producer_name or '–'} {model.producer_version or ''}".strip(),
        "opset": ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in graph.opset_imports.items()),
        "IR version": model.ir_version,
        "parameters": f"{sum(w.size for w in weights):,}",
        "nodes": f"{len(graph):,}: " + ", ".join(_operators(model)),
    }
    if untrained:
        held["weights"] = "untrained: random numbers"
    show(facts("", held))
    if problem:
        say(f"Striate cannot run this model: {problem}", "yellow")
    values = [("input", v) for v in graph.inputs if v.name not in graph.initializers]
    values += [("output", v) for v in graph.outputs]
    columns = {"": "left", "name": "left", "dtype": "left", "shape": "left"}
    show(grid("", columns, [(kind, v.name, _dtype(v), _shape(v)) for kind, v in values]))
    if nodes or (nodes is None and len(graph) < FEW):
        columns = {"node": "left", "operator": "left", "output": "left", "parameters": "right"}
        show(grid("", columns, _nodes(model)))
    if model.metadata_props:
        show(facts("Metadata", {k: _short(v) for k, v in model.metadata_props.items()}))


def _read(path: Path) -> tuple[ir.Model, str]:
    """The model, and why Striate cannot run it, if so."""
    from ..runtime.errors import UnsupportedOperator
    from ..runtime.reader import read

    try:
        return read(path), ""
    except UnsupportedOperator as error:
        import onnx
        import onnx_ir as ir

        try:
            return ir.from_proto(onnx.load(path, load_external_data=False)), str(error)
        except Exception:
            raise error from None


def _operators(model: ir.Model) -> list[str]:
    """`3 Conv` and the like, most frequent first, with a remark where there is no kernel."""
    counts = Counter((node.domain, node.op_type, _can_run(model, node)) for node in model.graph)
    return [
        f"{count} {f'{domain}.' if domain else ''}{name}{'' if can else ' (not supported)'}"
        for (domain, name, can), count in counts.most_common()
    ]


def _can_run(model: ir.Model, node: ir.Node) -> bool:
    from onnx import defs

    from ..runtime.ops import registry

    version = model.graph.opset_imports.get(node.domain, 0)
    if node.op_identifier() in model.functions or registry.find(node.domain, node.op_type, version) is not None:
        return True
    try:
        schema: Any = defs.get_schema(node.op_type, version, node.domain)
    except defs.SchemaError:
        return False
    bodies = (*schema.function_opset_versions, *schema.context_dependent_function_opset_versions)
    return any(body <= version for body in bodies)


def _nodes(model: ir.Model) -> list[tuple[str, str, str, str]]:
    """Name, operator, shape of the first output, parameters of every node."""
    from contextlib import suppress

    from ..runtime.inference import annotate

    rows = []
    for node in model.graph:
        with suppress(Exception):
            annotate(node, model.graph.opset_imports[node.domain])
        weights = {v.name: v.const_value for v in node.inputs if v is not None and v.is_initializer()}
        count = sum(w.size for w in weights.values() if w is not None)
        shape = _shape(node.outputs[0]) if node.outputs else "–"
        first = node.outputs[0].name if node.outputs else ""
        rows.append((node.name or first or "–", node.op_type, shape, f"{count:,}" if count else ""))
    return rows


def _dtype(value: Any) -> str:
    return "–" if value.dtype is None else value.dtype.name.lower()


def _shape(value: Any) -> str:
    if value.shape is None:
        return "–"
    return "×".join(str(d) if isinstance(d, int) else d.value or "?" for d in value.shape) or "scalar"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
