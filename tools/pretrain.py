"""Trains the networks of `models/pretrained`: `python -m tools.pretrain [NAME …] [--out FOLDER]`.

Each is trained on the training part of its data alone, measured on the test part, exported to ONNX, held against
onnxruntime, and written with its model card. Everything random comes from one seed: the same versions on the same kind
of processor give the same bytes again. How many threads BLAS has changes the order of its sums, so there is one:
`OPENBLAS_NUM_THREADS=1 python -m tools.pretrain`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from striate import models
from striate.cli.training import accuracy, record_facts
from striate.exporter import verify, write_card
from striate.runtime.errors import InvalidInput, StriateError
from striate.runtime.files import atomic_write
from striate.runtime.random import derive, uniform
from striate.trainer import Model, augment, callbacks, data, optimizers, schedules, set_seed
from striate.trainer.data.text import FACT

from .questions import FOLDER as TEXTS

__all__ = ["RECIPES", "TOLERANCE", "Recipe", "pretrain"]

SEED = 0
THREADS = "OPENBLAS_NUM_THREADS"
BATCH_SIZE = 32
TOLERANCE = 1e-5
"""How far the outputs may be from onnxruntime's."""

WORDS = 24
"""What the network for texts takes of a text; the longest question has fewer."""
FORGOTTEN = 0.1
"""The share of words that are unknown in a variant of a text, so that words nobody trained it on do it little harm."""
EMBEDDING, FILTERS, KERNELS = 32, 32, (2, 3, 4)

BENT_16 = {"rotate": 8.0, "scale": 0.1, "shear": 0.1, "shift": 1.0}
BENT_32 = {"rotate": 8.0, "scale": 0.1, "shear": 0.1, "shift": 1.5}
BENT_MORE = {"rotate": 12.0, "scale": 0.15, "shear": 0.15, "shift": 3.0}
"""How far variants of images of 16 and of 32 pixels are bent (degrees, factors, pixels)."""


