"""`striate bench`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Seed

__all__ = ["bench"]


def bench(
    model: Annotated[str, typer.Argument(help="An .onnx file, or `pretrained:NAME`.")],
    against: Annotated[
        Literal["onnxruntime", "nothing"], typer.Option(help="The runtime beside ours.")
    ] = "onnxruntime",
    script: Annotated[
        Path | None,
        typer.Option(
            help="A Python file that defines `run(inputs: dict[str, ndarray]) -> list[ndarray]`: PyTorch, or anything.",
            metavar="FILE.py",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="Ours: `native` (machine code), `arrays` (NumPy) or both; others are compared with the first.",
            metavar="NAME …",
        ),
    ] = None,
    threads: Annotated[
        list[str] | None, typer.Option(help="`1 2`: how many compute. Default: one for each core.", metavar="N …")
    ] = None,
    batch: Annotated[
        list[str] | None, typer.Option(help="`1 8 32`: sizes of open first dimensions. Default: 1.", metavar="N …")
    ] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", help="`NAME=2x3x224x224`, `NAME=FILE` or `FILE`; repeatable. Default: random normal."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="For the runs of each side.")] = 5.0,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that a side may stay silent.")] = 600.0,
    cold: Annotated[bool, typer.Option(help="Also bring up with an empty cache of machine code.")] = True,
    seed: Seed = 0,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.", metavar="FILE")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the figures (needs striate\\[plot]).", metavar="FILE")] = None,
) -> None:
    """Measures a model here, in onnxruntime and in a script of yours, side by side; exit code 1 if a side fails.

    Each side has a process of its own, and they take turns in short blocks, each of which begins when the others have
    stopped computing. Shown are the median of all runs and where 80 % of them lie; the ratio to ours (above 1: ours is
    faster); the seconds from the file to the first outputs, with and without compiled code in the cache (imports not
    counted, save those of a script); the most memory on the way and in the runs, less what the process had with
    imports and inputs; how many cores were busy; and the largest difference of any output from ours, divided by the
    range of ours.

    Examples:

        striate bench resnet50.onnx

        striate bench m.onnx --threads 1 2 --batch 1 8 32 --json m.json --png m.png

        striate bench m.onnx --input image=1x3x512x512 --engine native arrays

        striate bench m.onnx --script torch_model.py --against nothing
    """
    from ..bench.feeds import Inputs
    from ..bench.machine import cores
    from ..bench.measuring import Trial
    from ..bench.results import as_json, lines, run_all
    from ..bench.sides import OURS
    from ..runtime.errors import InvalidInput
    from .console import complain, say
    from .given import shapes_and_files
    from .inputs import read_inputs
    from .several import numbers, words
    from .sources import onnx_file
    from .status import status
    from .tables import screen_width
    from .writing import writable, write_json

    path = onnx_file(model)
    for file in (json, png):
        writable(file)
    if script is not None and not script.is_file():
        raise InvalidInput(f"script {str(script)!r} does not exist")
    sides = [*words("--engine", engine, OURS, "native"), *_others(against, script)]
    wanted = Inputs.of(path)
    shapes, files = shapes_and_files(input or (), [s.name for s in wanted.specs])
    arrays = read_inputs(wanted, files)
    counts, batches = numbers("--threads", threads, [cores()]), numbers("--batch", batch, [])
    sizes: list[int | None] = [*batches] or [None]
    cases = [wanted.feeds(shapes, size, seed, arrays) for size in sizes]
    del wanted
    with status("measuring") as say_now:
        trials = [Trial(path, feeds, n, sides, script, seconds, cold, timeout) for feeds in cases for n in counts]
        rows = run_all(trials, say_now)
    say(path.name, "bold")
    print("\n".join(lines(rows, screen_width())))
    if json is not None:
        write_json(json, as_json(path.name, rows))
    if png is not None:
        from ..bench.pictures import bars

        bars(png, path.name, rows)
        say(f"wrote {png}")
    faults = [f"{m.side}: {m.fault}" for row in rows for m in row.sides if m.fault]
    for fault in dict.fromkeys(faults):
        complain(fault)
    if faults:
        raise typer.Exit(1)


def _others(against: str, script: Path | None) -> list[str]:
    """The sides beside ours; a peer that is not installed is left out, and that is said."""
    from importlib.util import find_spec

    from .console import say

    found = []
    if against == "onnxruntime" and find_spec("onnxruntime") is None:
        say("onnxruntime is not installed (pip install 'striate[check]'): only ours is measured", "yellow")
    elif against == "onnxruntime":
        found.append("onnxruntime")
    return [*found, "script"] if script is not None else found
