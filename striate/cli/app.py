"""Puts the subcommands together, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 an error, or a check that failed; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..runtime.errors import StriateError
from . import (
    bench,
    boost,
    cache,
    check,
    demo,
    evaluate,
    experiment,
    explain,
    export,
    models,
    plot,
    profile,
    run,
    summary,
    train,
)
from .several import Several

__all__ = ["app", "main"]

_ORT_PREFIX = "[ONNXRuntimeError]"

app = typer.Typer(
    name="striate",
    help="Train convolutional networks, export them to ONNX, run any ONNX file, and prove the outputs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (demo.demo, train.train, evaluate.evaluate, export.export, run.run, check.check, summary.summary):
    app.command()(command)
app.command(cls=Several)(bench.bench)
app.command()(profile.profile)
app.command()(boost.boost)
app.command()(cache.cache)
app.command()(models.models)
app.add_typer(experiment.experiment, name="experiment")
app.add_typer(explain.explain, name="explain")
app.add_typer(plot.plot, name="plot")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"striate {version('striate')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options that need no subcommand."""


def main() -> None:
    """Runs the command line; every fault becomes one line on stderr. `STRIATE_TRACEBACK=1` shows where it came from."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("STRIATE_TRACEBACK"):
            raise
        _complain(error)
        sys.exit(1)


def _complain(error: Exception) -> None:
    from .console import complain

    text = _text(error)
    if isinstance(error, StriateError):
        complain(text)
    elif isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        complain(f"{name}{error.strerror or text}")
    elif isinstance(error, MemoryError):
        complain(f"there is not enough memory. {text}")
    else:
        complain(
            f"unexpected {type(error).__name__}: {text}. This is a fault of Striate; STRIATE_TRACEBACK=1 shows where."
        )


def _text(error: Exception) -> str:
    """One line: a session's error speaks onnxruntime's language, the error behind it ours; notes say what to do."""
    text = str(error)
    if text.startswith(_ORT_PREFIX):
        behind = error.__cause__ or error.__context__
        text = str(behind) if isinstance(behind, StriateError) else text.split(" : ", 3)[-1]
    notes = getattr(error, "__notes__", ())
    return " ".join("; ".join(dict.fromkeys((text, *notes))).split())
