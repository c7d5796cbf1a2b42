"""`striate check`"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .options import Seed

__all__ = ["check"]


def check(
    model: Annotated[str, typer.Argument(help="An .onnx file.")],
    input: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="`FILE` or `NAME=FILE`. Default: random valid inputs.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Allowed |ours − theirs| / (1 + |theirs|).")] = 1e-5,
    against: Annotated[
        Literal["onnxruntime", "reference"],
        typer.Option(help="The other runtime; `reference` is that of the onnx package."),
    ] = "onnxruntime",
    samples: Annotated[int, typer.Option(min=1, help="The batch size of random inputs.")] = 4,
    seed: Seed = 0,
) -> None:
    """Runs an ONNX file here and in another runtime and compares the outputs; exit code 1 if they differ.

    Examples:

        striate check lenet5.onnx

        striate check m.onnx --input x=batch.npy --tolerance 1e-6
    """
    from ..exporter import verify
    from .console import complain, say, show
    from .sources import onnx_file

    path = onnx_file(model)
    feeds = None
    if input:
        from ..runtime import InferenceSession
        from .inputs import read_inputs

        feeds = read_inputs(InferenceSession(str(path)), input)
    report = verify(path, feeds, against=against, samples=samples, seed=seed)
    show(report)
    for row in report.rows:
        if row.remark and not row.fault:
            say(f"output {row.name!r} {row.remark}: agreement proves little", "yellow")
    if not report.ok(tolerance):
        worst = max(report.rows, key=lambda row: row.max_scaled)
        measured = worst.fault or f"|ours − theirs| / (1 + |theirs|) is {worst.max_scaled:.3g}, more than {tolerance:g}"
        complain(f"{model}: output {worst.name!r} differs from {against}: {measured}")
        raise typer.Exit(1)
    outputs = "the output agrees" if len(report.rows) == 1 else f"all {len(report.rows)} outputs agree"
    say(f"{outputs} within {tolerance:g}", "green")
