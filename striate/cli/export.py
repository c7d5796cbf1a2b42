"""`striate export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..trainer import Model

__all__ = ["export"]


def export(
    model: Annotated[str, typer.Argument(help="A .striate file, or the name of an architecture (untrained).")],
    out: Annotated[
        Path | None, typer.Option(help="The .onnx file to write. Default: beside the .striate file.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="The ONNX opset to write. Default: the model's own.")] = None,
    fold: Annotated[bool, typer.Option(help="Fold batch normalisation into convolutions.")] = True,
    batch: Annotated[int | None, typer.Option(min=1, help="Fix the batch dimension to this. Default: open.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE to write into the file; repeatable.")] = None,
    card: Annotated[
        bool, typer.Option(help="Write a model card beside it: what it is, what it costs, how it was trained.")
    ] = True,
) -> None:
    """Writes a model as an ONNX file that any runtime can read.

    Examples:

        striate export run/lenet5.striate --out lenet5.onnx

        striate export run/lenet5.striate --out old.onnx --opset 13 --no-fold --batch 1
    """
    from ..exporter import export as write
    from ..exporter import write_card
    from ..runtime.errors import InvalidInput
    from .console import say
    from .summary import describe

    pairs = [text.partition("=") for text in metadata or ()]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise InvalidInput(f"metadata {key!r} does not fit; expected KEY=VALUE")
    made, target, untrained = _source_and_target(model, out)
    path = write(
        made,
        target,
        opset=opset,
        fold_batchnorm=fold,
        dynamic_batch=batch or True,
        metadata={key: value for key, _, value in pairs},
    )
    describe(path, untrained=untrained)
    cards = f" and {write_card(path).name}" if card else ""
    say(f"wrote {path}{cards}; next: striate check {path}")


def _source_and_target(spec: str, out: Path | None) -> tuple[Model, Path, bool]:
    """The model, the file to write, and whether the model is an architecture without training."""
    from .. import models
    from ..runtime.errors import InvalidInput
    from .sources import load_model

    untrained = spec in models.names() and not Path(spec).is_file()
    if spec.endswith(".onnx"):
        raise InvalidInput(f"{spec}: is an ONNX file already; expected a .striate file to export")
    if out is None and untrained:
        raise InvalidInput(f"{spec}: is an untrained architecture; say with --out FILE.onnx where to write it")
    target = out or Path(spec).with_suffix(".onnx")
    if target.suffix != ".onnx":
        raise InvalidInput(f"cannot write {target}: expected the name of an .onnx file")
    return load_model(spec), target, untrained
