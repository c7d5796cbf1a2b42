"""A profile as lines for the terminal, as plain data, and as a trace for Perfetto or chrome://tracing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.cells import cell_len, set_cell_size

from ..runtime.profile import NodeTime, Profile
from .machine import machine
from .results import NOTHING, milliseconds

__all__ = ["Shares", "as_json", "chrome_trace", "lines", "shares", "totals"]

FIGURES = {
    "median, min": "seconds of a run, waiting for other threads included",
    "share": "median / sum of all medians",
    "flops": "of the direct algorithm, 2 per multiply-accumulate; fast convolutions do fewer, and may exceed the peak",
    "nbytes": "read from other nodes and constants, and written for others, once each",
    "flops_per_second, bytes_per_second": "of loops of multiply-adds, and of reading memory, on so many threads",
}
NARROWEST = 16


@dataclass(frozen=True)
class Shares:
    """Nodes that have something in common: how many, seconds of a run, part of all."""

    name: str
    count: int
    seconds: float
    share: float
    flops: int | None


def shares(profile: Profile, by: Callable[[NodeTime], str]) -> list[Shares]:
    """Sums over the nodes of a kind, the longest first."""
    groups: dict[str, list[NodeTime]] = {}
    for node in profile.nodes:
        groups.setdefault(by(node), []).append(node)
    whole = sum(node.median for node in profile.nodes) or 1.0
    made = []
    for name, nodes in groups.items():
        seconds = sum(node.median for node in nodes)
        flops = None if any(n.flops is None for n in nodes) else sum(n.flops or 0 for n in nodes)
        made.append(Shares(name, len(nodes), seconds, seconds / whole, flops))
    return sorted(made, key=lambda s: -s.seconds)


@dataclass(frozen=True)
class _Column:
    heading: str
    cell: Callable[[NodeTime], str]
    right: bool = True
    screen: int = 0
    limit: int = 40


def lines(profile: Profile, top: int, width: int) -> list[str]:
    """The hottest nodes, one a line.

    Args:
        top: so many of them.
        width: of the screen.
    """
    whole = sum(node.median for node in profile.nodes) or 1.0
    peak = profile.flops_per_second
    columns = (
        _Column("operator", lambda n: n.operator, right=False, limit=22),
        _Column("by", lambda n: f"{n.engine}: {n.label}" if n.label else n.engine, right=False, screen=110, limit=30),
        _Column("median ms", lambda n: f"{n.median * 1e3:.3f}"),
        _Column("min ms", lambda n: f"{min(n.times) * 1e3:.3f}", screen=90),
        _Column("share", lambda n: f"{n.median / whole:.1%}"),
        _Column("GFLOP/s", lambda n: _rate(n.flops, n.median, 1e9)),
        _Column("of peak", lambda n: f"{n.flops / n.median / peak:.0%}" if n.flops and n.median and peak else ""),
        _Column("MiB", lambda n: NOTHING if n.nbytes is None else f"{n.nbytes / 2**20:.2f}", screen=100),
        _Column("GB/s", lambda n: _rate(n.nbytes, n.median, 1e9), screen=100),
    )
    shown = [c for c in columns if width >= c.screen]
    hottest = sorted(profile.nodes, key=lambda n: -n.median)[:top]
    table = [[_cut(c.cell(n), c.limit) for c in shown] for n in hottest]
    made = _table(
        ["node"], [[n.name] for n in hottest], [c.heading for c in shown], table, [c.right for c in shown], width
    )
    if len(hottest) < len(profile.nodes):
        rest = sum(n.median for n in profile.nodes) - sum(n.median for n in hottest)
        made.append(f"  {len(hottest)} of {len(profile.nodes)} nodes; the others take {milliseconds(rest)} ms")
    return [*made, ""]


def totals(profile: Profile, width: int) -> list[str]:
    """Sums by operator and by engine, and what a whole run takes."""
    made = []
    for heading, by in (("operator", lambda n: n.main), ("engine", lambda n: n.engine)):
        found = shares(profile, by)
        cells = [
            [str(s.count), f"{s.seconds * 1e3:.3f}", f"{s.share:.1%}", _rate(s.flops, s.seconds, 1e9)] for s in found
        ]
        names = [[s.name] for s in found]
        made += _table([heading], names, ["nodes", "ms", "share", "GFLOP/s"], cells, [True] * 4, width)
    nodes, run = sum(n.median for n in profile.nodes), median(profile.runs)
    threads = f"{profile.threads} thread{'s' * (profile.threads != 1)}"
    made += [
        "",
        f"  a run takes {milliseconds(run)} ms on {threads} (median of {len(profile.runs)}, nothing measured inside); "
        f"its nodes {milliseconds(nodes)} ms",
    ]
    if profile.flops_per_second and profile.bytes_per_second:
        made.append(
            f"  peak of {threads}, measured: {profile.flops_per_second / 1e9:,.0f} GFLOP/s of float32 multiply-adds, "
            f"{profile.bytes_per_second / 1e9:,.1f} GB/s read from memory"
        )
        if any(n.flops and n.flops / n.median > profile.flops_per_second for n in profile.nodes):
            made.append("  above 100 %: FLOPs are those of the direct algorithm, Winograd's does fewer")
    return [*made, ""]


def _table(
    first: Sequence[str],
    names: Sequence[Sequence[str]],
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    width: int,
) -> list[str]:
    """Lines no wider than the screen: names that are too long lose their beginning."""
    widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    room = max(width - sum(widths) - 2 * len(widths) - 2, NARROWEST)
    longest = min(max(map(cell_len, [*first, *(n for (n,) in names)])), room)

    def line(name: str, texts: Iterable[str]) -> str:
        made = set_cell_size(_cut(name, longest, head=False), longest)
        for text, w, side in zip(texts, widths, right, strict=True):
            gap = " " * (w - cell_len(text))
            made += "  " + (gap + text if side else text + gap)
        return f"  {made}".rstrip()

    rule = "  " + "─" * (longest + sum(widths) + 2 * len(widths))
    return ["", line(first[0], headings), rule, *(line(n, texts) for (n,), texts in zip(names, cells, strict=True))]


def _cut(text: str, width: int, *, head: bool = True) -> str:
    text = "".join(c if c.isprintable() else "·" for c in text)
    if cell_len(text) <= width:
        return text
    if head:
        return set_cell_size(text, width - 1).rstrip() + "…"
    while cell_len(text) > width - 1:
        text = text[1:]
    return "…" + text


def _rate(amount: int | None, seconds: float, unit: float) -> str:
    """A rate, empty where there is nothing to count."""
    if amount is None:
        return NOTHING
    rate = amount / seconds / unit if seconds else 0.0
    return "" if not amount else f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.1f}"


def as_json(model: str, profile: Profile) -> dict[str, Any]:
    """Everything but the trace, with what the figures mean."""
    whole = sum(node.median for node in profile.nodes) or 1.0
    return {
        "format": "striate.profile/1",
        "model": model,
        "machine": machine(),
        "threads": profile.threads,
        "figures": FIGURES,
        "flops_per_second": profile.flops_per_second,
        "bytes_per_second": profile.bytes_per_second,
        "run": {"median": median(profile.runs), "min": min(profile.runs), "runs": len(profile.runs)},
        "nodes": [
            {
                "name": node.name,
                "operators": list(node.operators),
                "engine": node.engine,
                "median": node.median,
                "min": min(node.times),
                "share": node.median / whole,
                "flops": node.flops,
                "nbytes": node.nbytes,
                "steps": [{"label": piece.label, "median": median(piece.times)} for piece in node.pieces],
            }
            for node in profile.nodes
        ],
        "by_operator": [vars(s) for s in shares(profile, lambda n: n.main)],
        "by_engine": [vars(s) for s in shares(profile, lambda n: n.engine)],
    }


def chrome_trace(model: str, profile: Profile) -> dict[str, Any]:
    """The quickest traced run: a line for the nodes, one for each thread."""
    threads = sorted({span.thread for span in profile.trace})
    names = {0: "nodes", **{thread + 1: f"thread {thread}" for thread in threads}}
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": f"striate: {model}"}},
    ]
    for line, name in names.items():
        events.append({"ph": "M", "pid": 1, "tid": line, "name": "thread_name", "args": {"name": name}})
        events.append({"ph": "M", "pid": 1, "tid": line, "name": "thread_sort_index", "args": {"sort_index": line}})
    for first, last, index in _whole(profile):
        node = profile.nodes[index]
        facts = {"operators": node.operator, "engine": node.engine, "flops": node.flops, "bytes": node.nbytes}
        events.append(_event(0, node.name, node.main, first, last, facts))
    for span in profile.trace:
        node = profile.nodes[span.node]
        facts = {"node": node.name, "operators": node.operator, "tasks": span.tasks}
        events.append(_event(span.thread + 1, span.label or node.operator, node.engine, span.begin, span.end, facts))
    return {"displayTimeUnit": "ns", "traceEvents": events}


def _whole(profile: Profile) -> list[tuple[float, float, int]]:
    """Begin and end of each uninterrupted stretch of a node, over all threads."""
    made: list[tuple[float, float, int]] = []
    for span in profile.trace:
        if made and made[-1][2] == span.node:
            first, last, _ = made.pop()
            made.append((min(first, span.begin), max(last, span.end), span.node))
        else:
            made.append((span.begin, span.end, span.node))
    return made


def _event(line: int, name: str, kind: str, begin: float, end: float, facts: dict[str, Any]) -> dict[str, Any]:
    times = {"ts": round(begin * 1e6, 3), "dur": round((end - begin) * 1e6, 3)}
    return {"ph": "X", "pid": 1, "tid": line, "name": name, "cat": kind, **times, "args": facts}
