"""`striate check`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .options import Seed

if TYPE_CHECKING:
    import numpy as np

    from ..exporter.verify import Report
    from ..exporter.verify_report import CheckReport
    from ..exporter.verify_results import NodesReport

__all__ = ["check"]


def check(
    model: Annotated[str, typer.Argument(help="An .onnx file, or `pretrained:NAME`.")],
    input: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="`FILE` or `NAME=FILE`. Default: random valid inputs.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Allow |ours − theirs| ≤ TOLERANCE · (1 + |theirs|) everywhere. Default: by operator, see above.",
        ),
    ] = None,
    against: Annotated[
        Literal["onnxruntime", "reference", "float64"],
        typer.Option(help="`reference`: that of the onnx package. `float64`: our kernels on the model widened."),
    ] = "onnxruntime",
    samples: Annotated[int, typer.Option(min=1, help="The batch size of random inputs.")] = 4,
    seed: Seed = 0,
    every: Annotated[bool, typer.Option("--all", help="Show every node, not only the worst.")] = False,
    worst: Annotated[int, typer.Option(min=0, help="Show so many of the nodes that differ most.")] = 10,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Stop at the first node that differs, holding few values at once.")
    ] = False,
    memory: Annotated[
        int, typer.Option(min=1, help="MiB of values held of the other runtime; more are taken in several stretches.")
    ] = 1024,
    json: Annotated[Path | None, typer.Option(help="Write the report as JSON.", metavar="FILE")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML page.", metavar="FILE")] = None,
    reproducer: Annotated[
        Path | None,
        typer.Option(help="Folder for the first node that differs. Default: MODEL.reproducer.", metavar="FOLDER"),
    ] = None,
) -> None:
    """Runs an ONNX file here and in another runtime and compares the outputs and every node; exit code 1 if any differ.

    Outputs are compared as users compute them, with all optimisations. Nodes are compared one by one without: each of
    ours is given the inputs that the other runtime had ("max |diff|", "relative", "ULP"), so that it is blamed only for
    what it does itself; "from start" is the difference that has accumulated from the model's inputs on. The first
    node that differs is saved as a model of its own with its inputs. Where an optimisation alone makes outputs differ,
    its name is given.

    What is allowed ("÷ limit" is the difference over it: above 1 a node differs) depends on the operator: nothing for
    those that move or select; one rounding for +, −, ×, ÷; for sums, such as convolutions, 4 ε · (|y| + √K · M), where
    K is the number of terms, M the largest output (or what K products of the inputs' sizes come to) and ε that of the
    dtype; one step for quantised results. On outputs |ours − theirs| / (1 + |theirs|) may be 1e-5 for float32, 1e-10
    for float64, 0.01 for float16. The whole table is in exporter/verify_tolerance.py. NaN agrees with NaN. Outputs
    that no node reads are measured but not judged. Against `float64` both sides are our own kernels: that shows how
    much is lost by rounding, not whether a kernel computes the right thing.

    Examples:

        striate check lenet5.onnx

        striate check m.onnx --input x=batch.npy --tolerance 1e-6 --html report.html

        striate check large.onnx --bisect --memory 256 --against reference
    """
    from rich.console import Console

    from ..exporter.verify_report import CheckReport
    from ..runtime import InferenceSession
    from .console import show
    from .inputs import read_inputs
    from .sources import onnx_file
    from .writing import writable

    path = onnx_file(model)
    for file in (json, html):
        writable(file)
    session = InferenceSession(str(path))
    feeds = read_inputs(session, input) if input else _random(session, samples, seed)
    del session
    limit = (memory << 20) // 8 if bisect else memory << 20
    outputs, nodes = _compared(path, feeds, against, tolerance, limit, bisect)
    report = CheckReport(outputs, nodes, tolerance)
    if report.differing_outputs() and nodes.first is None:
        report = CheckReport(outputs, nodes, tolerance, _guilty_passes(path, feeds, report))
    show(outputs)
    show(report.table(None if every else worst, Console().width))
    for row in outputs.rows:
        if row.remark and not row.fault:
            _say_warning(f"output {row.name!r} {row.remark}: agreement proves little")
    _finish(report, model, json, html, reproducer or Path(f"{path.stem}.reproducer"))


def _random(session: object, samples: int, seed: int) -> dict[str, np.ndarray]:
    from ..exporter.verify import random_inputs

    return random_inputs(session, samples=samples, seed=seed)


def _compared(
    path: Path, feeds: dict[str, np.ndarray], against: str, tolerance: float | None, limit: int, bisect: bool
) -> tuple[Report, NodesReport]:
    from ..exporter import verify
    from ..exporter.verify_nodes import check_nodes
    from .progress import progress

    outputs = verify(path, feeds, against=against)
    with progress("comparing nodes") as update:
        nodes = check_nodes(
            path, feeds, against=against, tolerance=tolerance, memory=limit, stop_at_first=bisect, progress=update
        )
    return outputs, nodes


def _guilty_passes(path: Path, feeds: dict[str, np.ndarray], report: CheckReport) -> tuple[str, ...]:
    from ..exporter.verify_passes import guilty_of

    return guilty_of(path, feeds, report)


def _finish(report: CheckReport, model: str, json: Path | None, html: Path | None, folder: Path) -> None:
    """The verdict, the files, the exit code."""
    from json import dumps

    from ..exporter.verify_html import page
    from ..exporter.verify_reproducer import write_reproducer
    from ..runtime.files import atomic_write
    from .console import complain, say

    verdict, content = report.verdict(), report.as_json()
    if json is not None:
        atomic_write(json, dumps(content, indent=1, allow_nan=False).encode())
        say(f"wrote {json}")
    if html is not None:
        atomic_write(html, page(content, verdict).encode())
        say(f"wrote {html}")
    if report.ok:
        say(verdict, "green")
        return
    complain(f"{model}: {verdict}")
    if report.nodes.first is not None and report.nodes.evidence is not None:
        command = write_reproducer(report.nodes.evidence, folder, report.nodes.first.title)
        say(f"saved that node and its inputs in {folder}; run it with: {command}")
    raise typer.Exit(1)


def _say_warning(text: str) -> None:
    from .console import say

    say(text, "yellow")
