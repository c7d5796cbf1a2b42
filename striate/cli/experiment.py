"""`striate experiment`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["experiment"]

experiment = typer.Typer(
    help="Repeats experiments of the lecture on real data: a table, the same as CSV, and a picture.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Out = Annotated[Path, typer.Option("--out", help="Where the table and the picture go.", metavar="FOLDER")]
Seeds = Annotated[
    int, typer.Option("--seeds", min=1, max=100, help="How often each network is trained, from other first weights.")
]
Epochs = Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training digits.")]


@experiment.command()
def sharing(seeds: Seeds = 5, epochs: Epochs = 8, out: Out = Path("experiment")) -> None:
    """What local connections and shared weights are worth: Net-1 to Net-5 of LeCun (1989) on real digits.

    The UCI digits are brought to 16×16, and tested as they are (centred), and with each at four positions from side to
    side (moved), as in 1989. The same examples are kept for the test every time. Shown are the mean accuracy and its
    standard deviation over the seeds. Writes `sharing.csv` and `sharing.png`.

    Examples:

        striate experiment sharing

        striate experiment sharing --seeds 10 --epochs 20 --out result
    """
    from ..experiments import sharing as work

    _train(work, "sharing", "Five networks", seeds, epochs, out)


@experiment.command()
def depth(seeds: Seeds = 3, epochs: Epochs = 20, out: Out = Path("experiment")) -> None:
    """Accuracy against depth at equal parameters, and how much wide, shallow networks overfit.

    Digits of 8×8 pixels stand somewhere in 12×12. Convolutional networks of one to eight layers have at most 2,500
    parameters each; then networks of four convolutions, and of one and three dense layers, grow. Writes `depth.csv` and
    `depth.png`.

    Examples:

        striate experiment depth

        striate experiment depth --seeds 5 --epochs 40 --out result
    """
    from ..experiments import depth as work

    _train(work, "depth", "Deep and shallow", seeds, epochs, out)


@experiment.command()
def pooling(
    image: Annotated[
        str, typer.Option("--image", help="`china`, `flower` (scikit-learn's photographs), or a picture file.")
    ] = "china",
    window: Annotated[
        list[int] | None,
        typer.Option("--window", min=1, help="Pixels a side; repeatable. Default: 2, 4, 8 and 16."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the table and the picture go.", metavar="FOLDER")] = Path(
        "experiment"
    ),
) -> None:
    """Max, average and L2 pooling of a photograph: what is left of it, and in which shape.

    Writes `pooling.csv` and `pooling.png`.

    Examples:

        striate experiment pooling

        striate experiment pooling --image flower --window 4 --window 32 --out result

        striate experiment pooling --image portrait.jpg
    """
    from ..experiments import pooling as work
    from .console import grid, show
    from .progress import progress

    csv, png = _files(out, "pooling")
    photograph = work.photograph(image)
    with progress("pooling", stderr=True) as tell:
        found = work.run(photograph, sorted(set(window or work.WINDOWS)), tell)
    show(grid(f"Pooling {image}", work.COLUMNS, work.table(photograph, found)))
    work.write_table(csv, photograph, found)
    work.draw(png, photograph, found)
    _wrote(csv, png)


def _train(work: Any, name: str, title: str, seeds: int, epochs: int, out: Path) -> None:
    """Runs an experiment of `striate.experiments` that trains, shows its table, and writes both files."""
    from .console import grid, say, show
    from .progress import progress

    csv, png = _files(out, name)
    with progress(name, stderr=True) as tell:
        rows = work.run(seeds, epochs, tell)
    times = "each trained once" if seeds == 1 else f"each trained {seeds} times"
    show(grid(f"{title}, {times}", work.COLUMNS, work.table(rows)))
    say(work.NOTE, "dim")
    work.write_table(csv, rows)
    work.draw(png, rows)
    _wrote(csv, png)


def _files(out: Path, name: str) -> tuple[Path, Path]:
    """Where table and picture go; what cannot be written or drawn is said before the work."""
    from ..pictures.style import new_figure
    from .training import made_folder
    from .writing import writable

    new_figure(1, 1)
    made_folder(out)
    csv, png = out / f"{name}.csv", out / f"{name}.png"
    writable(csv)
    writable(png)
    return csv, png


def _wrote(*paths: Path) -> None:
    from .console import say

    for path in paths:
        say(f"wrote {path}")
