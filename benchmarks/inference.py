"""Whole networks on both engines beside onnxruntime: `python -m benchmarks.inference`.

The nine ImageNet models inside the onnx package, at batch 1, and LeNet-5 at batch 1 and 64. For each number of threads
the native engine and onnxruntime take turns in one process, in short blocks after a pause and an uncounted run (idle
threads of onnxruntime spin for a while); NumPy comes last. Medians and the ratio onnxruntime ÷ ours are printed, with
`--write` to docs/inference.md too.

The light models hold constant weights; each is replaced by random values scaled as He et al. (2015) propose, since
arithmetic on constants and denormals takes another time than on real weights.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import numpy_helper
from rich.console import Console
from rich.progress import track
from rich.table import Table

from striate import models, runtime

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
PAGE = Path(__file__).parents[1] / "docs" / "inference.md"
ROUNDS, RUNS, PAUSE = 7, 3, 0.06
HEADINGS = (
    "model",
    "threads",
    "arrays ms",
    "native ms",
    "ort ms",
    "ort ÷ native",
    "create s",
    "ort create s",
    "diff/range",
)


@dataclass(frozen=True)
class Row:
    """One model at one number of threads; times in milliseconds, creation in seconds."""

    model: str
    threads: int
    arrays: float
    native: float
    peer: float
    created: float
    peer_created: float
    difference: float

    def cells(self) -> tuple[str, ...]:
        times = (f"{t:.3g}" for t in (self.arrays, self.native, self.peer))
        ratio = f"{self.peer / self.native:.2f}"
        return (
            self.model, str(self.threads), *times, ratio, f"{self.created:.2f}", f"{self.peer_created:.2f}",
            f"{self.difference:.0e}",
        )  # fmt: skip


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


def lenet() -> bytes:
    """LeNet-5 with a symbolic batch."""
    return ir.to_proto(models.lenet5().to_ir()).SerializeToString()


def problems() -> Iterator[tuple[str, Callable[[], bytes], int]]:
    """(name, model, batch); models are made when their turn comes."""
    for path in sorted(LIGHT.glob("*.onnx")):
        yield path.stem.removeprefix("light_"), lambda path=path: with_random_weights(path).SerializeToString(), 1
    for batch in (1, 64):
        yield f"lenet5 batch {batch}", lenet, batch


def session(data: bytes, threads: int, engine: str) -> tuple[Any, float]:
    """A session of `arrays`, `native` or `onnxruntime`, and the seconds it took to make it."""
    module: Any = onnxruntime if engine == "onnxruntime" else runtime
    options = module.SessionOptions()
    options.intra_op_num_threads = threads
    if module is runtime:
        options.add_session_config_entry("striate.engine", engine)
    begin = time.perf_counter()
    made = module.InferenceSession(data, options)
    return made, time.perf_counter() - begin


def measured(name: str, data: bytes, batch: int, threads: int) -> Row:
    """The three engines in turn."""
    sessions, created = {}, {}
    for engine in ("native", "onnxruntime", "arrays"):
        sessions[engine], created[engine] = session(data, threads, engine)
    rng = np.random.default_rng(1)
    feeds = {
        i.name: rng.standard_normal([d if isinstance(d, int) else batch for d in i.shape], np.float32)
        for i in sessions["native"].get_inputs()
    }
    begin = time.perf_counter()
    mine = sessions["native"].run(None, feeds)[0]  # the plan, and with it the machine code, is made now
    created["native"] += time.perf_counter() - begin
    right = sessions["onnxruntime"].run(None, feeds)[0]
    times: dict[str, list[float]] = {engine: [] for engine in sessions}
    # OpenBLAS's threads spin for long after NumPy's products, so NumPy does not take turns but comes last.
    turns = [engine for _ in range(ROUNDS) for engine in ("native", "onnxruntime")] + ["arrays"] * ROUNDS
    for engine in turns:
        time.sleep(PAUSE)
        sessions[engine].run(None, feeds)
        for _ in range(RUNS):
            begin = time.perf_counter()
            sessions[engine].run(None, feeds)
            times[engine].append((time.perf_counter() - begin) * 1e3)
    ours, theirs, peer = (median(times[e]) for e in ("arrays", "native", "onnxruntime"))
    difference = np.abs(mine - right).max() / np.ptp(right)
    return Row(name, threads, ours, theirs, peer, created["native"], created["onnxruntime"], float(difference))


def page(rows: list[Row]) -> str:
    """The table as a page, with what it was measured on."""
    lines = ["# Inference: native and arrays engine beside onnxruntime", ""]
    lines += [f"`python -m benchmarks.inference --write`, {machine()}, onnxruntime {onnxruntime.__version__}.", ""]
    lines += [
        "Batch 1 unless said; medians of alternating blocks in one process; `create` includes the first run, which"
    ]
    lines += ["makes the plan (machine code from a warm cache). The arrays engine is NumPy with its own threads.", ""]
    lines += [f"| {' | '.join(HEADINGS)} |", "|---|" + "--:|" * (len(HEADINGS) - 1)]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Cores and processor."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = found[0] if found else name
    return f"{os.cpu_count()} cores ({name})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Whole networks on both engines beside onnxruntime.")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    given = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)  # it warns of every initializer that nothing reads
    chosen = [p for p in problems() if given.only in p[0]]
    rows = []
    for name, make, batch in track(chosen, "measuring", console=Console(stderr=True)):
        data = make()
        rows += [measured(name, data, batch, threads) for threads in given.threads]
    table = Table()
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    Console(width=None if Console().is_terminal else 110).print(table)
    if given.write:
        PAGE.write_text(page(rows), encoding="utf-8")
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
