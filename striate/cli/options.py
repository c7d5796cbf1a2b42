"""Options that several subcommands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

__all__ = ["Batch", "Data", "Device", "Long", "Seed"]

Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="`digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100` (downloaded once), `synthetic:N`; a folder of "
        "IDX or CIFAR files or of pictures by class; an .npz, .csv, .tsv or .tar file; an https:// address. Options "
        "follow: `reviews.csv,text=review,label=stars`, `table.csv,label=5`, `cifar100,labels=coarse`, `https://…,sha256=…`.",
        metavar="DATA",
    ),
]
Device = Annotated[str, typer.Option("--device", help="`cpu`, `cuda` or `cuda:N`.", metavar="DEVICE")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same result.")]
Long = Annotated[
    Literal["cut", "refuse"],
    typer.Option("--long", help="What to do with texts of more words than the model takes."),
]
Batch = Annotated[int, typer.Option("--batch-size", min=1, help="Examples per step.")]
