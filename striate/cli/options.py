"""Options that several subcommands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Batch", "Data", "Device", "Seed"]

Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="`digits`, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file, or a folder of pictures by class.",
        metavar="DATA",
    ),
]
Device = Annotated[str, typer.Option("--device", help="`cpu`, `cuda` or `cuda:N`.", metavar="DEVICE")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same result.")]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Examples per step.")]
