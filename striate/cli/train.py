"""`striate train`"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Batch, Data, Device, Long, Seed
from .recipe import LEFT_OUT, from_file, versions, write

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.callbacks import Callback, History
    from ..trainer.data import Dataset, Shards
    from .sources import ImageInput

__all__ = ["train"]

VALIDATION = 0.1
"""The share of the training data to measure on, unless another is asked for."""

AUGMENTATIONS = (
    "flip, flip-vertical, pad, crop, rotate, translate, zoom, shear, affine, cutout, erase, mixup, brightness, "
    "contrast, saturation, hue, colour"
)


def train(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="The name of an architecture (`striate models` lists them), or a .striate file to go on with."
        ),
    ],
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
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of the training data to measure on after each epoch. Default: 0.1, or as in the .striate file.",
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help=f"Change training images, anew in each epoch: `flip,crop,rotate`, or with strengths "
            f"`rotate=15,mixup=0.4`. There are: {AUGMENTATIONS}."
        ),
    ] = None,
    long: Long = "cut",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the model of another run in OUT.")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write curves for TensorBoard into this folder.", metavar="FOLDER")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Options from a file, such as OUT/run.toml, which every training writes; those given here come first.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            is_eager=True,
            callback=from_file,
        ),
    ] = None,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Trains a model and saves it as `OUT/NAME.striate`, with one row per epoch in `history.csv`.

    `OUT/run.toml` holds all options: `--config` with that file does the same again.

    Ctrl-C ends the training after the step at hand and saves what there is; a second Ctrl-C saves nothing.

    Examples:

        striate train lenet5 --data digits --epochs 20 --out run

        striate train lenet5 --data fashion-mnist/ --batch-size 64 --device cuda

        striate train run/lenet5.striate --data digits --epochs 5 --learning-rate 0.0001

        striate train resnet18 --data cifar10 --augment flip,crop --epochs 30

        striate train text_cnn --data reviews.csv,text=review,label=stars

        striate train --config run/run.toml --out again
    """
    from ..trainer import set_seed
    from ..trainer.tensorboard import TensorBoard
    from .console import facts, say, show
    from .datasets import augmentation, prepared, with_words
    from .log import Log
    from .training import draw_curves, epochs_before, made_folder, record_facts, target_file

    set_seed(seed)
    new, made, whole, images = _model_and_data(model, data)
    share, split_seed = _split_of(made, validation, seed)
    parts = whole.split((1 - share, share), split_seed) if share else (whole,)
    made, parts = with_words(made, model, parts, long, new=new)
    changes = augmentation(augment, images, whole.shape, seed)
    _compile(made, optimizer, learning_rate, device, seed, mixed=changes is not None and changes.mixes)
    path = target_file(out, made.name, model, force)
    given = prepared(parts, made, images, changes, batch_size)
    first = epochs_before(made)
    made_folder(out)
    write(out / "run.toml", ctx)
    log = Log(out / "history.csv", first, append=bool(first) and Path(model).resolve().parent == out.resolve())
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
    watchers = [log] if tensorboard is None else [log, TensorBoard(tensorboard)]
    history, finished = _fitted(made, given, batch_size, first, first + epochs, watchers)
    record_facts(made, history, parts[0], batch_size, rate, seed)
    made.training_facts |= {"validation": share, "split_seed": split_seed}
    made.training_facts |= {"command": _command(ctx), "versions": versions()}
    if augment is not None:
        made.training_facts["augment"] = augment
    made.save(path)
    draw_curves(out / "curves.png", log.history(), int(log.rows[0]["epoch"]) + 1 if log.rows else 1)
    if not finished:
        say(f"interrupted after {made.step:,} steps, {len(history.epoch)} of {epochs} epochs whole: saved {path}")
        raise typer.Exit(130)
    say(f"saved {path}; next: striate export {path} --out {path.with_suffix('.onnx')}")


