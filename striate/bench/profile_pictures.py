"""A profile drawn: the hottest nodes as bars, and all nodes under the machine's roofline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..pictures.style import FAINT, new_figure, save
from ..runtime.profile import NodeTime, Profile
from .machine import machine
from .profile_report import shares
from .results import milliseconds

__all__ = ["picture"]

BARS = 20
PALETTE = ("#1f5fa8", "#d9730d", "#3f8f4f", "#8e5bb0", "#c0392b", "#8a6d3b", "#d36fa8", "#2a9d9d")
OTHER = "#9a9a9a"
NAME, LABEL = 34, 26


def picture(path: Path, title: str, profile: Profile) -> None:
    """Bars beside the roofline; nodes have the colour of the operator that computes most of them."""
    kinds = [s.name for s in shares(profile, lambda n: n.main)]
    colours = {name: PALETTE[i] if i < len(PALETTE) else OTHER for i, name in enumerate(kinds)}
    hottest = sorted(profile.nodes, key=lambda n: -n.median)[:BARS]
    drawable = profile.flops_per_second and profile.bytes_per_second
    figure = new_figure(13.5 if drawable else 7.5, 1.7 + 0.26 * max(len(hottest), 12))
    left, *right = figure.subplots(1, 2 if drawable else 1, squeeze=False)[0]
    _bars(left, hottest, profile, colours)
    if right:
        _roofline(right[0], profile, colours)
    threads = f"{profile.threads} thread{'s' * (profile.threads != 1)}"
    figure.suptitle(
        f"{title}: {milliseconds(median(profile.runs))} ms a run, {threads}", fontsize=12, fontweight="bold"
    )
    figure.supxlabel(machine(), fontsize=8, color=FAINT, x=0.99, ha="right")
    save(figure, path)


def _bars(axes: Any, nodes: Sequence[NodeTime], profile: Profile, colours: dict[str, str]) -> None:
    whole = sum(n.median for n in profile.nodes) or 1.0
    for i, node in enumerate(nodes):
        axes.barh(i, node.median * 1e3, color=colours[node.main], height=0.75)
        axes.plot([min(node.times) * 1e3] * 2, [i - 0.37, i + 0.37], color="white", linewidth=1)
        text = f" {node.median / whole:.1%}" + (f"  {_cut(node.label, LABEL)}" if node.label else "")
        axes.text(node.median * 1e3, i, text, va="center", fontsize=7, color=FAINT)
    axes.set_yticks(range(len(nodes)), [_short(node) for node in nodes], fontsize=8)
    axes.set_ylim(len(nodes) - 0.4, -0.6)
    axes.set_xlim(0, max((n.median for n in nodes), default=1.0) * 1.45e3)
    axes.set_xlabel("ms of a run (bar: median, white line: least)", fontsize=9)
    axes.set_title(f"{len(nodes)} of {len(profile.nodes)} nodes", fontsize=10, loc="left")
    _bare(axes)


def _roofline(axes: Any, profile: Profile, colours: dict[str, str]) -> None:
    flops, reads = profile.flops_per_second or 1.0, profile.bytes_per_second or 1.0
    nodes = [n for n in profile.nodes if n.flops and n.nbytes and n.median]
    at = np.array([(n.flops or 0) / (n.nbytes or 1) for n in nodes])
    speed = np.array([(n.flops or 0) / n.median for n in nodes])
    low, high = (float(at.min()) / 2, float(at.max()) * 2) if nodes else (0.1, 100.0)
    low, high = min(low, flops / reads / 4), max(high, flops / reads * 4)
    x = np.geomspace(low, high, 200)
    axes.plot(x, np.minimum(flops, x * reads) / 1e9, color="black", linewidth=1.2)
    axes.text(high, flops / 1e9 * 1.08, f"{flops / 1e9:,.0f} GFLOP/s", ha="right", fontsize=8)
    axes.text(flops / reads / 2, flops / 1e9 * 0.62, f"{reads / 1e9:.1f} GB/s from memory", ha="right", fontsize=8)
    note = "above the roof: values that stay in a cache; Winograd, which does fewer FLOPs"
    axes.text(0.01, 0.985, note, fontsize=7, color=FAINT, transform=axes.transAxes, va="top")
    whole = sum(n.median for n in profile.nodes) or 1.0
    seen: set[str] = set()
    for node, intensity, rate in sorted(zip(nodes, at, speed, strict=True), key=lambda t: -t[0].median):
        label = node.main if node.main not in seen else None
        seen.add(node.main)
        size = 12 + 900 * node.median / whole
        axes.scatter(intensity, rate / 1e9, size, colours[node.main], label=label, alpha=0.65, linewidths=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=3 * max(flops, float(speed.max()) if nodes else 0.0) / 1e9)
    axes.set_xlabel("FLOPs of the direct algorithm per byte read or written", fontsize=9)
    axes.set_ylabel("GFLOP/s", fontsize=9)
    axes.set_title("roofline; area: share of the time", fontsize=10, loc="left")
    axes.grid(alpha=0.25, which="major")
    if nodes:
        legend = axes.legend(frameon=False, fontsize=8, loc="lower right")
        for handle in legend.legend_handles:
            handle.set_sizes([40])
    _bare(axes)


def _short(node: NodeTime) -> str:
    name = node.name if len(node.name) <= NAME else f"…{node.name[1 - NAME :]}"
    return f"{name}  {_cut(node.operator, NAME)}".replace("$", r"\$")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _bare(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
