"""`striate run`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Long

if TYPE_CHECKING:
    import numpy as np

__all__ = ["run"]

SHOWN = 8
"""Examples of a batch whose classes are shown."""


def run(
    model: Annotated[str, typer.Argument(help="An .onnx file, or `pretrained:NAME`.")],
    input: Annotated[
        list[str],
        typer.Option(
            "--input",
            "-i",
            help="`FILE` or `NAME=FILE`: .npy, .npz or a picture; for a model of texts "
            "also the text itself, or a .txt file with one in each line; repeatable.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="An .npz file for the outputs, or an .npy file for the only one."),
    ] = None,
    save_everything: Annotated[
        Path | None,
        typer.Option(
            "--save-all",
            help="Also write every value inside the model: to an .npz file, or .npy files and index.json in a folder.",
            metavar="FOLDER",
        ),
    ] = None,
    save_limit: Annotated[int, typer.Option(min=1, help="MiB that --save-all may write.")] = 4096,
    top: Annotated[int, typer.Option(min=0, help="Show so many of the largest scores of each example.")] = 5,
    long: Long = "cut",
    device: Device = "cpu",
) -> None:
    """Runs an ONNX file on arrays, pictures or texts.

    Examples:

        striate run lenet5.onnx --input seven.png

        striate run m.onnx --input x=a.npy --input y=b.npy --output out.npz

        striate run m.onnx --input x.npy --save-all values

        striate run pretrained:text_cnn --input "who built the old bridge?"
    """
    import numpy as np

    from ..runtime import InferenceSession
    from ..runtime.errors import InvalidInput
    from .console import grid, say, show
    from .inputs import read_inputs
    from .sources import class_names, onnx_file, providers

    if output is not None and not output.parent.is_dir():
        raise InvalidInput(f"cannot write {output}: there is no folder {str(output.parent)!r}")
    if output is not None and output.suffix not in (".npz", ".npy"):
        raise InvalidInput(f"cannot write {output}: expected the name of an .npz or .npy file")
    if save_everything is not None and not save_everything.absolute().parent.is_dir():
        raise InvalidInput(f"cannot write {save_everything}: there is no folder {str(save_everything.parent)!r}")
    path = onnx_file(model)
    session = InferenceSession(str(path), providers=providers(device))
    names = [v.name for v in session.get_outputs()]
    if output is not None and output.suffix == ".npy" and len(names) != 1:
        raise InvalidInput(f"cannot write {output}: {model} has {len(names)} outputs; expected an .npz file for them")
    feeds = read_inputs(session, input, long)
    results = [np.asarray(r) for r in session.run(None, feeds)]
    columns = {"output": "left", "shape": "left", "dtype": "left", "min": "right", "mean": "right", "max": "right"}
    show(
        grid(
            "",
            columns,
            [
                (n, "×".join(map(str, r.shape)) or "scalar", r.dtype, *_range(r))
                for n, r in zip(names, results, strict=True)
            ],
        )
    )
    classes = class_names(session.get_modelmeta().custom_metadata_map)
    for name, result in zip(names, results, strict=True):
        scores = result.reshape(result.shape[:2]) if set(result.shape[2:]) == {1} else result
        if top and scores.ndim == 2 and scores.shape[1] > 1 and scores.dtype.kind == "f":
            show(grid(f"largest of {name}", {"example": "right", "classes": "left"}, _top(scores, top, classes)))
    if output is not None:
        _write(output, dict(zip(names, results, strict=True)))
        say(f"wrote {output}")
    if save_everything is not None:
        _save_all(path, feeds, save_everything, save_limit)


def _save_all(model: Path, feeds: dict[str, np.ndarray], target: Path, limit: int) -> None:
    from .console import say
    from .progress import progress
    from .values import save_all

    with progress("saving values") as update:
        count, size = save_all(model, feeds, target, limit << 20, update)
    say(f"wrote {count} values, {size / 2**20:,.1f} MiB, to {target}")


def _write(path: Path, outputs: dict[str, np.ndarray]) -> None:
    import io

    import numpy as np

    from ..runtime.files import atomic_write

    buffer = io.BytesIO()
    if path.suffix == ".npy":
        np.save(buffer, next(iter(outputs.values())), allow_pickle=False)
    else:
        np.savez(buffer, allow_pickle=False, **outputs)
    atomic_write(path, buffer.getvalue())


def _range(result: np.ndarray) -> tuple[str, str, str]:
    if result.size == 0 or result.dtype.kind not in "fiub":
        return ("", "", "")
    return (f"{result.min():.5g}", f"{result.mean():.5g}", f"{result.max():.5g}")


def _top(result: np.ndarray, top: int, classes: tuple[str, ...]) -> list[tuple[int, str]]:
    rows = []
    for i, scores in enumerate(result[:SHOWN]):
        best = (-scores).argsort(kind="stable")[:top]
        named = (f"{classes[c] if c < len(classes) else c} {scores[c]:.4f}" for c in best)
        rows.append((i, "   ".join(named)))
    return rows
