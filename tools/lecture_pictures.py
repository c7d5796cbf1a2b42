"""The pictures of docs/lecture.md, drawn from what the page itself computes: `python -m tools.lecture_pictures`.

Writes docs/pictures/lecture_*.png. For them LeNet-5 learns UCI digits, and so do Net-1 to Net-5, five times each: some
minutes. Names after the command draw only those: `python -m tools.lecture_pictures stride pooling`.
"""

from __future__ import annotations

import doctest
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from striate import models
from striate.cli.plot_inputs import background, example, opened
from striate.experiments import sharing
from striate.pictures.architecture import draw_architecture
from striate.pictures.features import draw_features, feature_maps
from striate.pictures.graphs import convolutions, inference_graph
from striate.pictures.kernels import draw_kernels
from striate.pictures.receptive import draw_receptive, regions
from striate.pictures.style import (
    FAINT,
    LINE,
    SECOND,
    SMALL,
    bare,
    new_figure,
    save,
    show_image,
    styled,
    title,
)
from striate.runtime.files import atomic_write
from striate.trainer import Input, Sequential, layers
from striate.trainer.data import load
from tests.lecture.pages import DOCS, examples

__all__ = ["FOLDER", "LARGEST", "PICTURES", "main"]

FOLDER = DOCS / "pictures"
LARGEST = 200 * 1024
"""Bytes of a picture."""
COLOURS = (256, 128, 64)
DIGIT = "digit:3"
Session = Mapping[str, Any]


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        sys.exit(f"there is no picture {unknown[0]!r}; expected some of {', '.join(PICTURES)}")
    session = computed(DOCS / "lecture.md")
    session["lenet5"] = trained()
    for name in names or PICTURES:
        path = FOLDER / f"lecture_{name}.png"
        PICTURES[name](path, session)
        size = reduced(path)
        print(f"{path.relative_to(DOCS.parent)}: {size / 1024:.0f} KiB")
    return 0


def computed(page: Path) -> dict[str, Any]:
    """The names that the page's session ends with."""
    runner = doctest.DocTestRunner(verbose=False)
    test = examples(page)
    runner.run(test, clear_globs=False)
    if runner.failures:
        sys.exit(f"{page}: {runner.failures} of its examples do not say what the page says")
    return test.globs


def trained() -> Sequential:
    """LeNet-5 for digits."""
    digits = load("digits", part="train")
    model = models.lenet5()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(digits.x, digits.y, batch_size=32, epochs=12, verbose=0)
    return model


def reduced(path: Path) -> int:
    """Leaves a small picture as it is; of a larger one, takes as many colours as fit into the allowed size.

    Returns:
        Its size in bytes.
    """
    data = path.read_bytes()
    image = Image.open(io.BytesIO(data)).convert("RGB")
    for colours in COLOURS:
        if len(data) < LARGEST:
            break
        buffer = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
        data = buffer.getvalue()
    if len(data) >= LARGEST:
        sys.exit(f"{path}: has {len(data)} bytes with {COLOURS[-1]} colours, allowed are {LARGEST}; draw it smaller")
    atomic_write(path, data)
    return len(data)


def draw_receptive_field(path: Path, session: Session) -> None:
    source = opened("lenet5", untrained=True)
    image, shapes = background(source, DIGIT)
    draw_receptive(path, source.name, image, regions(source.graph(shapes), source.name))


def draw_boxes(path: Path, session: Session) -> None:
    draw_architecture(path, inference_graph(session["lenet5"]), "LeNet-5")


def draw_learnt_kernels(path: Path, session: Session) -> None:
    draw_kernels(path, convolutions(inference_graph(session["lenet5"]))[0], "LeNet-5", colour=False)


def draw_learnt_features(path: Path, session: Session) -> None:
    shown = example(opened("lenet5", untrained=True), DIGIT)
    graph = inference_graph(session["lenet5"])
    found = convolutions(graph)
    maps = feature_maps(graph, found, {session["lenet5"].input_names[0]: shown.x})
    draw_features(path, "LeNet-5", shown.image, found, maps, len(found))


def draw_sharing(path: Path, session: Session) -> None:
    sharing.draw(path, sharing.run())


