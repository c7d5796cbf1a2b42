"""`striate train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Batch, Data, Device, Seed

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.data import Dataset

__all__ = ["train"]


def train(
    model: Annotated[str, typer.Argument(help="The name of an architecture, or a .striate file to go on with.")],
    data: Data = "digits",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 10,
    batch_size: Batch = 32,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the optimizer's own.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="sgd, rmsprop, adagrad, adam or adamw. Default: adam, or that of the .striate file."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the model, its curves and its log go.")] = Path("run"),
    validation: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the training data to measure on after each epoch.")
    ] = 0.1,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Trains a model and saves it as `OUT/NAME.striate`, with one row per epoch in `history.csv`.

    Examples:

        striate train lenet5 --data digits --epochs 20 --out run

        striate train lenet5 --data fashion-mnist/ --batch-size 64 --device cuda

        striate train run/lenet5.striate --data digits --epochs 5 --learning-rate 0.0001
    """
    from ..trainer import callbacks, set_seed
    from .console import facts, say, show
    from .training import draw_curves, file_name, made_folder, record_facts

    set_seed(seed)
    made, whole = _model_and_data(model, data)
    _compile(made, optimizer, learning_rate, device, seed)
    parts = whole.split((1 - validation, validation), seed) if validation else (whole,)
    made_folder(out)
    sizes = f"{len(parts[0]):,} to train on, {len(whole) - len(parts[0]):,} to validate on"
    shown = {
        "data": f"{whole.name}: {sizes}",
        "parameters": f"{made.count_params():,}",
        "optimizer": made.optimizer.name,
        "device": device,
        "seed": seed,
    }
    show(facts(f"Training {made.name}", shown))
    rate = made.optimizer.rate(made.step)
    history = made.fit(
        parts[0].x,
        parts[0].y,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(parts[1].x, parts[1].y) if validation else None,
        callbacks=[callbacks.CSVLogger(out / "history.csv")],
    )
    record_facts(made, history, parts[0], batch_size, rate, seed)
    path = out / f"{file_name(made.name)}.striate"
    made.save(path)
    draw_curves(out / "curves.png", history)
    say(f"saved {path}; next: striate export {path} --out {path.with_suffix('.onnx')}")


def _model_and_data(spec: str, data: str) -> tuple[Model, Dataset]:
    """The model, with an output for each class if it is new, and the data in the layout it takes."""
    from .. import models
    from ..runtime.errors import InvalidInput
    from ..trainer.data import Dataset, load
    from .sources import image_input, load_model

    made = load_model(spec)
    images = image_input(made.input_specs[0][1])
    whole = load(data, images.size, images.channels, "train") if images is not None else load(data, part="train")
    classes = len(whole.classes)
    if spec in models.names():
        made = models.get(spec, num_classes=classes)
    outputs = made.output_specs[0][1][-1]
    if outputs is not None and outputs < classes:
        raise InvalidInput(f"{spec}: has {outputs} outputs, but {whole.name} has {classes} classes")
    if images is None or whole.x.ndim != 4:
        return made, whole
    return made, Dataset(images.arrange(whole.x), whole.y, whole.classes, whole.name)


def _compile(made: Model, optimizer: str | None, learning_rate: float | None, device: str, seed: int) -> None:
    """A model that was trained before goes on with its optimizer and that one's state, unless another is asked for."""
    from ..runtime.engines.arrays import engine
    from ..runtime.errors import InvalidInput
    from ..trainer import optimizers

    if learning_rate is not None and not learning_rate > 0:
        raise InvalidInput(f"learning rate {learning_rate} does not fit; expected a positive number")
    if made.training is None or optimizer is not None:
        chosen = optimizers.get(optimizer or "adam")
        made.compile(chosen, "sparse_categorical_crossentropy", ["accuracy"], device=device, seed=seed)
    else:
        made.training.device = engine(device).device
    if learning_rate is not None:
        made.optimizer.learning_rate = learning_rate
