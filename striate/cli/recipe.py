"""`run.toml`: the options of a training, written beside its results, and read back by `--config`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import typer

from ..runtime.errors import InvalidInput
from ..runtime.files import atomic_write

__all__ = ["LEFT_OUT", "from_file", "versions", "write"]

LARGEST = 1 << 16
LEFT_OUT = {"config", "force", "out", "tensorboard", "ctx"}
"""Options that say where and how results are written, not what they are."""


def from_file(context: typer.Context, path: Path | None) -> Path | None:
    """A callback of an eager option: what the file says becomes the defaults of the command's other options.

    Raises:
        InvalidInput: naming the file and the line or key, for what is no TOML, or no option of the command.
    """
    if path is None:
        return None
    name = context.command.name or ""
    found = _read(path).get(name)
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: has no table [{name}]; expected the options of `striate {name}` in it")
    known = {parameter.name for parameter in context.command.params} - LEFT_OUT | {"out"}
    for key, value in found.items():
        if key not in known:
            raise InvalidInput(
                f"{path}: {name}.{key} is no option; expected some of {', '.join(sorted(map(str, known)))}"
            )
        if not isinstance(value, (str, int, float, bool)):
            raise InvalidInput(
                f"{path}: {name}.{key} is a {type(value).__name__}; expected text, a number or true/false"
            )
    context.default_map = {**(context.default_map or {}), **found}
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidInput(f"{path}: is larger than {LARGEST:,} bytes; expected the run.toml of a training")
        with path.open("rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: is not TOML: {error}") from None


def write(path: Path, context: typer.Context) -> None:
    """Writes the options that a command runs with, in the order of its help."""
    command = context.command.name
    options = {str(parameter.name): context.params.get(str(parameter.name)) for parameter in context.command.params}
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines = [f"# `striate {command} --config {path.name}` does this again. Written with {made}.", f"[{command}]"]
    lines += [f"{n} = {_value(v)}" for n, v in options.items() if v is not None and n not in LEFT_OUT]
    atomic_write(path, ("\n".join(lines) + "\n").encode())


def _value(value: Any) -> str:
    """Strings as JSON has them, which TOML takes too."""
    return (
        repr(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else json.dumps(value if isinstance(value, bool) else str(value))
    )


def versions() -> dict[str, str]:
    """What a result may depend on beside the seed."""
    import platform
    from importlib.metadata import version

    names = ("striate", "numpy", "onnx")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}
