"""What a check found: as a table for a terminal, as JSON, and in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .verify import Report, Row
from .verify_measure import Difference, Statistics
from .verify_results import NodeResult, NodesReport, OutputResult
from .verify_tolerance import output_tolerance

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["FORMAT", "CheckReport", "number"]

FORMAT = "striate.check/1"
ROOMY = 110
"""Columns of a terminal from which on the table shows types."""


@dataclass(frozen=True)
class CheckReport:
    """Outputs as users compute them, and every node on its own.

    Attributes:
        tolerance: what |ours − theirs| / (1 + |theirs|) may be; None: the tables of `verify_tolerance`.
        passes: optimisations without any one of which the outputs would agree.
    """

    outputs: Report
    nodes: NodesReport
    tolerance: float | None = None
    passes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all outputs and all nodes agree."""
        return self.nodes.first is None and not self.differing_outputs()

    def differing_outputs(self) -> list[Row]:
        """The outputs of the model that differ."""
        return [row for row in self.outputs.rows if not row.ok(self.allowed(row))]

    def allowed(self, row: Row) -> float:
        """What an output's |ours − theirs| / (1 + |theirs|) may be."""
        return output_tolerance(row.dtype) if self.tolerance is None else self.tolerance

    def verdict(self) -> str:
        """The result in a sentence."""
        first, differing, against = self.nodes.first, self.differing_outputs(), self.nodes.against
        if first is not None:
            return "; ".join(filter(None, (_fault_of(first, against), self.nodes.whose)))
        if differing:
            row = max(differing, key=lambda row: row.max_scaled)
            measured = row.fault or (
                f"|ours − theirs| / (1 + |theirs|) is {row.max_scaled:.3g}, more than {self.allowed(row):g}"
            )
            return f"output {row.name!r} differs from {against}: {measured}; {self._why()}"
        rows = self.outputs.rows
        outputs = "the output agrees" if len(rows) == 1 else f"all {len(rows)} outputs agree"
        left_out = sum(node.status in ("random", "skipped") for node in self.nodes.nodes)
        nodes = (
            f"all {len(self.nodes.nodes) - left_out} nodes"
            if left_out == 0
            else (f"all {len(self.nodes.nodes) - left_out} nodes that can be compared (of {len(self.nodes.nodes)})")
        )
        within = " within " + (f"{self.tolerance:g}" if self.tolerance is not None else "what is allowed")
        return f"{outputs}{within}, and so do {nodes}"

    def _why(self) -> str:
        if self.passes:
            return f"not without {' or without '.join(self.passes)}: that optimisation is to blame"
        apart = [o.accumulated.max_abs for n in self.nodes.nodes for o in n.outputs if o.accumulated is not None]
        grown = f" (up to {max(apart):.3g} inside the model)" if apart else ""
        return (
            f"every node agrees on its own, so what differs has accumulated{grown} or an optimisation rounds otherwise"
        )

    def worst(self, count: int | None) -> list[NodeResult]:
        """The nodes that differ most, by what is allowed, and the first that differs; in graph order."""
        if count is None:
            return list(self.nodes.nodes)
        ranked = sorted(self.nodes.nodes, key=_badness, reverse=True)[:count]
        if self.nodes.first is not None:
            ranked.append(self.nodes.first)
        return sorted({node.index: node for node in ranked}.values(), key=lambda node: node.index)

    def table(self, count: int | None, width: int = 80) -> Table:
        """The nodes for a terminal of that width: the `count` worst, or all."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        chosen, first, roomy = self.worst(count), self.nodes.first, width >= ROOMY
        title = f"{len(chosen)} of {self.nodes.total} nodes, in graph order"
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
        table.add_column("", no_wrap=True, min_width=1)
        table.add_column("node", overflow="ellipsis", no_wrap=True, max_width=60 if roomy else 16)
        table.add_column("operator", overflow="ellipsis", no_wrap=True, max_width=24 if roomy else 12)
        if roomy:
            table.add_column("type", overflow="fold")
        for heading in ("max |diff|", "relative", "ULP", "÷ limit", "from start"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=7)
        for node in chosen:
            style = "red" if not node.agrees else "dim" if node.status != "agrees" else ""
            mark = "▶" if node is first else "✗" if not node.agrees else ""
            kind = (_kind(node),) if roomy else ()
            table.add_row(*map(Text, (mark, node.title, node.op_type, *kind, *_cells(node))), style=style)
        return table

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON has it; numbers that JSON lacks are the texts `Infinity`, `-Infinity` and `NaN`."""
        first = self.nodes.first
        return {
            "format": FORMAT,
            "model": self.outputs.path,
            "against": self.nodes.against,
            "tolerance": self.tolerance,
            "agrees": self.ok,
            "first": None if first is None else first.index,
            "whose_error": self.nodes.whose,
            "passes": list(self.passes),
            "seconds": round(self.nodes.seconds, 3),
            "stretches": self.nodes.stretches,
            "nodes_in_graph": self.nodes.total,
            "outputs": [_row(row, self.allowed(row)) for row in self.outputs.rows],
            "nodes": [_node(node) for node in self.nodes.nodes],
        }


