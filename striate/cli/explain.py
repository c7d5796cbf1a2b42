"""`striate explain`: the arithmetic of a layer, written out."""

from __future__ import annotations

import re
from typing import Annotated

import typer

__all__ = ["explain"]

explain = typer.Typer(help="The arithmetic of a layer, written out.", no_args_is_help=True)


@explain.callback()
def _group() -> None:
    """The arithmetic of a layer, written out."""


@explain.command()
def conv(
    input: Annotated[
        str, typer.Option("--input", help="Width, height and channels of the image.", metavar="WxH[xC]")
    ] = "320x280",
    kernel: Annotated[
        str, typer.Option("--kernel", help="Height and width of the kernel: rows, then columns.", metavar="HxW")
    ] = "1x2",
    filters: Annotated[int, typer.Option(min=1, help="Kernels, each making one feature map.")] = 1,
    stride: Annotated[int, typer.Option(min=1, help="Positions that the kernel moves.")] = 1,
    padding: Annotated[int, typer.Option(min=0, help="Zeros on each side.")] = 0,
) -> None:
    """Counts a convolution by hand: output size, neurons, weights with and without sharing, connections, operations.

    The last lines compare it with a layer that connects every input with every output.

    Examples:

        striate explain conv --input 320x280 --kernel 1x2

        striate explain conv --input 32x32x3 --kernel 5x5 --filters 10
    """
    from ..runtime.errors import InvalidInput
    from ..trainer.counting import Window
    from .console import facts, say, show

    width, height, channels = _sizes("--input", input, (2, 3), "WxH or WxHxC such as 32x32x3")
    rows, columns, _ = _sizes("--kernel", kernel, (2,), "HxW such as 5x5")
    window = Window(height, width, channels, (rows, columns), filters, stride, padding)
    down, across, maps = window.output
    if min(down, across) < 1:
        raise InvalidInput(
            f"kernel {rows}×{columns} does not fit into {height + 2 * padding} rows and {width + 2 * padding} columns; "
            "give a smaller kernel or more padding"
        )
    each = f"{rows} · {columns} · {channels}"
    many = "s" * (filters > 1)
    show(
        facts(
            f"{filters} kernel{many} of {rows}×{columns} on {width} wide, {height} high, {channels} deep",
            {
                "output width": f"⌊({width} - {columns} + 2·{padding}) / {stride}⌋ + 1 = {across}",
                "output height": f"⌊({height} - {rows} + 2·{padding}) / {stride}⌋ + 1 = {down}",
                "neurons": f"{down} · {across} · {maps} = {window.neurons:,}",
                "weights, shared": f"{filters} · ({each} + 1) = {window.weights:,}",
                "weights, not shared": f"{window.neurons:,} · ({each} + 1) = {window.unshared:,}",
                "connections": f"{window.neurons:,} · ({each} + 1) = {window.connections:,}",
            },
        )
    )
    pixels = height * width * channels
    takes = f"{window.fan_in} products, {window.fan_in - 1} sums"
    dense = window.dense_weights
    show(
        facts(
            "Beside a layer that connects everything with everything",
            {
                "its weights": f"{pixels:,} · {window.neurons:,} = {dense:,}",
                "convolution": f"{window.neurons:,} · ({takes}) = {window.operations:,} operations",
                "ratio": f"{dense / window.operations:,.0f} times, if of the other only products count",
                "": f"{2 * dense / window.operations:,.0f} times, if its sums count as well",
            },
        )
    )
    if (width, height, channels, rows, columns, stride, padding) == (320, 280, 1, 1, 2, 1, 0):
        say(
            "Goodfellow, Bengio and Courville (2016) say roughly 60,000 times: 16e9 operations, additions counted too, "
            "÷ 267,960. The 8e9 are the multiplications alone, some 30,000 times."
        )


def _sizes(option: str, text: str, counts: tuple[int, ...], expected: str) -> tuple[int, int, int]:
    """Two or three numbers with × or x between them; the third is 1 where it is not given.

    Raises:
        InvalidInput: for anything else, and for sizes nobody has.
    """
    from ..runtime.errors import InvalidInput

    parts = re.split("[x×]", text.strip().lower())
    if len(parts) not in counts or not all(re.fullmatch("[1-9][0-9]{0,6}", part) for part in parts):
        raise InvalidInput(f"{option} {text!r} does not fit; expected {expected}, numbers from 1 to 9999999")
    a, b, *rest = map(int, parts)
    return a, b, rest[0] if rest else 1
