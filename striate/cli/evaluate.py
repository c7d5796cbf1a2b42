"""`striate evaluate`"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .options import Batch, Data, Device, Long

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[str, typer.Argument(help="A .striate or .onnx file, or `pretrained:NAME`.")],
    data: Data = "digits",
    part: Annotated[
        Literal["test", "train", "all"], typer.Option(help="Which part, where the data has parts of its own.")
    ] = "test",
    long: Long = "cut",
    batch_size: Batch = 256,
    device: Device = "cpu",
) -> None:
    """Measures a model's accuracy, in all and for each class.

    Examples:

        striate evaluate run/lenet5.striate --data digits

        striate evaluate pretrained:lenet5 --data digits

        striate evaluate lenet5.onnx --data mnist/ --part test

        striate evaluate text_cnn.onnx --data reviews.csv,text=review,label=stars
    """
    import numpy as np

    from .console import facts, grid, show
    from .labels import in_model_order
    from .sources import predictor
    from .training import accuracy

    ready = predictor(model, device)
    dataset = ready.load(data, None if part == "all" else part, long)
    outputs = ready.predict(dataset.x, batch_size)
    dataset = in_model_order(dataset, ready.classes, outputs.shape[-1] if outputs.ndim == 2 else None, ready.name)
    overall = accuracy(outputs, dataset.y, model)
    guessed = outputs.argmax(1)
    right = np.bincount(dataset.y[guessed == dataset.y], minlength=len(dataset.classes))
    rows = []
    for i, (name, total) in enumerate(zip(dataset.classes, dataset.counts(), strict=True)):
        if not total:
            continue
        wrong = guessed[(dataset.y == i) & (guessed != i)]
        most = int(np.bincount(wrong).argmax()) if wrong.size else None
        mistaken = "" if most is None else dataset.classes[most] if most < len(dataset.classes) else str(most)
        rows.append((name, total, f"{right[i] / total:.2%}", total - right[i], mistaken))
    columns = {
        "class": "left",
        "examples": "right",
        "accuracy": "right",
        "errors": "right",
        "most often taken for": "left",
    }
    show(grid("", columns, rows))
    kept_away = dataset.part == "test"
    examples = f"{len(dataset):,} examples" if kept_away else f"all {len(dataset):,} examples"
    remark = "" if kept_away else "; may include those it was trained on"
    measured = {"model": ready.name, "data": f"{dataset.name}, {examples}{remark}", "accuracy": f"{overall:.2%}"}
    picked = outputs[np.arange(len(outputs)), dataset.y]
    if (outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=1e-3):
        measured["cross-entropy"] = f"{-np.log(np.maximum(picked, 1e-30)).mean():.4f}"
    show(facts("", measured))
