"""Max, average and L2 pooling of a photograph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.style import new_figure, save, shape_text, show_image, styled, title
from ..runtime.errors import InvalidInput, MissingDependency
from ..trainer import Sequential, data, layers
from .trials import Tell, quiet, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLUMNS", "KINDS", "PHOTOGRAPHS", "WINDOWS", "Pooled", "draw", "photograph", "run", "table", "write_table"]

PHOTOGRAPHS = ("china", "flower")
"""Those that scikit-learn carries."""

WINDOWS = (2, 4, 8, 16)

KINDS: dict[str, Callable[[int], layers.Layer]] = {
    "max": layers.MaxPooling2D,
    "average": layers.AveragePooling2D,
    "L2": layers.L2Pooling2D,
}


@dataclass(frozen=True, eq=False)
class Pooled:
    """A photograph after pooling.

    Args:
        window: pixels a side of the windows, which lie side by side.
        image: float32 `(height, width, channels)`; the L2 norm of a window is divided by `window`, which makes it the
            root of the mean square and keeps it in [0, 1].
    """

    kind: str
    window: int
    image: np.ndarray


def photograph(name: str) -> np.ndarray:
    """A photograph as float32 `(height, width, channels)` in [0, 1].

    Args:
        name: `china`, `flower`, or a picture file.

    Raises:
        InvalidInput: if there is no such file, or it is no picture.
        MissingDependency: if scikit-learn, which carries the two, or pillow is not installed.
    """
    if name not in PHOTOGRAPHS:
        if not Path(name).is_file():
            raise InvalidInput(f"picture {name!r} is neither {' nor '.join(PHOTOGRAPHS)} nor a file that exists")
        return data.read_image(Path(name))
    from importlib.util import find_spec

    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise MissingDependency("the photographs come with scikit-learn; install it with pip install 'striate[data]'")
    return data.read_image(Path(found.origin).parent / "datasets" / "images" / f"{name}.jpg")


def run(image: np.ndarray, windows: Sequence[int] = WINDOWS, tell: Tell = quiet) -> list[Pooled]:
    """Every kind of pooling with every window, computed by Striate's layers.

    Args:
        image: float32 `(height, width, channels)`.

    Raises:
        InvalidInput: if a window is larger than the image.
    """
    found = []
    for kind, layer in KINDS.items():
        for window in windows:
            model = Sequential([layers.Input(image.shape), layer(window)])
            pooled = model.predict(image[None])[0]
            found.append(Pooled(kind, window, pooled / np.float32(window) if kind == "L2" else pooled))
            tell(len(found), len(KINDS) * len(windows))
    return found


COLUMNS = {
    "pooling": "left",
    "window": "right",
    "shape": "right",
    "values": "right",
    "mean": "right",
    "contrast": "right",
}


def table(image: np.ndarray, found: Sequence[Pooled]) -> list[list[str]]:
    """The cells under `COLUMNS`: mean and standard deviation of what is left, the photograph first."""
    rows = [("none", "", image), *((p.kind, f"{p.window}×{p.window}", p.image) for p in found)]
    return [
        [kind, window, shape_text(x.shape), f"{x.size / image.size:.2%}", f"{x.mean():.4f}", f"{x.std():.4f}"]
        for kind, window, x in rows
    ]


def write_table(path: Path, image: np.ndarray, found: Sequence[Pooled]) -> None:
    """One line per kind and window, that of the photograph itself first, with window 1."""
    rows = [("none", 1, image), *((p.kind, p.window, p.image) for p in found)]
    write_csv(
        path,
        [
            {
                "pooling": kind,
                "window": window,
                "height": x.shape[0],
                "width": x.shape[1],
                "channels": x.shape[2],
                "mean": float(x.mean()),
                "contrast": float(x.std()),
                "largest": float(x.max()),
                "smallest": float(x.min()),
            }
            for kind, window, x in rows
        ],
    )


SAID = {"max": "max\nlargest value", "average": "average\nmean value", "L2": "L2\nroot of mean square"}


@styled
def draw(path: Path, image: np.ndarray, found: Sequence[Pooled]) -> None:
    """The photograph at the left, a row per kind, a column per window, all at the same size on paper."""
    windows = sorted({p.window for p in found})
    high = 1.9 * image.shape[0] / image.shape[1]
    figure = new_figure(1.9 * (len(windows) + 1.6) + 0.5, (high + 0.28) * len(KINDS) + 0.65)
    grid = figure.add_gridspec(len(KINDS), len(windows) + 1, width_ratios=[1.6] + [1] * len(windows))
    _show(figure.add_subplot(grid[:, 0]), image, image, f"photograph: {shape_text(image.shape)}")
    for row, kind in enumerate(KINDS):
        for column, window in enumerate(windows, 1):
            axes = figure.add_subplot(grid[row, column])
            (one,) = (p for p in found if (p.kind, p.window) == (kind, window))
            _show(axes, one.image, image, f"{window}×{window} → {shape_text(one.image.shape)}")
            if column == 1:
                axes.set_ylabel(SAID[kind])
    title(figure, "Pooling a photograph", "One number for every window and channel; windows lie side by side.")
    save(figure, path)


def _show(axes: Axes, image: np.ndarray, whole: np.ndarray, text: str) -> None:
    """Shown as large as the whole photograph; what pooling dropped at the edges is missing there."""
    window = whole.shape[0] // image.shape[0]
    show_image(axes, image, extent=(0, image.shape[1] * window, image.shape[0] * window, 0))
    axes.set_xlim(0, whole.shape[1])
    axes.set_ylim(whole.shape[0], 0)
    axes.set_title(text)
