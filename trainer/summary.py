"""The table that `Model.summary` prints."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from .layers import Layer

if TYPE_CHECKING:
    from .model import Model

_PLAIN_WIDTH = {"Sequential": 80, "Model": 110}
_PLAIN_BOX = box.Box("\n".join(["    ", "    ", " == ", *["    "] * 5]), ascii=True)


def summary_text(
    model: Model, line_length: int | None = None, *, show_trainable: bool = False, plain: bool = False
) -> str:
    """The table as text: coloured frames on a terminal, plain ASCII in files and pipes."""
    terminal = sys.stdout.isatty() and not plain
    width = line_length or (None if terminal else _PLAIN_WIDTH[model.serialize_as])
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, no_color=not terminal, highlight=False)
    console.print(f'Model: "{model.name}"', markup=False)
    console.print(_table(model, terminal, show_trainable, expand=line_length is not None))
    total = sum(w.size for w in model.parameters)
    trained = sum(w.size for w in model.trainable_weights)
    for label, count in (("Total", total), ("Trainable", trained), ("Non-trainable", total - trained)):
        console.print(f" {label} params: {count:,} ({_memory(4 * count)})")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.rstrip("\n").split("\n"))


def _table(model: Model, terminal: bool, show_trainable: bool, *, expand: bool) -> Table:
    style = box.HEAVY_HEAD if terminal else _PLAIN_BOX
    table = Table(box=style, show_edge=terminal, expand=expand, header_style="bold" if terminal else None)
    table.add_column("Layer (type)", overflow="fold")
    table.add_column("Output Shape", overflow="fold")
    table.add_column("Param #", justify="right", overflow="fold")
    connected = model.serialize_as != "Sequential"
    if connected:
        table.add_column("Connected to", overflow="fold")
    if show_trainable:
        table.add_column("Trainable")
    for layer in model.layers:
        row = [f"{model.name_of(layer)} ({type(layer).__name__})", _shapes(model, layer), _count(model, layer)]
        if connected:
            row.append(_sources(model, layer))
        if show_trainable:
            row.append("-" if not layer.weights else "Y" if layer.trainable else "N")
        table.add_row(*row)
    return table


def _shapes(model: Model, layer: Layer) -> str:
    """Each different output shape the layer has in this model."""
    own = [call.output for call in model.calls if call.layer is layer]
    own += [t for t, name in zip(model.inputs, model.input_names, strict=True) if name == model.name_of(layer)]
    return ", ".join(dict.fromkeys(_shape(t.shape) for t in own)) or "?"


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _count(model: Model, layer: Layer) -> str:
    return f"{layer.count_params():,}" if model.built else "0 (unbuilt)"


def _sources(model: Model, layer: Layer) -> str:
    names = dict(zip(model.inputs, model.input_names, strict=True))
    names |= {call.output: model.name_of(call.layer) for call in model.calls}
    sources = [names[t] for call in model.calls if call.layer is layer for t in call.inputs]
    return ", ".join(sources) or "-"


def _memory(size: float) -> str:
    """Bytes in the unit that suits them, 1024 to the next."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"