@styled
def draw_edges(path: Path, session: Session) -> None:
    """The photograph, and what each kernel of the page's bank makes of it."""
    photograph, kernels = session["photograph"], session["kernels_by_name"]
    maps = session["edges"].predict(photograph[None])[0]
    figure = new_figure(7.0, 3.75)
    parts = figure.subplots(2, 4)
    gridded = [axes for row in parts for axes in row]
    show_image(gridded[0], photograph.mean(axis=-1, keepdims=True))
    gridded[0].set_title("photograph, in grey", loc="left", fontsize=SMALL)
    bare(gridded[4])
    gridded[4].text(0, 1, REMARK, va="top", fontsize=SMALL, color=FAINT, linespacing=1.5)
    places = [1, 2, 3, 5, 6, 7]
    for place, (name, kernel), made in zip(places, kernels.items(), np.moveaxis(maps, -1, 0), strict=True):
        axes = gridded[place]
        axes.imshow(made, cmap="gray", vmin=0, vmax=np.quantile(made, 0.985), interpolation="antialiased")
        bare(axes)
        rows = "\n".join("  ".join(f"{v:2d}" for v in row) for row in kernel)
        axes.set_title(f"{name}\n{rows}", loc="left", family="monospace", fontsize=SMALL)
    title(figure, "Six kernels of 3×3 on a photograph", 'Conv2D(6, 3, activation="relu") with weights given by hand')
    save(figure, path)


REMARK = """Bright: the kernel fits there.

Negative results are 0, as behind
a ReLU, so a kernel of edges finds
one direction only: from bright to
dark, not from dark to bright.

Each map has a scale of its own."""


@styled
def draw_pooling(path: Path, session: Session) -> None:
    """One map of edges, and rounds of pooling of it."""
    photograph = session["photograph"]
    edges = session["edges"].predict(photograph[None])[:, :, :, :1]
    figure = new_figure(7.6, 3.95)
    parts = [axes for row in figure.subplots(2, 3) for axes in row]
    show_image(parts[0], photograph.mean(axis=-1, keepdims=True))
    parts[0].set_title("photograph, in grey", loc="left")
    shown = [
        ("edges, left to right", edges),
        ("max pooling, once", pooled(edges, layers.MaxPooling2D, 1)),
        ("max pooling, three times", pooled(edges, layers.MaxPooling2D, 3)),
        ("average pooling, three times", pooled(edges, layers.AveragePooling2D, 3)),
        ("L2 pooling, three times", pooled(edges, layers.L2Pooling2D, 3)),
    ]
    for axes, (name, made) in zip(parts[1:], shown, strict=True):
        drawn = made[0, :, :, 0]
        axes.imshow(drawn, cmap="gray", vmin=0, vmax=np.quantile(drawn, 0.985), interpolation="antialiased")
        bare(axes)
        axes.set_title(f"{name}: {drawn.shape[0]} × {drawn.shape[1]}", loc="left")
    title(figure, "Pooling by 2×2", "each round leaves a quarter of the numbers; each picture has a scale of its own")
    save(figure, path)


def pooled(x: np.ndarray, kind: Callable[..., layers.Layer], rounds: int) -> np.ndarray:
    model = Sequential([Input(x.shape[1:]), *(kind(2) for _ in range(rounds))])
    return model.predict(x)


@styled
def draw_stride(path: Path, session: Session) -> None:
    """The slide's image in its frame, the map of stride 1, and what stride 2 leaves of it."""
    image, kernel, single = (np.asarray(session[name]) for name in ("striding", "stride_kernel", "single"))
    framed = np.pad(image, 1)
    figure = new_figure(8.2, 3.5)
    axes = figure.subplots(1, 3, width_ratios=(7, 5, 5))
    cells(axes[0], framed, shade=lambda i, j: "#eeeeee" if framed.shape[0] - 1 in (i, j) or 0 in (i, j) else "white")
    for (i, j), weight in np.ndenumerate(kernel):
        axes[0].text(j + 0.44, i + 0.42, str(weight), fontsize=SMALL, color=SECOND, ha="right", va="bottom")
    outline(axes[0], 0, 0, 3, SECOND)
    axes[0].set_title("5×5 with a frame of zeros,\nthe kernel (small) at its first place", loc="left")
    cells(axes[1], single, shade=lambda i, j: "#dbe7f5" if i % 2 == 0 and j % 2 == 0 else "white")
    outline(axes[1], 0, 0, 3, SECOND)
    axes[1].set_title("stride 1; framed: what the slide\nprints beside “stride of 2”", loc="left")
    cells(axes[2], single[::2, ::2], shade=lambda i, j: "#dbe7f5", extent=5)
    axes[2].set_title("stride 2: every second number,\nthe blue ones", loc="left")
    title(figure, "Stride and padding")
    save(figure, path)