def _fault_of(node: NodeResult, against: str) -> str:
    who = f"node {node.title} ({node.op_type})"
    if node.status == "failed":
        return f"{who} is the first that fails here and not in {against}: {node.remark}"
    output = node.worst
    if output is None or output.local.fault:
        return f"{who} is the first that differs from {against}: {node.remark}"
    local = output.local
    where = f"at {list(local.worst or ())}, {local.ours_there} here, {local.theirs_there} there"
    return (
        f"node {node.title} ({node.op_type}) is the first that differs from {against}: output {output.name!r} by up to "
        f"{local.max_abs:.3g}, {local.excess:.3g} times what is allowed ({where})"
    )


def _badness(node: NodeResult) -> tuple[bool, float, float]:
    worst = node.worst
    if worst is None or node.status in ("random", "skipped"):
        return not node.agrees, 0.0, 0.0
    return not node.agrees, worst.local.excess if worst.read else 0.0, worst.local.of_range


def _kind(node: NodeResult) -> str:
    worst = node.worst
    return "" if worst is None else f"{worst.kind} {'×'.join(map(str, worst.shape))}".strip()


def _cells(node: NodeResult) -> Sequence[str]:
    worst = node.worst
    if worst is None or node.status in ("random", "skipped", "failed") or worst.local.fault:
        return ("–", "–", "–", "unlike" if node.status == "differs" else node.status, "–")
    local, total = worst.local, worst.accumulated
    ulp = "–" if local.max_ulp is None else f"{local.max_ulp:.0f}" if local.max_ulp < 1e5 else f"{local.max_ulp:.1e}"
    allowed = "unread" if not worst.read and not local.agrees else f"{local.excess:.2g}"
    accumulated = "–" if total is None else f"{total.max_abs:.3g}"
    return (f"{local.max_abs:.3g}", f"{local.max_rel:.3g}", ulp, allowed, accumulated)


def number(value: float | None) -> float | str | None:
    """A number as JSON can hold it."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _row(row: Row, allowed: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "type": row.dtype,
        "shape": list(row.shape),
        "max_abs": number(row.max_abs),
        "max_rel": number(row.max_rel),
        "max_ulp": number(row.max_ulp),
        "max_scaled": number(row.max_scaled),
        "allowed": allowed,
        "agrees": bool(row.ok(allowed)),
        "fault": row.fault,
    }


def _node(node: NodeResult) -> dict[str, Any]:
    return {
        "index": node.index,
        "name": node.name,
        "op_type": node.op_type,
        "domain": node.domain,
        "status": node.status,
        "remark": node.remark,
        "inputs": list(node.inputs),
        "outputs": [_output(o) for o in node.outputs],
    }


def _output(output: OutputResult) -> dict[str, Any]:
    return {
        "name": output.name,
        "type": output.kind,
        "shape": list(output.shape),
        "read": output.read,
        "local": _difference(output.local),
        "accumulated": None if output.accumulated is None else _difference(output.accumulated),
        "ours": _statistics(output.ours),
        "theirs": _statistics(output.theirs),
    }


def _difference(d: Difference) -> dict[str, Any]:
    return {
        "max_abs": number(d.max_abs),
        "max_rel": number(d.max_rel),
        "max_ulp": number(d.max_ulp),
        "of_range": number(d.of_range),
        "excess": number(d.excess),
        "agrees": d.agrees,
        "worst": None if d.worst is None else list(d.worst),
        "ours_there": d.ours_there,
        "theirs_there": d.theirs_there,
        "fault": d.fault,
    }


def _statistics(s: Statistics) -> dict[str, Any]:
    return {
        "min": number(s.smallest),
        "max": number(s.largest),
        "mean": number(s.mean),
        "not_finite": int(np.asarray(s.not_finite)),
    }
