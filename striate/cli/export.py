"""`striate export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="A .striate file, or the name of an architecture (untrained).")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file to write. Default: beside the model.")] = None,
    opset: Annotated[int | None, typer.Option(help="The ONNX opset to write. Default: the model's own.")] = None,
    fold: Annotated[bool, typer.Option(help="Fold batch normalisation into convolutions.")] = True,
    batch: Annotated[int | None, typer.Option(min=1, help="Fix the batch dimension to this. Default: open.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE to write into the file; repeatable.")] = None,
) -> None:
    """Writes a model as an ONNX file that any runtime can read.

    Examples:

        striate export run/lenet5.striate --out lenet5.onnx

        striate export run/lenet5.striate --out old.onnx --opset 13 --no-fold --batch 1
    """
    from ..exporter import export as write
    from ..runtime.errors import InvalidInput
    from .console import say
    from .sources import load_model
    from .summary import describe

    pairs = [text.partition("=") for text in metadata or ()]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise InvalidInput(f"metadata {key!r} does not fit; expected KEY=VALUE")
    target = out or Path(model if model.endswith(".striate") else f"{model}.onnx").with_suffix(".onnx")
    path = write(
        load_model(model),
        target,
        opset=opset,
        fold_batchnorm=fold,
        dynamic_batch=batch or True,
        metadata={key: value for key, _, value in pairs},
    )
    describe(path)
    say(f"wrote {path}; next: striate check {path}")
