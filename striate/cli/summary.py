"""`striate summary`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["describe", "summary"]


def summary(
    model: Annotated[str, typer.Argument(help="An .onnx file, a .striate file, or the name of an architecture.")],
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
        describe(checked_file(model))
        return
    made = load_model(model)
    made.summary()
    if made.training_facts:
        show(facts("Training", {k: _short(v) for k, v in made.training_facts.items()}))


def describe(path: Path) -> None:
    """Prints what an ONNX file holds."""
    from ..runtime.reader import read
    from .console import facts, grid, show

    model = read(path)
    graph = model.graph
    weights = [v.const_value for v in graph.initializers.values() if v.const_value is not None]
    held = {
        "file": f"{path}, {path.stat().st_size:,} bytes",
        "graph": graph.name or "–",
        "producer": f"{model.producer_name or '–'} {model.producer_version or ''}".strip(),
        "opset": ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in graph.opset_imports.items()),
        "IR version": model.ir_version,
        "parameters": f"{sum(w.size for w in weights):,}",
        "nodes": f"{len(list(graph)):,}: "
        + ", ".join(f"{n} {t}" for t, n in Counter(x.op_type for x in graph).most_common()),
    }
    show(facts("", held))
    values = [("input", v) for v in graph.inputs if v.name not in graph.initializers]
    values += [("output", v) for v in graph.outputs]
    columns = {"": "left", "name": "left", "dtype": "left", "shape": "left"}
    show(grid("", columns, [(kind, v.name, _dtype(v), _shape(v)) for kind, v in values]))
    if model.metadata_props:
        show(facts("Metadata", {k: _short(v) for k, v in model.metadata_props.items()}))


def _dtype(value: Any) -> str:
    return "–" if value.dtype is None else value.dtype.name.lower()


def _shape(value: Any) -> str:
    if value.shape is None:
        return "–"
    return "×".join(str(d) if isinstance(d, int) else d.value or "?" for d in value.shape) or "scalar"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