@dataclass(frozen=True)
class Task:
    """What a network learns: data to train on, data to measure on, and facts that its file needs beside."""

    train: data.Dataset
    test: data.Dataset
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: Adam, its rate going down to 0 along half a cosine."""

    task: Callable[[], Task]
    epochs: int
    learning_rate: float
    make: Mapping[str, Any] = field(default_factory=dict)


def digits(size: int, copies: int, **strength: float) -> Task:
    """The digits at size × size, the training part with variants."""
    train, test = (data.load("digits", size, 1, part) for part in ("train", "test"))
    bent = ", ".join(f"{name} {value:g}" for name, value in strength.items())
    facts = {"augment": f"{copies} variants of each image: {bent}"}
    return Task(augment.enlarged(train, copies, SEED, **strength), test, facts)


def texts(copies: int) -> Task:
    """The questions of `examples`, encoded; variants of the training part lack some words."""
    train, test = (data.load(TEXTS / f"questions_{part}.tsv") for part in ("train", "test"))
    vocabulary = data.Vocabulary.build(train.x, WORDS)
    known, unseen = (replace(d, x=vocabulary.encode(d.x).ids) for d in (train, test))
    unknown = vocabulary.numbers["<unknown>"]
    forgotten = uniform(np, derive(SEED, "forgotten"), 0, (copies, *known.x.shape)) < FORGOTTEN
    variants = [np.where(drop & (known.x > 0), unknown, known.x) for drop in forgotten]
    more = data.Dataset(np.concatenate([known.x, *variants]), np.tile(known.y, copies + 1), known.classes, known.name)
    facts = {
        "augment": f"{copies} variants of each text: {FORGOTTEN:.0%} of the words unknown",
        FACT: vocabulary.to_facts(),
    }
    return Task(more, unseen, facts)


NET_16 = partial(digits, 16, 11, **BENT_16)
RECIPES = {
    **{f"lecun1989_net{i}": Recipe(NET_16, 20, 0.005) for i in range(1, 6)},
    "lenet5": Recipe(partial(digits, 32, 9, **BENT_MORE), 10, 0.0015),
    "lenet5_1998": Recipe(partial(digits, 32, 9, **BENT_32), 12, 0.0006),
    "text_cnn": Recipe(
        partial(texts, 3), 8, 0.002,
        {"length": WORDS, "embedding_dim": EMBEDDING, "filters": FILTERS, "kernel_sizes": KERNELS},
    ),
}  # fmt: skip


def pretrain(name: str, out: Path) -> dict[str, Any]:
    """Trains one network, and writes `NAME.onnx` and `NAME.md` once it agrees with onnxruntime.

    Returns:
        Its accuracy on the test part, its parameters, the bytes of its file, the largest difference to onnxruntime.

    Raises:
        InvalidInput: if there is no recipe of that name, or the outputs differ by more than `TOLERANCE`.
    """
    if name not in RECIPES:
        raise InvalidInput(f"there is no recipe for {name!r}; there are: {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    task = recipe.task()
    model = _trained(name, recipe, task)
    scores = np.asarray(model.predict(task.test.x, batch_size=256))
    measured = accuracy(scores, task.test.y, name)
    model.training_facts |= {
        **task.facts,
        "parameters": model.count_params(),
        "test_accuracy": measured,
        "test_dataset": f"{task.test.name}, test part" if task.test.part else task.test.name,
        "test_examples": len(task.test),
        "command": f"{_threads()}python -m tools.pretrain {name}",
        "versions": {"striate": version("striate"), "numpy": np.__version__, "python": platform.python_version()},
    }
    path = out / f"{name}.onnx"
    with tempfile.TemporaryDirectory() as folder:
        made = model.export(Path(folder, path.name))
        report = verify(made, {model.input_names[0]: task.test.x})
        if not report.max_abs <= TOLERANCE:
            raise InvalidInput(
                f"{name}: differs from onnxruntime by {report.max_abs:.3g}; expected at most {TOLERANCE:g}"
            )
        atomic_write(path, made.read_bytes())
    write_card(path)
    return {
        "accuracy": measured,
        "parameters": model.count_params(),
        "bytes": path.stat().st_size,
        "difference": report.max_abs,
    }


def _trained(name: str, recipe: Recipe, task: Task) -> Model:
    set_seed(SEED)
    train = task.train
    sizes = {"vocabulary_size": len(task.facts[FACT]["words"])} if FACT in task.facts else {}
    model = models.get(name, num_classes=len(train.classes), **recipe.make, **sizes)
    steps = -(-len(train) // BATCH_SIZE) * recipe.epochs
    rate = schedules.CosineDecay(recipe.learning_rate, steps)
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"], seed=SEED)
    print(f"{name}: {model.count_params():,} parameters, {len(train):,} examples", flush=True)
    history = callbacks.History()
    model.fit(train, batch_size=BATCH_SIZE, epochs=recipe.epochs, callbacks=[history])
    record_facts(model, history, train, BATCH_SIZE, recipe.learning_rate, SEED)
    return model


def _threads() -> str:
    """What the command line says of BLAS's threads."""
    given = os.environ.get(THREADS)
    return f"{THREADS}={given} " if given else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(RECIPES)}")
    folder = Path(__file__).resolve().parents[1] / "models" / "pretrained"
    parser.add_argument("--out", type=Path, default=folder, help="where the files go (default: models/pretrained)")
    given = parser.parse_args(arguments)
    rows = []
    try:
        for name in given.names or RECIPES:
            began = time.perf_counter()
            found = pretrain(name, given.out)
            rows.append(
                f"{name:<16}{found['parameters']:>9,}{found['bytes']:>10,}{found['accuracy']:>10.2%}"
                f"{found['difference']:>12.2g}{time.perf_counter() - began:>7.0f} s"
            )
            print(rows[-1], flush=True)
    except StriateError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{'network':<16}{'weights':>9}{'bytes':>10}{'test':>10}{'difference':>12}{'time':>9}")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
