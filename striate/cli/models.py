"""`striate models`"""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(help="Show all that is known of this one.")] = None,
) -> None:
    """Lists the architectures that `striate train` makes by name, or describes one.

    Examples:

        striate models

        striate models lenet5_1998
    """
    from .. import models as known
    from .console import facts, say, show

    if name is None:
        show(facts("Architectures", {n: _first_line(known.describe(n)) for n in known.names()}))
        say("striate models NAME says more; striate summary NAME --count counts its layers")
        return
    print(inspect.cleandoc(known.describe(name)))


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].strip() if text.strip() else ""
