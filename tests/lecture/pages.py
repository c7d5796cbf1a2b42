"""Pages of docs/ as doctests: what stands in their ```python fences, one session for each page."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

__all__ = ["DOCS", "examples"]

DOCS = Path(__file__).resolve().parents[2] / "docs"


def examples(page: Path) -> doctest.DocTest:
    """The page's examples in its order, with the page's line numbers; whatever is not Python becomes empty lines."""
    python = False
    lines = []
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = re.fullmatch(r"```(\w*)", line)
        if fence:
            python = fence[1] == "python"
        lines.append(line if python and not fence else "")
    return doctest.DocTestParser().get_doctest("\n".join(lines), {}, page.name, str(page), 0)
