"""`striate demo`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Seed

__all__ = ["demo"]

FRACTIONS = (0.7, 0.1, 0.2)
"""Train, validation, test."""

TOLERANCE = 1e-5

NEEDED = ("sklearn", "matplotlib", "onnxruntime")


def demo(
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training digits.")] = 30,
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

    from .. import models
    from ..exporter import verify
    from ..runtime import InferenceSession
    from ..trainer import data, optimizers, set_seed
    from . import pictures
    from .console import complain, facts, say, show
    from .training import accuracy, made_folder, record_facts

    began = time.perf_counter()
    _check_dependencies()
    made_folder(out)
    set_seed(seed)
    digits = data.load("digits")
    train, validation, test = digits.split(FRACTIONS, seed)
    model = models.lenet5(num_classes=len(digits.classes))
    model.summary()
    say(f"{len(train)} digits to train on, {len(validation)} to validate on, {len(test)} kept for the test")
    model.compile(optimizers.Adam(0.001), "sparse_categorical_crossentropy", ["accuracy"], device=device, seed=seed)
    history = model.fit(train.x, train.y, batch_size=32, epochs=epochs, validation_data=(validation.x, validation.y))
    record_facts(model, history, train, optimizer=model.optimizer.name, batch_size=32, seed=seed)
    saved, exported = out / "lenet5.striate", out / "lenet5.onnx"
    model.save(saved)
    model.export(exported)

    session = InferenceSession(str(exported))
    feeds = {session.get_inputs()[0].name: test.x}
    scores = session.run(None, feeds)[0]
    reached = accuracy(scores, test.y, str(exported))
    report = verify(exported, feeds)
    show(report)
    drawn = {name: out / f"{name}.png" for name in ("curves", "confusion", "predictions")}
    pictures.curves(drawn["curves"], history.history)
    pictures.confusion(drawn["confusion"], test.y, scores.argmax(1), digits.classes)
    pictures.predictions(drawn["predictions"], test.x, test.y, scores, digits.classes)
    show(
        facts(
            "Result",
            {
                "accuracy": f"{reached:.2%} on {len(test)} digits never trained on",
                "largest difference to onnxruntime": f"{report.max_abs:.3g}",
                "time": f"{time.perf_counter() - began:.0f} s",
                "written": ", ".join(str(p) for p in (saved, exported, *drawn.values())),
            },
        )
    )
    row = report.rows[0]
    if report.max_abs > TOLERANCE or row.argmax_equal != row.argmax_total:
        complain(f"the outputs differ from onnxruntime's by {report.max_abs:.3g}; expected at most {TOLERANCE:g}")
        raise typer.Exit(1)


def _check_dependencies() -> None:
    """What is missing is said before the training, not after it."""
    from importlib.util import find_spec

    from ..runtime.errors import MissingDependency

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"the demo needs {', '.join(missing)}; install all of it with pip install 'striate[all]'"
        )
