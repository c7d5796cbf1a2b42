"""Every architecture trained, exported and run beside onnxruntime: `python -m benchmarks.models`.

For each registered name: one epoch on a few random samples, export, onnx's checker, then the file in Striate and in
onnxruntime, timed at batch 1 in one process and by turns. Parameters and MACs are those of the maker's defaults. Exits
with 1 if a count is not the published one or outputs differ by more than `LIMIT` of their range. `--write` renews
docs/models.md.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import typer
from rich.console import Console

from benchmarks.inference import aligned
from benchmarks.lenet import milliseconds
from striate import models
from striate.bench import machine
from striate.models.published import PUBLISHED
from striate.runtime import InferenceSession, cost
from striate.runtime.files import atomic_write
from striate.trainer import Model, layers

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
LIMIT = 1e-4
SAMPLES = 8
BATCH = 4
FEW = 2
FEW_ABOVE = 2e9
"""MACs of a sample above which there are only `FEW`."""
REDUCED: dict[str, dict[str, Any]] = {
    "unet": {"input_shape": (188, 188, 1)},
}
"""What is trained in place of the defaults where those take more than a minute."""
HEADINGS = (
    "model", "parameters", "published", "fixed", "MACs (M)", "trained on", "training s", "ours ms", "ort ms",
    "diff/range",
)  # fmt: skip


class Result(NamedTuple):
    """What is known of one architecture; times in seconds, and in milliseconds for inference."""

    name: str
    parameters: int
    fixed: int
    macs: int
    trained_on: str
    training: float
    inference: float
    peer: float
    difference: float

    @property
    def fault(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        published = PUBLISHED[self.name]
        if (self.parameters, self.fixed) != published[:2]:
            return f"{self.name}: {self.parameters:,} and {self.fixed:,} fixed parameters, published {published[:2]}"
        if not self.difference <= LIMIT:
            return f"{self.name}: outputs differ from onnxruntime's by {self.difference:.1e} of their range"
        return ""

    def cells(self) -> tuple[str, ...]:
        published = PUBLISHED[self.name]
        return (
            self.name,
            f"{self.parameters:,}",
            f"{published.trainable:,}" if published.source else "–",
            f"{self.fixed:,}" if self.fixed else "–",
            f"{self.macs / 1e6:,.3g}" if self.macs < 1e9 else f"{self.macs / 1e6:,.0f}",
            self.trained_on,
            f"{self.training:.2f}",
            f"{self.inference:.3g}",
            f"{self.peer:.3g}",
            f"{self.difference:.0e}",
        )


def macs_of(model: Model) -> int:
    """Multiply-accumulates of one sample."""
    return cost.analyse(ir.Model(model.graph().clone(), ir_version=10), batch=1).macs


def samples(model: Model, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random inputs of the model's shape: numbers of words for embeddings, else numbers in [0, 1)."""
    ((_, shape, dtype),) = model.input_specs
    size = [count, *(d for d in shape[1:] if d is not None)]
    tables = [layer.input_dim for layer in model.layers if isinstance(layer, layers.Embedding)]
    return rng.integers(0, min(tables), size, dtype) if tables else rng.random(size, np.float32).astype(dtype)


def trained(model: Model, x: np.ndarray, rng: np.random.Generator) -> float:
    """Seconds that one epoch takes on random labels, preparing included.

    Running statistics take the last batch's at once: with those of the beginning, deep networks would have the same
    outputs for all inputs after so few steps, and there would be nothing to compare.
    """
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    *places, classes = model.outputs[0].shape[1:]
    y = rng.integers(0, classes, [len(x), *places])
    model.compile("adam", "sparse_categorical_crossentropy")
    begin = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, verbose=0)
    return time.perf_counter() - begin


