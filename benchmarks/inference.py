"""Whole networks on the native engine beside onnxruntime: `python -m benchmarks.inference`.

The nine ImageNet models inside the onnx package, MobileNet-v2 and LeNet-5, at several batches and numbers of threads,
measured as `striate bench` does: each side in a process of its own, in short blocks by turns. With `--write` the table
goes to docs/inference.md; with `--keep FILE` figures are kept there, and what is there is not measured again.

The light models hold constant weights; each is replaced by random values scaled as He et al. (2015) propose, since
arithmetic on constants and denormals takes another time than on real weights. Their batch of 1 is made open.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import typer
from onnx import numpy_helper
from rich.console import Console

from benchmarks.mobilenet import mobilenet_v2
from striate import models
from striate.bench import Trial, machine, measure
from striate.bench.feeds import Inputs
from striate.runtime.files import atomic_write

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
PAGE = Path(__file__).parents[1] / "docs" / "inference.md"
SIDES = ("native", "onnxruntime")
LARGEST_LENET = 64
HEADINGS = (
    "model", "batch", "threads", "native ms", "ort ms", "ort ÷ native", "create s", "cold s", "ort create s",
    "peak MB", "ort peak MB", "diff/range",
)  # fmt: skip
Result = dict[str, Any]


def light(path: Path) -> bytes:
    """The model with an open batch, and scaled random normals for every constant tensor of more than one dimension."""
    model = onnx.load(path)
    graph = model.graph
    rng = np.random.default_rng(0)
    held = {t.name: t for t in graph.initializer}
    kept = []
    for node in graph.node:
        shape = numpy_helper.to_array(held[node.input[0]]).tolist() if node.op_type == "ConstantOfShape" else []
        if len(shape) < 2:
            kept.append(node)
            continue
        weights = (rng.standard_normal(shape, np.float32) * math.sqrt(2 / math.prod(shape[1:]))).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    for name in {node.input[1] for node in kept if node.op_type == "Reshape" and node.input[1] in held}:
        shape = numpy_helper.to_array(held[name]).copy()
        if shape[0] == 1:
            shape[0] = 0  # as many as there were
            held[name].CopyFrom(numpy_helper.from_array(shape, name))
    for value in (*(v for v in graph.input if v.name not in held), *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return bytes(model.SerializeToString())


def problems(batches: Sequence[int]) -> Iterator[tuple[str, Callable[[], bytes], list[int]]]:
    """(name, what makes the model, batches)."""
    for path in sorted(LIGHT.glob("*.onnx")):
        yield path.stem.removeprefix("light_"), lambda path=path: light(path), list(batches)
    yield "mobilenet_v2", mobilenet_v2, list(batches)
    yield "lenet5", lambda: ir.to_proto(models.lenet5().to_ir()).SerializeToString(), [*batches, LARGEST_LENET]


def measured(name: str, file: Path, batch: int, threads: int, seconds: float, cold: bool, say: Any) -> Result:
    """Both sides of one trial, as plain data."""
    feeds = Inputs.of(file).feeds({}, batch, seed=1)
    sides = measure(Trial(file, feeds, threads, SIDES, seconds=seconds, cold=cold), say)
    return {"model": name, "batch": batch, "threads": threads, "sides": [m.as_dict() for m in sides]}


def cells(result: Result) -> tuple[str, ...]:
    """A row of the table."""
    ours, theirs = result["sides"]
    return (
        result["model"], str(result["batch"]), str(result["threads"]),
        _text(ours["median"], 1e3, ".3g"), _text(theirs["median"], 1e3, ".3g"), _text(theirs["ratio"], 1, ".2f"),
        _text(ours["warm"], 1, ".2f"), _text(ours["cold"], 1, ".2f"), _text(theirs["warm"], 1, ".2f"),
        _text(ours["peak"], 1e-6, ".0f"), _text(theirs["peak"], 1e-6, ".0f"), _text(theirs["difference"], 1, ".0e"),
    )  # fmt: skip


def _text(number: float | None, unit: float, form: str) -> str:
    if number is None:
        return "–"
    number *= unit
    return f"{number:,.0f}" if form.endswith("g") and number >= 100 else f"{number:{form}}"


def table(results: Sequence[Result]) -> list[str]:
    """Lines that are a table on a terminal and in Markdown."""
    return aligned(HEADINGS, [cells(result) for result in results])


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as their widest cell; all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]

    def line(texts: Sequence[str]) -> str:
        padded = (t.rjust(w) if i else t.ljust(w) for i, (t, w) in enumerate(zip(texts, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths))
    return [line(headings), f"|{rule}|", *map(line, rows)]


def page(results: Sequence[Result]) -> str:
    """The table as a page, with what it was measured on and what the columns mean."""
    lines = [
        "# Inference: the native engine beside onnxruntime",
        "",
        f"`python -m benchmarks.inference --write`, {machine()}, onnxruntime {onnxruntime.__version__}.",
        "",
        "Random normal inputs and weights, float32. Each side has a process of its own and both take turns in short",
        "blocks; medians. `create`: seconds from the file to the first outputs, imports not counted; `cold`: ours with",
        "no compiled code in the cache. `peak MB`: the most memory resident from the file to the last run, less what",
        "the process had with imports and inputs. `diff/range`: the largest difference of an output ÷ its range.",
        "",
    ]
    return "\n".join([*lines, *table(results), ""])


def main(
    only: Annotated[str, typer.Option(help="Models whose name contains this.")] = "",
    threads: Annotated[str, typer.Option(help="Numbers, such as 1,2.")] = "1,2",
    batches: Annotated[str, typer.Option(help="Numbers, such as 1,8,32.")] = "1,8,32",
    seconds: Annotated[float, typer.Option(help="For the runs of each side of a trial.")] = 1.0,
    keep: Annotated[Path | None, typer.Option(help="Keep figures in this file, and go on from those in it.")] = None,
    write: Annotated[bool, typer.Option(help=f"Write docs/{PAGE.name}.")] = False,
) -> None:
    """Measure whole networks on the native engine and onnxruntime."""
    kept: list[Result] = json.loads(keep.read_text(encoding="utf-8")) if keep is not None and keep.exists() else []
    known = {(r["model"], r["batch"], r["threads"]): r for r in kept}
    counts = [int(n) for n in threads.split(",")]
    results: list[Result] = []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="striate-inference-") as folder, console.status("measuring") as status:
        for name, make, sizes in problems([int(n) for n in batches.split(",")]):
            trials = [(batch, n) for batch in dict.fromkeys(sizes) for n in counts if only in name]
            file = Path(folder, f"{name}.onnx")
            if any((name, *trial) not in known for trial in trials):
                file.write_bytes(make())
            for batch, n in trials:
                found = known.get((name, batch, n))
                if found is None:
                    head = f"{name}, batch {batch}, {n} thread{'s' * (n != 1)}: "
                    cold = batch == min(sizes)
                    found = measured(
                        name, file, batch, n, seconds, cold, lambda text, head=head: status.update(head + text)
                    )
                    if not any(side["fault"] for side in found["sides"]):
                        known[name, batch, n] = found
                    if keep is not None:
                        atomic_write(keep, json.dumps(list(known.values()), indent=1).encode())
                results.append(found)
            file.unlink(missing_ok=True)
    print("\n".join(table(results)))
    faults = [
        f"{r['model']}, batch {r['batch']}: {s['side']}: {s['fault']}"
        for r in results
        for s in r["sides"]
        if s["fault"]
    ]
    print("\n".join(faults), end="\n" * bool(faults))
    if write:
        atomic_write(PAGE, page(results).encode())
        print(f"wrote {PAGE}")
    if faults:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
