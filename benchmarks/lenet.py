"""LeNet-5 at batch 64: inference beside onnxruntime, a training step on NumPy: `python -m benchmarks.lenet`.

Inference alternates between the two in one process, in short blocks, so that both see the same machine; medians and
their ratio are printed. Each block begins after a pause and an uncounted run: idle threads of onnxruntime spin for a
while and would slow whatever runs next.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import onnx_ir as ir
import onnxruntime
from rich.console import Console
from rich.table import Table

from striate import models
from striate.runtime import InferenceSession

BATCH = 64
ROUNDS = 8
RUNS = 6
PAUSE = 0.1
"""Seconds between blocks."""


def milliseconds(*functions: Callable[[], object]) -> list[float]:
    """Median time of each function, called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for own, function in zip(times, functions, strict=True):
            time.sleep(PAUSE)
            function()
            for _ in range(RUNS):
                begin = time.perf_counter()
                function()
                own.append((time.perf_counter() - begin) * 1e3)
    return [median(t) for t in times]


def import_seconds() -> float:
    """Median time of a fresh process importing the runtime, less that of one importing nothing."""

    def process(code: str) -> float:
        runs = []
        for _ in range(7):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            runs.append(time.perf_counter() - begin)
        return median(runs)

    return process("import striate.runtime") - process("pass")


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, 32, 32, 1), np.float32)
    y = rng.integers(0, 10, BATCH)
    model = models.lenet5()
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    data = ir.to_proto(model.to_ir()).SerializeToString()
    name = model.input_names[0]
    ours, theirs = InferenceSession(data), onnxruntime.InferenceSession(data)
    inference, peer = milliseconds(lambda: ours.run(None, {name: x}), lambda: theirs.run(None, {name: x}))
    (step,) = milliseconds(lambda: model.fit(x, y, batch_size=BATCH, verbose=0))
    table = Table("LeNet-5, batch 64", "time", "limit", "onnxruntime", "ratio")
    table.add_row("inference", f"{inference:.2f} ms", "12 ms", f"{peer:.2f} ms", f"{inference / peer:.1f}")
    table.add_row("training step (fit of one batch, NumPy)", f"{step:.2f} ms", "40 ms", "–", "–")
    table.add_row("import striate.runtime", f"{import_seconds():.3f} s", "0.3 s", "–", "–")
    Console().print(table)


if __name__ == "__main__":
    main()
