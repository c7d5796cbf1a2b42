"""How every figure looks: colours, sizes of text, and files that are there whole or not at all.

The colours are told apart by readers with any kind of colour blindness (M. Okabe and K. Ito, "Color Universal Design",
2008); where a colour says something, a line style, a sign or a number says it too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from ..runtime.errors import InvalidInput, MissingDependency
from ..runtime.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "DIVERGING",
    "FAINT",
    "LARGE",
    "LINE",
    "SECOND",
    "SEQUENTIAL",
    "SERIES",
    "SMALL",
    "bare",
    "fitted",
    "new_figure",
    "picture_format",
    "plain",
    "save",
    "shape_text",
    "show_image",
    "styled",
    "text_width",
    "title",
]

ACCENT, SECOND = "#1f5fa8", "#d9730d"
SERIES = (ACCENT, SECOND, "#009e73", "#cc79a7", "#56b4e9", "#8a6d00", "#333333")
FAINT, LINE = "#555555", "#b8b8b8"
SEQUENTIAL, DIVERGING = "magma", "RdBu_r"
SMALL, NORMAL, LARGE = 7.0, 8.0, 10.0
"""Points; nothing is written smaller."""
DPI = 160
FORMATS = {".png": "png", ".svg": "svg"}

_SETTINGS: dict[str, Any] = {
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "image.interpolation": "nearest",
    "svg.hashsalt": "striate",
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a function that draws: what it draws has this module's look, whatever matplotlib is set to.

    Raises:
        MissingDependency: if matplotlib is not installed.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with _matplotlib().rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return drawn


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise MissingDependency(
            "pictures are drawn with matplotlib; install it with pip install 'striate[plot]'"
        ) from None
    return matplotlib


def new_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    """An empty figure, in inches.

    Raises:
        MissingDependency: if matplotlib is not installed.
    """
    _matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def picture_format(path: Path) -> str:
    """`png` or `svg`, by the suffix.

    Raises:
        InvalidInput: for another one.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        kind = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise InvalidInput(f"cannot draw {path}: it has {kind}; expected the name of a .png or .svg file")
    return found


def save(figure: Any, path: Path) -> None:
    """Writes it as PNG or SVG, by the suffix; the same figure gives the same bytes.

    Raises:
        InvalidInput: for another suffix.
    """
    kind = picture_format(path)
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    atomic_write(path, buffer.getvalue())


def title(figure: Any, text: str, remark: str = "") -> None:
    """What one sees, bold at the top left, and a fainter line below it; both stay within the page.

    A remark that is too long is broken into lines, for which the page is made higher where a layout is on.
    """
    width, height = figure.get_size_inches()
    room = 72 * width - 12
    lines = _wrapped(remark, room)
    engine = figure.get_layout_engine()
    if engine is not None:
        height += max(len(lines) - 1, 0) * 10 / 72
        figure.set_size_inches(width, height)
    left, point = 0.08 / width, 1 / (72 * height)
    heading = plain(fitted(text, room, LARGE, True))
    whole = figure.text(left, 1 - 5 * point, heading, fontsize=LARGE, fontweight="bold", va="top", ha="left")
    whole.set_in_layout(False)
    for i, line in enumerate(lines):
        y = 1 - (20 + 10 * i) * point
        figure.text(left, y, plain(line), fontsize=SMALL, color=FAINT, va="top", ha="left").set_in_layout(False)
    if engine is not None:
        engine.set(rect=(0, 0, 1, 1 - (21 + (11 if lines else 0) + 10 * max(len(lines) - 1, 0)) * point))


def _wrapped(text: str, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, SMALL) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Points that a line of text takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    if not text:
        return 0.0
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return float(TextToPath().get_text_width_height_descent(plain(text), font, ismath=False)[0])


def fitted(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, or its end behind an ellipsis, in so many points."""
    cut = text
    while cut and text_width(cut, size, bold) > width:
        text = text[1:]
        cut = f"…{text}"
    return cut


def plain(text: object) -> str:
    """Text in which nothing is taken for mathematics, and nothing that cannot be printed is left."""
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in str(text)).replace("$", r"\$")


def shape_text(shape: Any) -> str:
    """`6×28×28`; `?` where a dimension is open."""
    if shape is None:
        return "?"
    return "×".join(str(d) if isinstance(d, int) else "?" for d in shape) or "scalar"


def bare(axes: Axes) -> None:
    """No ticks, no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def show_image(axes: Axes, image: np.ndarray, **options: Any) -> None:
    """An image `(H, W, 1 or 3)` with values in [0, 1], upright; one channel is shown in grey."""
    grey = image.shape[-1] == 1
    axes.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=1, **options)
    bare(axes)
