"""What may follow a data set's name or path: `reviews.csv,text=review,label=stars`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from ...runtime.errors import InvalidInput

__all__ = ["OPTIONS", "refuse_others", "split_options", "yes_or_no"]

OPTIONS = ("text", "label", "features", "header", "delimiter", "labels", "sha256", "md5")
_LAST = re.compile(rf",({'|'.join(OPTIONS)})=([^,]*)$")


def split_options(spec: str) -> tuple[str, dict[str, str]]:
    """The name or path, and the options after it. A file that has the whole of `spec` as its name has no options.

    Raises:
        InvalidInput: if an option is given twice.
    """
    found: dict[str, str] = {}
    while (match := _LAST.search(spec)) and not Path(spec).exists():
        if match[1] in found:
            raise InvalidInput(f"data {spec!r}: option {match[1]!r} is given twice")
        found[match[1]] = match[2]
        spec = spec[: match.start()]
    return spec, found


def refuse_others(spec: str, options: Mapping[str, str], known: Collection[str] = ()) -> None:
    """Raises InvalidInput for the first option that this kind of data does not have."""
    for name in options:
        if name not in known:
            said = f"expected one of {', '.join(known)}" if known else "it has none"
            raise InvalidInput(f"data {spec!r} does not take the option {name!r}; {said}")


def yes_or_no(spec: str, name: str, text: str) -> bool:
    """The value of an option that is `yes` or `no`."""
    if text not in ("yes", "no"):
        raise InvalidInput(f"data {spec!r}: option {name}={text}; expected yes or no")
    return text == "yes"