@styled
def draw_backpropagation(path: Path, session: Session) -> None:
    """Values above, gradients of the error below, one column for each stage."""
    found = session["found"]
    stages: list[tuple[str, list[np.ndarray], list[np.ndarray] | None]] = [
        ("image", [session["picture"][0, :, :, 0]], None),
        ("X1: convolution", list(found["X1"][0]), list(found["dE/dX1"][0])),
        ("X2: pooling", [found["X2"].reshape(2, 1)], [found["dE/dX2"].reshape(2, 1)]),
        ("X3, before ReLU", [found["X3"].reshape(2, 1)], [found["dE/dX3"].reshape(2, 1)]),
        ("p = softmax(net)", [found["p"].reshape(10, 1)], [found["dE/dnet"].reshape(10, 1)]),
    ]
    figure = new_figure(8.2, 5.6)
    rows = figure.subplots(2, 5, width_ratios=(3, 2.6, 1.6, 1.6, 1.8))
    for column, (name, values, slopes) in enumerate(stages):
        stacked(rows[0][column], values, whole, "white")
        rows[0][column].set_title(name, loc="center")
        if slopes is None:
            bare(rows[1][column])
            rows[1][column].text(0, 1, GRADIENTS, va="top", fontsize=SMALL, color=FAINT, linespacing=1.5,
                                 transform=rows[1][column].transAxes)  # fmt: skip
        else:
            stacked(rows[1][column], slopes, small, "#fbe3cd")
            rows[1][column].set_title(f"∂E/∂{name.split(':')[0].split(',')[0] if column < 4 else 'net'}", loc="center")
    title(figure, f"Forward and backward: E = {found['E']:.2f}", "orange: gradients that are not 0, from right to left")
    save(figure, path)


GRADIENTS = """Pooling sends its gradient to
where the maximum was; ReLU
stops it where its input was
negative; a dense layer spreads
it by its weights, 1 and 3 here;
the bias of a filter gets the
sum over its map."""


def whole(x: float) -> str:
    return f"{x:.0f}" if x == round(x) else f"{x:.2e}"


def small(x: float) -> str:
    return "0" if x == 0 else f"{x:.4f}" if abs(x) >= 0.01 else f"{x:.2e}"


def stacked(axes: Any, matrices: Sequence[np.ndarray], text: Callable[[float], str], fill: str) -> None:
    """Matrices under one another; cells that are not 0 are filled."""
    gap = 0.5
    high = sum(m.shape[0] for m in matrices) + gap * (len(matrices) - 1)
    wide = max(m.shape[1] for m in matrices)
    top = 0.0
    for matrix in matrices:
        for (i, j), value in np.ndenumerate(matrix):
            cell(axes, j, top + i, text(float(value)), fill if value else "white", SMALL)
        top += matrix.shape[0] + gap
    axes.set_xlim(-0.55, wide - 0.45)
    axes.set_ylim(max(high, 4.6) - 0.45, -0.55)
    bare(axes)


def cells(axes: Any, matrix: np.ndarray, shade: Callable[[int, int], str], extent: int | None = None) -> None:
    """Whole numbers in squares; `extent` leaves room for more of them."""
    for (i, j), value in np.ndenumerate(matrix):
        cell(axes, j, i, str(value), shade(i, j), 9.0)
    side = extent or len(matrix)
    axes.set_xlim(-0.6, side - 0.4)
    axes.set_ylim(side - 0.4, -0.6)
    axes.set_aspect("equal", anchor="N")
    bare(axes)


def cell(axes: Any, x: float, y: float, text: str, fill: str, size: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=fill, edgecolor=LINE, linewidth=0.6))
    axes.text(x, y, text, ha="center", va="center", fontsize=size)


def outline(axes: Any, row: int, column: int, side: int, colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor=colour, linewidth=1.8))


PICTURES: dict[str, Callable[[Path, Session], Any]] = {
    "sharing": draw_sharing,
    "receptive": draw_receptive_field,
    "edges": draw_edges,
    "kernels": draw_learnt_kernels,
    "features": draw_learnt_features,
    "stride": draw_stride,
    "pooling": draw_pooling,
    "architecture": draw_boxes,
    "backpropagation": draw_backpropagation,
}
"""Name → what draws it into a file, from the page's session and the trained `lenet5`."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
