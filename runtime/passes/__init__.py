"""Graph → graph. One pass per file, each `run(model) -> bool` (whether anything changed); the order is `PIPELINE`."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from . import batchnorm, branches, cleanup, fold, gradient, identity, inline, pads, transposes

PIPELINE: tuple[Callable[[ir.Model], bool], ...] = (
    fold.run,
    branches.run,
    identity.run,
    transposes.run,
    pads.run,
    batchnorm.run,
    cleanup.run,
)


SETTLED = "striate.settled"


def prepare(model: ir.Model, *, optimize: bool = True) -> ir.Model:
    """Once per model: makes it runnable (functions inlined, old initializer inputs dropped), then optimises it."""
    cleanup.drop_initializer_inputs(model)
    gradient.connect(model)
    inline.run(model)
    model = gradient.lower(model)
    if optimize:
        _run_pipeline(model)
        model.meta[SETTLED] = all(v.shape is not None and v.shape.is_static() for v in model.graph.inputs)
    return model


def settled(model: ir.Model) -> bool:
    """Whether `prepare` knew the shapes of all inputs, so that `specialise` for the same ones finds nothing to do."""
    return bool(model.meta.get(SETTLED))


def specialise(model: ir.Model, *, optimize: bool = True) -> ir.Model:
    """Once per set of input shapes: types follow the shapes, and what they make constant or superfluous goes."""
    if optimize:
        _run_pipeline(model)
    else:
        fold.infer_types(model)
    return model


def _run_pipeline(model: ir.Model) -> None:
    for apply in PIPELINE:
        apply(model)
