"""The nine ImageNet models inside the onnx package, on NumPy, beside onnxruntime: `python -m benchmarks.light_models`.

Their weights are constants; each is replaced by random values scaled as He et al. (2015) propose, since arithmetic on
constants and denormals takes another time than on real weights.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from rich.console import Console
from rich.table import Table

from striate.runtime import InferenceSession

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def with_random_weights(path: Path) -> onnx.ModelProto:
    """The model with every constant tensor of more than one dimension replaced by scaled random normals."""
    model = onnx.load(path)
    rng = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "ConstantOfShape" else None
        if shape is None or len(shape) < 2:
            kept.append(node)
            continue
        scale = math.sqrt(2.0 / math.prod(shape[1:]))
        weights = (rng.standard_normal(shape, np.float32) * scale).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def seconds(session: Any, feeds: dict[str, np.ndarray]) -> float:
    """The best of three runs."""
    runs = []
    for _ in range(3):
        begin = time.perf_counter()
        session.run(None, feeds)
        runs.append(time.perf_counter() - begin)
    return min(runs)


def main() -> None:
    onnxruntime.set_default_logger_severity(3)  # it warns of every initializer that nothing reads
    table = Table("seconds", "create", "run", "limit", "ort run", "ratio", "diff / range")
    for path in sorted(FOLDER.glob("*.onnx")):
        data = with_random_weights(path).SerializeToString()
        begin = time.perf_counter()
        ours = InferenceSession(data)
        created = time.perf_counter() - begin
        theirs = onnxruntime.InferenceSession(data)
        inputs = {i.name: np.random.default_rng(1).standard_normal(i.shape, np.float32) for i in ours.get_inputs()}
        mine, peer = seconds(ours, inputs), seconds(theirs, inputs)
        a, b = ours.run(None, inputs)[0], theirs.run(None, inputs)[0]
        off = np.abs(a - b).max() / np.ptp(b)
        table.add_row(
            path.stem.removeprefix("light_"),
            f"{created:.2f}",
            f"{mine:.3f}",
            "5",
            f"{peer:.3f}",
            f"{mine / peer:.1f}",
            f"{off:.1e}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
