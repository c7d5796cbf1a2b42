"""`striate profile`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Seed

__all__ = ["profile"]


def profile(
    model: Annotated[str, typer.Argument(help="An .onnx file, or `pretrained:NAME`.")],
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many compute. Default: one for each core.", metavar="N")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="The size of open first dimensions. Default: 1.")] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", help="`NAME=2x3x224x224`, `NAME=FILE` or `FILE`; repeatable. Default: random normal."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs that are timed.")] = 20,
    engine: Annotated[Literal["native", "arrays"], typer.Option(help="Machine code, or NumPy.")] = "native",
    top: Annotated[int, typer.Option(min=1, help="Show so many of the nodes that take longest.")] = 25,
    seed: Seed = 0,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that all of it may take.")] = 600.0,
    trace: Annotated[
        Path | None, typer.Option(help="Write one run, thread by thread, for ui.perfetto.dev.", metavar="FILE.json")
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(help="Draw the hottest nodes and the roofline (needs striate\\[plot]).", metavar="FILE"),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.", metavar="FILE")] = None,
) -> None:
    """Shows where the time of a run goes: each node's time, speed, share and engine; totals by operator and by engine.

    The model runs as it always does, optimised and, where that is possible, as machine code; a node that was computed
    together with others is one line with them. Times inside machine code are read from the processor's clock around
    each task; waiting for other threads counts. FLOPs are those of the direct algorithm; the peak is that of a loop of
    multiply-adds on this machine, with as many threads. BLAS has no more threads than the model.

    Examples:

        striate profile resnet50.onnx

        striate profile m.onnx --threads 1 --batch 8 --top 10 --png m.png

        striate profile m.onnx --trace m.json
    """
    from ..bench.feeds import Inputs
    from ..bench.machine import cores
    from ..bench.profile_report import as_json, chrome_trace, lines, totals
    from ..bench.profiler import profiled
    from .console import say
    from .given import shapes_and_files
    from .inputs import read_inputs
    from .sources import onnx_file
    from .status import status
    from .tables import screen_width
    from .writing import writable, write_json

    path = onnx_file(model)
    for file in (trace, png, json):
        writable(file)
    wanted = Inputs.of(path)
    shapes, files = shapes_and_files(input or (), [s.name for s in wanted.specs])
    feeds = wanted.feeds(shapes, batch, seed, read_inputs(wanted, files))
    del wanted
    with status("running the model"):
        found = profiled(path, feeds, threads or cores(), engine, runs, timeout)
    width = screen_width()
    say(f"{path.name}: {', '.join('×'.join(map(str, a.shape)) or 'scalar' for a in feeds.values())}", "bold")
    print("\n".join([*lines(found, top, width), *totals(found, width)]))
    if json is not None:
        write_json(json, as_json(path.name, found))
    if trace is not None:
        write_json(trace, chrome_trace(path.name, found))
    if png is not None:
        from ..bench.profile_pictures import picture

        picture(png, path.name, found)
        say(f"wrote {png}")