def _command(ctx: typer.Context) -> str:
    """The command that does this again: what was given, but for where the results go."""
    shown = ["striate", "train", str(ctx.params["model"])]
    for parameter in ctx.command.params:
        name, value = str(parameter.name), ctx.params.get(str(parameter.name))
        if name not in (*LEFT_OUT, "model") and value is not None and value != parameter.default:
            shown += [parameter.opts[0], str(value)]
    return shlex.join(shown)


def _fitted(
    made: Model, given: list[Any], batch_size: int, first: int, epochs: int, watchers: Sequence[Callback]
) -> tuple[History, bool]:
    """What the epochs brought, and whether all of them were trained."""
    from ..trainer import callbacks
    from .stopping import Stopper

    history, stopper = callbacks.History(), Stopper()
    try:
        with stopper.listening():
            made.fit(
                given[0],
                batch_size=batch_size,
                epochs=epochs,
                initial_epoch=first,
                validation_data=given[1] if len(given) > 1 else None,
                callbacks=[history, *watchers, stopper],
            )
    except KeyboardInterrupt:
        return history, False
    return history, True


def _split_of(made: Model, validation: float | None, seed: int) -> tuple[float, int]:
    """Share and seed of the validation data: as in earlier runs, so that they stay unseen."""
    from .console import say

    share, split_seed = made.training_facts.get("validation"), made.training_facts.get("split_seed")
    if (
        not isinstance(share, (int, float))
        or not isinstance(split_seed, int)
        or not 0 <= share <= 0.9
        or split_seed < 0
    ):
        return VALIDATION if validation is None else validation, seed
    if validation is not None and validation != share:
        say(f"earlier training kept a share of {share:g} away: with {validation:g}, validation is not on unseen data")
        return validation, split_seed
    return share, split_seed


def _model_and_data(spec: str, data: str) -> tuple[bool, Model, Dataset | Shards, ImageInput | None]:
    """Whether the model is new, the model, with an output for each class if so, and the data in the classes it has."""
    from .. import models
    from ..runtime.errors import InvalidInput
    from .datasets import load_for
    from .labels import in_model_order
    from .sources import class_names, image_input, load_model, one_input

    made = load_model(spec)
    one_input(spec, made.input_names)
    images = image_input(made.input_specs[0][1])
    whole = load_for(data, made, images, "train")
    _tell(whole)
    new = spec in models.names()
    if new:
        made = models.get(spec, num_classes=len(whole.classes))
    outputs = made.output_specs[0][1][-1]
    whole = in_model_order(whole, class_names(made.training_facts), outputs, spec)
    if outputs is not None and outputs < len(whole.classes):
        raise InvalidInput(f"{spec}: has {outputs} outputs, but {whole.name} has {len(whole.classes)} classes")
    return new, made, whole, images


def _tell(data: Dataset | Shards) -> None:
    """What the examples were changed to, and what is odd about them."""
    from .console import say

    shape = data.shape
    if data.shapes and set(data.shapes) != {shape}:
        names = ["×".join(map(str, s)) for s in data.shapes]
        before = names[0] if len(names) == 1 else f"{len(names)} shapes such as {names[0]}"
        say(f"{data.name}: {before} → {'×'.join(map(str, shape))}")
    if data.y.min() == data.y.max():
        say(f"{data.name}: all {len(data):,} examples are of class {data.classes[data.y.flat[0]]!r}", "yellow")


def _compile(
    made: Model, optimizer: str | None, learning_rate: float | None, device: str, seed: int, *, mixed: bool = False
) -> None:
    """A model that was trained before goes on with its optimizer and that one's state, unless another is asked for."""
    from ..runtime.engines.arrays import engine
    from ..runtime.errors import InvalidInput
    from ..trainer import optimizers

    if learning_rate is not None and not learning_rate > 0:
        raise InvalidInput(f"learning rate {learning_rate} does not fit; expected a positive number")
    if made.training is None or optimizer is not None:
        chosen = optimizers.get(optimizer or "adam")
        loss = "categorical_crossentropy" if mixed else "sparse_categorical_crossentropy"
        made.compile(chosen, loss, ["accuracy"], device=device, seed=seed)
    else:
        made.training.device = engine(device).device
    if learning_rate is not None:
        made.optimizer.learning_rate = learning_rate
