"""Many kernels that are not in the cache are compiled by several processes, since LLVM works on one text at a time.

A helper is a Python that compiles what it is given and puts it into the cache, where this process finds it afterwards.
One that does not start, fails or is slow costs time and nothing else: whoever misses a kernel compiles it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .host import cores

__all__ = ["compile_shared", "shares"]

Text = tuple[str, str]
"""The name of a function and the text of its module."""

STARTING = 250_000
"""Characters that are compiled in the time that a helper takes to start, a tenth of a second."""
LONGEST = 60.0
"""Seconds to wait for a helper."""

_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?", re.IGNORECASE)
_WORK = """
import sys
from importlib import import_module
from json import load
given = load(sys.stdin)
sys.path[:] = given["path"]
compiled = import_module(given["module"]).compiled
for name, text in given["texts"]:
    compiled(name, text)
"""


def compile_shared(texts: Sequence[Text], compiled: Callable[[str, str], object]) -> None:
    """Calls `compiled`, which fills the cache, for each text, in helpers too if there is enough to do for them.

    Args:
        compiled: a function of its module's that is called so.
    """
    own, *others = shares(texts, cores() if _can_start() else 1)
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        for share in others:
            with suppress(OSError, ValueError):
                helpers.append(_started(share, compiled.__module__))
        for text in own:
            compiled(*text)
        for helper in helpers:
            with suppress(subprocess.TimeoutExpired):
                helper.wait(LONGEST)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def shares(texts: Sequence[Text], most: int) -> list[list[Text]]:
    """The texts divided among at most so many processes, the first of which need not be started: it ends the last."""
    ready = [0, *(STARTING for _ in range(1, most))]
    found: list[list[Text]] = [[] for _ in ready]
    for text in sorted(texts, key=lambda text: -len(text[1])):
        soonest = min(range(len(ready)), key=lambda i: ready[i] + len(text[1]))
        ready[soonest] += len(text[1])
        found[soonest].append(text)
    return [found[0], *(share for share in found[1:] if share)]


def _can_start() -> bool:
    """Whether this is a Python that can be started once more, and not a program that holds one."""
    return bool(sys.executable and _PYTHON.fullmatch(Path(sys.executable).name) and not getattr(sys, "frozen", False))


def _started(share: Sequence[Text], module: str) -> subprocess.Popen[bytes]:
    """A helper at work. It gets its texts in a file: a pipe would have to be filled while it starts."""
    path = [entry for entry in sys.path if isinstance(entry, str)]  # which others are not looked at anyway
    with tempfile.TemporaryFile() as given:
        given.write(json.dumps({"path": path, "module": module, "texts": share}).encode())
        given.seek(0)
        command = [sys.executable, "-P", "-c", _WORK]
        unseen = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=given, stdout=nowhere, stderr=nowhere, creationflags=unseen)
