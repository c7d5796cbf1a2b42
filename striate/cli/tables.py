"""The tables of `striate summary`. Lists of nodes are laid out here, line by line: they can be very long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from .console import facts, grid

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.cost import NodeCost, Report
    from ..trainer.counting import LayerCount

__all__ = [
    "bytes_text",
    "costs",
    "count_table",
    "facts_of",
    "largest",
    "node_table",
    "number",
    "printable",
    "screen_width",
    "spans",
    "value_table",
]

SHOWN = 5
"""Nodes in the short list of the largest."""
NOTHING = "–"


def number(count: int | None) -> str:
    """Exact below ten thousand, else three or four digits and k, M, G, T: `3.86 G`."""
    if count is None:
        return NOTHING
    if count < 10_000:
        return str(count)
    return _scaled(count, 1000, ("k", "M", "G", "T", "P"))


def bytes_text(count: int | None) -> str:
    """`9.19 MiB`: 1024 to the next unit."""
    if count is None:
        return NOTHING
    if count < 1024:
        return f"{count} B"
    return _scaled(count, 1024, ("KiB", "MiB", "GiB", "TiB", "PiB"))


def _scaled(count: int, base: int, units: Sequence[str]) -> str:
    size, power = count / base, 0
    while size >= 999.95 and power < len(units) - 1:
        size, power = size / base, power + 1
    return f"{size:.{2 if size < 9.995 else 1}f} {units[power]}"


def printable(text: object) -> str:
    """The text without characters that would command the terminal."""
    return "".join(c if c.isprintable() else "·" for c in str(text))


def facts_of(model: ir.Model) -> dict[str, Any]:
    """What the file says of itself."""
    return {
        "graph": model.graph.name or NOTHING,
        "producer": f"{model.producer_name or NOTHING} {model.producer_version or ''}".strip(),
        "opset": ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in model.graph.opset_imports.items()),
        "IR version": model.ir_version,
    }


def costs(header: Mapping[str, Any], report: Report) -> Table:
    """The header and the totals."""
    shown = {name: printable(value) for name, value in header.items()}
    shown["parameters"] = f"{report.parameters:,} ({bytes_text(report.weight_bytes)})"
    if report.constants:
        shown["other constants"] = f"{report.constants:,} ({bytes_text(report.constant_bytes)})"
    least = "at least " if report.uncounted else ""
    shown["MACs"] = f"{least}{report.macs:,}" + (f" ({number(report.macs)})" if report.macs >= 10_000 else "")
    shown["FLOPs"] = f"{least}{report.flops:,}" + (f" ({number(report.flops)})" if report.flops >= 10_000 else "")
    shown["activations"] = f"{'at least ' if report.unsized else ''}{bytes_text(report.peak_bytes)} at the peak"
    shown["nodes"] = f"{len(report.nodes):,}: " + ", ".join(_operators(report))
    engines = Counter(node.engine for node in report.nodes)
    shown["run by"] = ", ".join(f"{engine} {count:,}" for engine, count in engines.most_common()) or NOTHING
    return facts("", shown)


def _operators(report: Report) -> Iterable[str]:
    """`3 Conv` and the like, most frequent first, with a remark where there is no kernel."""
    counts: Counter[tuple[str, bool]] = Counter()
    for (name, engine), count in report.operators.items():
        counts[name, engine == "not supported"] += count
    return (
        f"{n} {printable(name)}{' (not supported)' if missing else ''}" for (name, missing), n in counts.most_common()
    )


def value_table(report: Report) -> Table:
    """Inputs and outputs."""
    rows = [("input", v) for v in report.inputs] + [("output", v) for v in report.outputs]
    columns = {"": "left", "name": "left", "dtype": "left", "shape": "left"}
    return grid(
        "", columns, [(kind, printable(v.name), v.dtype or NOTHING, printable(_shape(v.shape))) for kind, v in rows]
    )


def largest(report: Report) -> Table:
    """The few nodes with most MACs, and what share of all they are."""
    columns = {"most MACs": "left", "operator": "left", "parameters": "right", "MACs": "right", "share": "right"}
    found = [n for n in report.largest(SHOWN) if n.macs]
    rows = [
        (
            printable(n.name),
            printable(n.operator),
            number(n.parameters),
            number(n.macs),
            f"{(n.macs or 0) / max(report.macs, 1):.1%}",
        )
        for n in found
    ]
    return grid("", columns, rows)


@dataclass(frozen=True)
class Column:
    """A column of a table: heading, cell, side, the widest it may be, the screen width from which it shows."""

    heading: str
    cell: Callable[[Any], str]
    right: bool = False
    limit: int = 30
    screen: int = 0


COLUMNS = (
    Column("operator", lambda n: n.operator, limit=17),
    Column("output", lambda n: _shape(n.outputs[0].shape) if n.outputs else NOTHING, limit=18),
    Column("dtype", lambda n: (n.outputs[0].dtype if n.outputs else None) or NOTHING, limit=8, screen=110),
    Column("params", lambda n: number(n.parameters) if n.parameters else "", right=True),
    Column("MACs", lambda n: "" if n.macs == 0 else number(n.macs), right=True),
    Column("memory", lambda n: bytes_text(n.bytes_out), right=True),
    Column("reads", lambda n: bytes_text(n.bytes_read), right=True, screen=110),
    Column("field", lambda n: spans(n.field), limit=11),
    Column("stride", lambda n: spans(n.stride), limit=11, screen=110),
    Column("engine", lambda n: n.engine, screen=110),
)
PIPE_WIDTH = 120
"""How wide lists are where there is no screen and COLUMNS does not say."""
NARROWEST = 12
"""No name is cut shorter than this."""


def node_table(nodes: Sequence[NodeCost], total: int) -> list[str]:
    """One line per node, as wide as the screen; names that are too long lose their beginning."""
    lines = _fitted("node", ["  " * node.depth + printable(node.name) for node in nodes], nodes, COLUMNS)
    if len(nodes) < total:
        lines.append(f"  {len(nodes):,} of {total:,} nodes")
    return ["", *lines, ""]


COUNTED = (
    Column("output", lambda r: _shape(r.output) if r.output else "", limit=14),
    Column("neurons", lambda r: _counted(r.neurons), right=True),
    Column("weights", lambda r: _counted(r.weights), right=True),
    Column("not shared", lambda r: _counted(r.unshared), right=True, screen=100),
    Column("connections", lambda r: _counted(r.connections), right=True),
    Column("MACs", lambda r: number(r.macs) if r.macs != 0 else "", right=True, screen=100),
    Column("field", lambda r: spans(r.field), limit=11),
    Column("stride", lambda r: spans(r.stride), limit=11, screen=100),
)


def count_table(rows: Sequence[LayerCount]) -> list[str]:
    """One line per layer as it is counted by hand, and their sums; as wide as the screen."""
    names = [f"{printable(row.name)} ({row.kind})" for row in rows]
    lines = _fitted("layer", [*names, "all"], [*rows, _sum(rows)], COUNTED)
    return ["", *lines[:-1], lines[1], lines[-1], ""]


def _sum(rows: Sequence[LayerCount]) -> LayerCount:
    from ..trainer.counting import LayerCount

    fields = ("neurons", "weights", "trainable", "unshared", "connections", "macs")
    sums = {name: sum(getattr(row, name) or 0 for row in rows) for name in fields}
    return LayerCount(name="", kind="", output=(), field=(), stride=(), **sums)


def _counted(value: int | None) -> str:
    return "?" if value is None else f"{value:,}" if value else ""


def _fitted(heading: str, names: Sequence[str], rows: Sequence[Any], columns: Sequence[Column]) -> list[str]:
    """Heading, rule and one line per row, as wide as the screen; names that are too long lose their beginning."""
    screen = screen_width()
    columns = [c for c in columns if screen >= c.screen]
    table = [[_cut(printable(c.cell(row)), c.limit) for c in columns] for row in rows]
    widths = [max((cell_len(row[i]) for row in table), default=0) for i in range(len(columns))]
    widths = [max(width, len(c.heading)) for width, c in zip(widths, columns, strict=True)]
    room = screen - sum(widths) - 2 * len(columns) - 2
    first = min(max(map(cell_len, names), default=0), max(room, NARROWEST))
    first = max(first, len(heading))
    lines = [_line(heading, [c.heading for c in columns], first, widths, columns)]
    lines.append("  " + "─" * (first + sum(widths) + 2 * len(columns)))
    return lines + [_line(name, row, first, widths, columns) for name, row in zip(names, table, strict=True)]


def _line(name: str, cells: Sequence[str], first: int, widths: Sequence[int], columns: Sequence[Column]) -> str:
    depth = len(name) - len(name.lstrip(" "))
    made = [set_cell_size(name[:depth] + _cut(name[depth:], max(first - depth, 4), head=False), first)]
    for cell, width, column in zip(cells, widths, columns, strict=True):
        gap = " " * (width - cell_len(cell))
        made.append(gap + cell if column.right else cell + gap)
    return "  " + "  ".join(made).rstrip()


def _cut(text: str, width: int, *, head: bool = True) -> str:
    """The text, or its beginning or end and an ellipsis."""
    if cell_len(text) <= width:
        return text
    if head:
        return set_cell_size(text, width - 1).rstrip() + "…"
    while cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return "…" + text


def screen_width() -> int:
    """The width to write for: the terminal's, COLUMNS, or enough for every column in a pipe."""
    import os

    console = Console()
    return console.width if console.is_terminal or os.environ.get("COLUMNS", "").isdigit() else PIPE_WIDTH


def _shape(shape: Sequence[int | str | None] | None) -> str:
    if shape is None:
        return NOTHING
    return "×".join("?" if d is None else str(d) for d in shape) or "scalar"


def spans(sizes: Sequence[float | None]) -> str:
    """`31×31`; one number if all axes have the same."""
    texts = [NOTHING if s is None else "all" if s == inf else f"{s:g}" for s in sizes]
    return "×".join(texts[:1] if len(set(texts)) == 1 else texts) or NOTHING
