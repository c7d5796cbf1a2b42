"""Which optimisation makes the outputs differ, when the nodes on their own do not: each is left out in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..runtime.engines.arrays import to_host
from ..runtime.executor import Executor
from ..runtime.passes import PIPELINE, cleanup, inline
from ..runtime.plan import specialise
from ..runtime.reader import read
from .verify import compare

if TYPE_CHECKING:
    from .verify_report import CheckReport

__all__ = ["REUSE", "guilty", "guilty_of", "outputs_without"]

REUSE = "the reuse of buffers"

Pass = Callable[[ir.Model], bool]


def outputs_without(
    model: ir.Model, feeds: Mapping[str, np.ndarray], left_out: Pass | None = None, *, reuse: bool = True
) -> list[Any]:
    """The model's outputs with all passes but one, as a session would compute them."""
    made = model.clone()
    cleanup.drop_initializer_inputs(made)
    inline.run(made)
    passes = [p for p in PIPELINE if p is not left_out]
    _apply(passes, made)
    signature = tuple((n, np.dtype(a.dtype), tuple(a.shape)) for n, a in sorted(feeds.items()))
    bound = specialise(made, signature, optimize=False)
    _apply(passes, bound)
    names = [str(v.name) for v in model.graph.outputs]
    return [to_host(x) for x in Executor(bound, optimize=False, reuse=reuse).run(feeds, names)]


def _apply(passes: Sequence[Pass], model: ir.Model) -> None:
    for apply in passes:
        apply(model)


def guilty(
    model: ir.Model, feeds: Mapping[str, np.ndarray], agrees: Callable[[Sequence[Any]], bool]
) -> tuple[str, ...]:
    """The optimisations without any one of which the outputs agree; none where no single one is to blame.

    Args:
        agrees: whether a list of outputs is right.
    """
    if not all(isinstance(array, np.ndarray) for array in feeds.values()):
        return ()
    trials: list[tuple[str, Pass | None, bool]] = [(_name(p), p, True) for p in PIPELINE]
    trials.append((REUSE, None, False))
    return tuple(name for name, left_out, reuse in trials if _tried(model, feeds, left_out, reuse, agrees))


def guilty_of(path: str | os.PathLike[str], feeds: Mapping[str, np.ndarray], report: CheckReport) -> tuple[str, ...]:
    """The optimisations to blame for the outputs of a report that differ; none if they differ without any, too."""
    model = read(path)
    names = [str(v.name) for v in model.graph.outputs]
    rows = {row.name: row for row in report.outputs.rows}
    right = dict(zip(names, report.outputs.theirs, strict=True))

    def agrees(outputs: Sequence[Any]) -> bool:
        compared = (compare(n, np.asarray(a), np.asarray(right[n])) for n, a in zip(names, outputs, strict=True))
        return all(row.ok(report.allowed(rows[row.name])) for row in compared)

    return guilty(model, feeds, agrees)


def _tried(
    model: ir.Model,
    feeds: Mapping[str, np.ndarray],
    left_out: Pass | None,
    reuse: bool,
    agrees: Callable[[Sequence[Any]], bool],
) -> bool:
    try:
        return agrees(outputs_without(model, feeds, left_out, reuse=reuse))
    except Exception:  # a pass may need another to have run: then leaving that one out proves nothing
        return False


def _name(apply: Pass) -> str:
    return f"pass {apply.__module__.rpartition('.')[2]!r}"
