"""Resize and Upsample of pictures by constant scales or to constant sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from ....errors import StriateError
from ....inference import constant
from ....ops._interpolation import Line, table
from ....ops.image import _DEFAULTS, _SIMPLE, _lines
from ..assembly import Assembly, Kind, Op, dims
from ..kernels.resize import MOST_TAPS, Taps, resize
from ..layouts import Blocked
from ._nodes import bound, is_float

OUTWARD = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "outward"}
"""What Resize does before opset 11, where it has no such attributes."""


@dataclass(eq=False)
class Scale(Op):
    """Resize and Upsample of height and width."""

    inputs: list[ir.Value]
    output: ir.Value
    rows: Taps
    columns: Taps

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"], "blocked"

    def emit(self, asm: Assembly) -> None:
        (x_slot, x), (y_slot, y) = asm.read(self.inputs[0], "blocked"), asm.write(self.output, "blocked")
        assert isinstance(x, Blocked)
        assert isinstance(y, Blocked)
        asm.zero_frame(y_slot, y)
        tables = self.rows.constants("rows", x.row) | self.columns.constants("columns", x.pixel)
        slots = {"x": x_slot, "y": y_slot} | {name: asm.constant(array) for name, array in tables.items()}
        asm.add(resize(x, y, self.rows, self.columns, slots))


def scaling(node: ir.Node) -> Op | None:
    x = node.inputs[0]
    if x is None or not is_float(x, node.outputs[0]) or len(dims(x)) not in (3, 4):
        return None
    if any(v is not None and constant(v) is None for v in node.inputs[1:]):
        return None
    try:
        lines, attributes = _plan(node, x)
    except StriateError:
        return None
    if any(axis < 2 for axis in lines):
        return None
    taps = [_taps(dims(x)[axis], lines.get(axis), attributes) for axis in range(2, len(dims(x)))]
    rows, columns = [Taps(np.zeros((1, 1))), *taps][-2:]
    return Scale([x], node.outputs[0], rows, columns) if rows is not None and columns is not None else None


def _plan(node: ir.Node, x: ir.Value) -> tuple[dict[int, Line], dict[str, Any]]:
    """Axes that change, and how places are chosen."""
    a, inputs = bound(node), [constant(v) for v in node.inputs[1:]]
    assert isinstance(node.graph, ir.Graph)
    version = node.graph.opset_imports[""]
    if node.op_type == "Upsample" or version < 11:
        scales = inputs[0] if inputs else np.asarray(a.get("scales") or _heights(a), np.float32)
        how = _SIMPLE if node.op_type == "Upsample" else OUTWARD
        mode = "linear" if a["mode"] == "bilinear" else a["mode"]
        return _lines(dims(x), None, scales, None, None, "stretch", False), {**_DEFAULTS, **how, "mode": mode}
    roi, scales, sizes = [*inputs, None, None, None][:3]
    attributes = {name: a.get(name, default) for name, default in _DEFAULTS.items()}
    crop = a["coordinate_transformation_mode"] == "tf_crop_and_resize"
    policy = a.get("keep_aspect_ratio_policy", "stretch")
    return _lines(dims(x), roi, scales, sizes, a.get("axes"), policy, crop), attributes


def _heights(a: dict[str, float]) -> list[float]:
    return [1, 1, a["height_scale"], a["width_scale"]]


def _taps(size: int, line: Line | None, attributes: dict[str, Any]) -> Taps | None:
    """The table of an axis; None if it has too many taps, or places outside of the picture."""
    if line is None:
        return Taps(np.arange(size)[:, None])
    made = table(line, **attributes)
    if made.source.shape[0] > MOST_TAPS or (made.outside is not None and made.outside.any()):
        return None
    return Taps(made.source.T, None if made.weights is None else made.weights.T)