def measured(name: str, folder: Path, rng: np.random.Generator) -> Result:
    """Trains, exports and runs one architecture."""
    default = models.get(name)
    macs = macs_of(default)
    model = models.get(name, **REDUCED[name]) if name in REDUCED else default
    count = FEW if macs_of(model) > FEW_ABOVE else SAMPLES
    x = samples(model, count, rng)
    training = trained(model, x, rng)
    file = folder / "model.onnx"
    model.export(file)
    onnx.checker.check_model(file, full_check=True)
    data = with_logits(file)
    ours, theirs = InferenceSession(data), onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    feeds = {model.input_names[0]: x}
    pairs = zip(ours.run(None, feeds), theirs.run(None, feeds), strict=True)
    difference = max(float(np.abs(found - expected).max() / np.ptp(expected)) for found, expected in pairs)
    one, wanted = {model.input_names[0]: x[:1]}, model.output_names
    inference, peer = milliseconds(lambda: ours.run(wanted, one), lambda: theirs.run(wanted, one))
    shape = "×".join(map(str, x.shape[1:]))
    return Result(
        name,
        sum(w.size for w in default.trainable_weights),
        sum(w.size for w in default.non_trainable_weights),
        macs,
        f"{count} of {shape}",
        training,
        inference,
        peer,
        difference,
    )


def with_logits(file: Path) -> bytes:
    """The file's model with one more output: what its last softmax gets, which tells more than what it makes."""
    model = onnx.load(file)
    makers = {name: node for node in model.graph.node for name in node.output}
    last = makers[model.graph.output[0].name]
    if last.op_type == "Transpose":
        last = makers[last.input[0]]
    if last.op_type == "Softmax":
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(last.input[0]))
    return model.SerializeToString()


def page(results: Sequence[Result]) -> str:
    """The table as a page, with what it was measured on, what the columns mean, and where the counts come from."""
    lines = [
        "# Architectures by name",
        "",
        f"`python -m benchmarks.models --write`, {machine()}, onnxruntime {onnxruntime.__version__}.",
        "",
        "`models.get(name)` makes each of these; the docstring of `models.<name>` has its table of layers. Parameters",
        "are trainable ones; `fixed` are running statistics, and weights set by hand. MACs are one sample's, in",
        "millions. Each was trained for one epoch of random samples on NumPy, batches of 4 (preparing included), was",
        "exported, passed onnx's checker, and was run with all cores. `trained on`: samples and their shape, smaller",
        "than the default where that would take more than a minute; times, of batch 1, and the difference are for that",
        "shape. `diff/range`: the largest difference between our and onnxruntime's outputs for all samples, or what",
        "the last softmax gets, ÷ their range.",
        "",
        *aligned(HEADINGS, [r.cells() for r in results]),
        "",
        "Who counts so:",
        "",
        *(f"- `{r.name}`: {PUBLISHED[r.name].source or 'nobody; the sum of its layers'}" for r in results),
        "",
    ]
    return "\n".join(lines)


def main(
    only: Annotated[list[str] | None, typer.Option(help="A name; may be given several times.")] = None,
    write: Annotated[bool, typer.Option(help=f"Write docs/{PAGE.name}.")] = False,
) -> None:
    """Train, export and run every architecture."""
    unknown = [name for name in only or () if name not in models.names()]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is unknown; expected some of: {', '.join(models.names())}")
    if write and only:
        raise typer.BadParameter("--write renews the whole page; leave --only out")
    names = only or models.names()
    results = []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="striate-models-") as folder:
        for number, name in enumerate(names, 1):
            begin = time.perf_counter()
            results.append(measured(name, Path(folder), np.random.default_rng(0)))
            gc.collect()
            console.print(f"{number}/{len(names)} {name}: {time.perf_counter() - begin:.1f} s", highlight=False)
    print("\n".join(aligned(HEADINGS, [r.cells() for r in results])))
    faults = [r.fault for r in results if r.fault]
    print("\n".join(faults), end="\n" * bool(faults))
    if faults:
        raise typer.Exit(1)
    if write:
        atomic_write(PAGE, page(results).encode())
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    typer.run(main)
