"""`striate demo`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Seed

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.callbacks import History

__all__ = ["demo"]

VALIDATION = 1 / 8
"""Of the digits that are not kept for the test."""

BATCH_SIZE = 32
LEARNING_RATE = 0.0015

COPIES = 5
STRENGTH = {"rotate": 12.0, "scale": 0.15, "shear": 0.15, "shift": 3.0}
"""How many variants of each training digit are made, and how far they may be bent (degrees, factors, pixels)."""

TOLERANCE = 1e-5

NEEDED = ("sklearn", "matplotlib", "onnxruntime")


def demo(
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training digits.")] = 12,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Trains LeNet-5 on real handwritten digits, exports it to ONNX, and holds its outputs against onnxruntime's.

    Needs the extras: pip install 'striate[all]'

    Examples:

        striate demo

        striate demo --out result --epochs 10 --seed 3
    """
    import time

    from ..exporter import verify
    from ..pictures.confusion import confusion, predictions
    from ..pictures.curves import curves
    from ..runtime import InferenceSession
    from ..trainer import data
    from .console import complain, facts, show
    from .training import accuracy, made_folder

    began = time.perf_counter()
    _check_dependencies()
    made_folder(out)
    test = data.load("digits", part="test")
    model, history = _trained(epochs, device, seed)
    saved, exported = out / "lenet5.striate", out / "lenet5.onnx"
    model.save(saved)
    model.export(exported)

    session = InferenceSession(str(exported))
    feeds = {session.get_inputs()[0].name: test.x}
    scores = session.run(None, feeds)[0]
    report = verify(exported, feeds)
    show(report)
    drawn = {name: out / f"{name}.png" for name in ("curves", "confusion", "predictions")}
    curves(drawn["curves"], history.history)
    confusion(drawn["confusion"], test.y, scores.argmax(1), test.classes)
    predictions(drawn["predictions"], test.x, test.y, scores, test.classes)
    found = {
        "accuracy": f"{accuracy(scores, test.y, str(exported)):.2%} on {len(test)} digits never trained on",
        "largest difference": f"{report.max_abs:.3g} to {report.against}",
        "time": f"{time.perf_counter() - began:.0f} s",
        "written": "\n".join(str(path) for path in (saved, exported, *drawn.values())),
    }
    show(facts("Result", found))
    row = report.rows[0]
    if not report.max_abs <= TOLERANCE or row.argmax_equal != row.argmax_total:
        complain(f"the outputs differ from onnxruntime's by {report.max_abs:.3g}; expected at most {TOLERANCE:g}")
        raise typer.Exit(1)


def _trained(epochs: int, device: str, seed: int) -> tuple[Model, History]:
    """LeNet-5 after training on the digits that are not kept for the test, and on bent variants of them."""
    from .. import models
    from ..trainer import augment, data, optimizers, schedules, set_seed
    from .console import say
    from .training import record_facts

    set_seed(seed)
    digits = data.load("digits", part="train")
    train, validation = digits.split((1 - VALIDATION, VALIDATION), seed)
    more = augment.enlarged(train, COPIES, seed, **STRENGTH)
    model = models.lenet5(num_classes=len(digits.classes))
    model.summary()
    say(f"{len(train)} digits and {COPIES} variants of each to train on, {len(validation)} to validate on")
    steps = -(-len(more) // BATCH_SIZE) * epochs
    optimizer = optimizers.Adam(schedules.CosineDecay(LEARNING_RATE, steps))
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"], device=device, seed=seed)
    history = model.fit(
        more.x, more.y, batch_size=BATCH_SIZE, epochs=epochs, validation_data=(validation.x, validation.y)
    )
    record_facts(model, history, more, BATCH_SIZE, LEARNING_RATE, seed)
    return model, history


def _check_dependencies() -> None:
    """What is missing is said before the training, not after it."""
    from importlib.util import find_spec

    from ..runtime.errors import MissingDependency

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"the demo needs {', '.join(missing)}; install all of it with pip install 'striate[all]'"
        )
