"""Depth at equal parameters, and how much wide, shallow networks overfit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pictures.style import ACCENT, FAINT, SECOND, new_figure, save, styled, title
from ..runtime.errors import InvalidInput
from ..trainer import Sequential, data, layers
from .placing import placed
from .trials import Result, Tell, Trial, percent, quiet, run_trials, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLUMNS", "NOTE", "Network", "Row", "convolutional", "dense", "draw", "run", "table", "write_table"]

FIELD = 12
"""Pixels a side of the square in which a digit of 8×8 pixels stands somewhere."""
EXAMPLES = 800
"""Digits to train on: few, so that there is something to overfit."""
BATCH_SIZE = 32
LEARNING_RATE = 0.01
CLASSES = 10

BUDGET = 2_500
DEPTHS = (1, 2, 3, 4, 6, 8)
BUDGETS = (600, 2_500, 10_000)
WIDE_BUDGETS = (2_500, 10_000, 40_000)

NOTE = (
    f"UCI digits of 8×8 pixels somewhere in {FIELD}×{FIELD}, {EXAMPLES} to train on, 359 others to test on. "
    "Convolutions are 3×3 with ReLU; two poolings lie between them, then the mean of each map and ten outputs."
)


@dataclass(frozen=True)
class Network:
    """A family, how many hidden layers, and how wide."""

    family: str
    depth: int
    width: int

    @property
    def name(self) -> str:
        return f"{self.family} {self.depth}×{self.width}"


@dataclass(frozen=True)
class Row:
    """A network with what it reached."""

    network: Network
    budget: int
    result: Result


def convolutional(depth: int, width: int) -> Sequential:
    """`depth` convolutions of `width` maps each for images `(12, 12, 1)`; 3×3 maps are left after the last pooling."""
    stack: list[Any] = [layers.Input((FIELD, FIELD, 1))]
    halved = 0
    for i in range(1, depth + 1):
        stack.append(layers.Conv2D(width, 3, padding="same", activation="relu", kernel_initializer="he_normal"))
        wanted = round(2 * i / depth)
        if wanted > halved:
            stack.append(layers.MaxPooling2D(2 ** (wanted - halved)))
            halved = wanted
    end = [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, activation="softmax")]
    return Sequential([*stack, *end], name=f"conv{depth}x{width}")


def dense(depth: int, width: int) -> Sequential:
    """`depth` hidden layers of `width` units that see every pixel of an image `(12, 12, 1)`."""
    hidden = [layers.Dense(width, activation="relu", kernel_initializer="he_normal") for _ in range(depth)]
    end = layers.Dense(CLASSES, activation="softmax")
    return Sequential([layers.Input((FIELD, FIELD, 1)), layers.Flatten(), *hidden, end], name=f"dense{depth}x{width}")


def parameters(network: Network) -> int:
    """How many weights and biases the network has."""
    d, w = network.depth, network.width
    last = (w + 1) * CLASSES
    if network.family == "conv":
        return 10 * w + (d - 1) * (9 * w + 1) * w + last
    return (FIELD * FIELD + 1) * w + (d - 1) * (w + 1) * w + last


def widest(family: str, depth: int, budget: int) -> Network:
    """The widest network of at most `budget` parameters.

    Raises:
        InvalidInput: if not even one unit per layer fits.
    """
    width = 0
    while parameters(Network(family, depth, width + 1)) <= budget:
        width += 1
    if not width:
        raise InvalidInput(f"{budget} parameters are too few for {depth} {family} layers")
    return Network(family, depth, width)


MAKERS: dict[str, Callable[[int, int], Sequential]] = {"conv": convolutional, "dense": dense}


def run(seeds: int = 3, epochs: int = 20, tell: Tell = quiet) -> list[Row]:
    """Trains convolutional networks of several depths at equal parameters, and some families at several sizes.

    Raises:
        MissingDependency: if scikit-learn is not installed.
    """
    whole, test = (data.load("digits", 8, 1, part) for part in ("train", "test"))
    few = whole.split((EXAMPLES / len(whole), 1 - EXAMPLES / len(whole)), seed=0)[0]
    train, test = placed(few, FIELD, 0), placed(test, FIELD, 1)
    wanted = [("conv", d, BUDGET) for d in DEPTHS]
    wanted += [("conv", 4, budget) for budget in BUDGETS]
    wanted += [("dense", d, budget) for d in (1, 3) for budget in WIDE_BUDGETS]
    chosen = {widest(*each): each[2] for each in wanted}
    trials = [Trial(n.name, _maker(n), train, test) for n in chosen]
    found = run_trials(
        trials, seeds=seeds, epochs=epochs, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, tell=tell
    )
    return [Row(network, budget, result) for (network, budget), result in zip(chosen.items(), found, strict=True)]


def _maker(network: Network) -> Callable[[], Sequential]:
    return lambda: MAKERS[network.family](network.depth, network.width)


COLUMNS = {
    "network": "left", "parameters": "right", "train, %": "right", "test, %": "right", "train - test": "right",
}  # fmt: skip
FAMILIES = {"conv": "convolution", "dense": "dense layer"}


def table(rows: Sequence[Row]) -> list[list[str]]:
    """The cells under `COLUMNS`."""
    return [
        [
            _described(row.network),
            f"{row.result.parameters:,}",
            percent(row.result.train_mean),
            percent(row.result.mean, row.result.spread),
            percent(row.result.gap),
        ]
        for row in rows
    ]


def _described(network: Network) -> str:
    """`4 convolutions, 9 wide`"""
    return f"{network.depth} {FAMILIES[network.family]}{'s' * (network.depth > 1)}, {network.width} wide"


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """One line per network, accuracies as shares of 1, each seed's too."""
    write_csv(
        path,
        [
            {
                "family": row.network.family,
                "layers": row.network.depth,
                "width": row.network.width,
                "parameters": row.result.parameters,
                "train_accuracy": row.result.train_mean,
                "test_accuracy": row.result.mean,
                "spread": row.result.spread,
                "gap": row.result.gap,
                **{f"seed_{i}": value for i, value in enumerate(row.result.test)},
            }
            for row in rows
        ],
    )


