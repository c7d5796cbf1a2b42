"""Numbers for the dimensions that a model leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..errors import InvalidInput
from ..inference import dims

__all__ = ["bind", "bound"]

Dim = int | str | None


def bind(graph: ir.Graph, shapes: Mapping[str, Sequence[int]], batch: int | None) -> tuple[dict[str, int], list[str]]:
    """Writes numbers onto the inputs: those of `shapes`, then `batch` (or 1) for first dimensions that are still open.

    Returns:
        What every named dimension stands for, and notes on what was assumed or is still open.

    Raises:
        InvalidInput: for a shape that contradicts the model or another one.
    """
    names = {str(v.name): v for v in graph.inputs}
    known: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in names:
            raise InvalidInput(f"the model has no input {name!r}; its inputs are {list(names)}")
        _match(names[name], shape, known)
    notes = _first_dimensions(graph, batch, known)
    for value in graph.inputs:
        if value.shape is not None:
            value.shape = bound(value.shape, known)
            free = [
                str(d) if isinstance(d, str) else f"number {i}" for i, d in enumerate(dims(value.shape)) if _free(d)
            ]
            if free:
                given = "x".join("?" if _free(d) else str(d) for d in dims(value.shape))
                notes.append(
                    f"input {value.name!r} leaves dimension {', '.join(free)} open; figures that need it are missing: "
                    f"give --shape {value.name}={given}"
                )
    return known, notes


def bound(shape: ir.Shape, known: Mapping[str, int]) -> ir.Shape:
    """The shape with numbers for the named dimensions that are known."""
    return ir.Shape([known.get(d, d) if isinstance(d, str) else d for d in dims(shape)])


def _match(value: ir.Value, shape: Sequence[int], known: dict[str, int]) -> None:
    declared: Sequence[Dim] = dims(value.shape) if value.shape is not None else (None,) * len(shape)
    given = "×".join(map(str, shape))
    if len(declared) != len(shape):
        raise InvalidInput(f"input {value.name!r} has {len(declared)} dimensions; {given} has {len(shape)}")
    for i, (have, want) in enumerate(zip(declared, shape, strict=True)):
        fixed = known.setdefault(have, want) if isinstance(have, str) else have
        if fixed is not None and fixed != want:
            which = f"{i} ({have})" if isinstance(have, str) else str(i)
            raise InvalidInput(f"input {value.name!r}: dimension {which} is {fixed}; {given} has {want} there")
    value.shape = ir.Shape(shape)


def _first_dimensions(graph: ir.Graph, batch: int | None, known: dict[str, int]) -> list[str]:
    """Binds the open first dimension of every input; says so where nobody asked for it."""
    assumed, fixed = [], []
    for value in graph.inputs:
        declared = dims(value.shape) if value.shape is not None else ()
        first = declared[0] if declared else 0
        first = known.get(first, first) if isinstance(first, str) else first
        if not _free(first):
            fixed.append(f"{value.name!r} of shape {'×'.join(map(str, declared)) or 'scalar'}")
            continue
        if isinstance(first, str):
            known[first] = batch or 1
        value.shape = ir.Shape([batch or 1, *declared[1:]])
        assumed.append(repr(value.name))
    if batch is not None and not assumed:
        raise InvalidInput(f"no input has an open first dimension that --batch could set: {', '.join(fixed) or 'none'}")
    if batch is None and assumed:
        return [f"the first dimension of input {', '.join(assumed)} is open and taken as 1: figures are per example"]
    return []


def _free(dim: Dim) -> bool:
    return not isinstance(dim, int)