CURVES = {
    ("conv", 4): (ACCENT, "o", "4 convolutions"),
    ("dense", 3): (SECOND, "s", "3 dense layers"),
    ("dense", 1): ("#8a5a9e", "^", "1 dense layer"),
}


@styled
def draw(path: Path, rows: Sequence[Row]) -> None:
    """Left: accuracy against depth. Right: accuracy against parameters. Between training and test it is shaded."""
    figure = new_figure(9.2, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    deep = [row for row in rows if row.network.family == "conv" and row.budget == BUDGET]
    deep.sort(key=lambda row: row.network.depth)
    depths = [row.network.depth for row in deep]
    _pair(left, depths, deep, ACCENT, "o", "test")
    left.set_xticks(depths, [f"{row.network.depth}\n{row.network.width} wide" for row in deep])
    left.set_xlabel("convolutions, and maps of each")
    left.set_ylabel("accuracy, %")
    left.set_title(f"Depth at equal parameters: at most {BUDGET:,}", loc="left", fontweight="bold")
    for key, (colour, marker, label) in CURVES.items():
        found = [row for row in rows if (row.network.family, row.network.depth) == key]
        found.sort(key=lambda row: row.result.parameters)
        _pair(right, [row.result.parameters for row in found], found, colour, marker, f"{label}: test")
    right.set_xscale("log")
    ticks = sorted({*BUDGETS, *WIDE_BUDGETS})
    right.set_xticks(ticks, [f"{n:,}" for n in ticks])
    right.minorticks_off()
    right.set_xlabel("parameters")
    right.set_title("Large and shallow overfits more", loc="left", fontweight="bold")
    for axes in (left, right):
        axes.plot([], [], ":o", color=FAINT, markersize=4, markerfacecolor="white", label="training")
        axes.grid(axis="y", alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)
    title(figure, "What depth is worth", NOTE)
    save(figure, path)


def _pair(axes: Axes, x: Sequence[int], rows: Sequence[Row], colour: str, marker: str, label: str) -> None:
    """Test accuracies as a line, training accuracies as a dotted one, a small dot per seed."""
    train, test = ([100 * getattr(row.result, name) for row in rows] for name in ("train_mean", "mean"))
    axes.fill_between(x, test, train, color=colour, alpha=0.1, linewidth=0)
    axes.plot(x, train, color=colour, marker=marker, markersize=4, linestyle=":", markerfacecolor="white")
    spread = [100 * row.result.spread for row in rows]
    axes.errorbar(x, test, spread, color=colour, marker=marker, markersize=6, capsize=3, label=label)
    for place, row in zip(x, rows, strict=True):
        axes.scatter([place] * len(row.result.test), [100 * v for v in row.result.test], s=8, color=colour, alpha=0.5)
