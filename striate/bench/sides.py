"""How each runtime is brought up in its process: what it imports, and what a session of it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InvalidInput

__all__ = ["OURS", "SIDES", "create", "import_all"]

Run = Callable[[Mapping[str, np.ndarray]], list[Any]]

OURS = ("native", "arrays")
SIDES = (*OURS, "onnxruntime", "script")

_OURS = tuple(
    f"striate.runtime.{name}"
    for name in ("session", "reader", "executor", "engines.native.lowering", "engines.native.stored")
)
_IMPORTS = {
    "native": (*_OURS, "llvmlite.binding"),
    "arrays": _OURS,
    "onnxruntime": ("striate.exporter.verify_peer", "onnxruntime"),
    "script": (),
}
"""What a side needs whatever the model: it counts neither as time nor as memory of the model."""


def import_all(side: str) -> None:
    """Loads what the side would load with its first session; a script's own imports belong to the script."""
    for name in _IMPORTS[side]:
        import_module(name)


def create(side: str, model: str, threads: int) -> Run:
    """A function of the inputs that gives the outputs.

    Args:
        model: the path of the .onnx file; for `script` that of the script.
    """
    if side == "onnxruntime":
        from ..exporter.verify_peer import peer

        return peer(model, threads)
    return _script(Path(model)) if side == "script" else _ours(model, side, threads)


def _ours(model: str, engine: str, threads: int) -> Run:
    from ..runtime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("striate.engine", engine)
    session = InferenceSession(model, options)
    return lambda feeds: session.run(None, feeds)


def _script(path: Path) -> Run:
    """The function `run` of a Python file.

    Raises:
        InvalidInput: if there is none.
    """
    sys.path.insert(0, str(path.absolute().parent))
    spec = util.spec_from_file_location("bench_script", path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"script {str(path)!r} is not a Python file")
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    run = getattr(module, "run", None)
    if not callable(run):
        raise InvalidInput(
            f"script {str(path)!r} defines no function run; expected run(inputs: dict[str, ndarray]) -> list[ndarray]"
        )

    def checked(feeds: Mapping[str, np.ndarray]) -> list[Any]:
        results = run(dict(feeds))
        if not isinstance(results, (list, tuple)):
            raise InvalidInput(
                f"run of script {str(path)!r} gave a {type(results).__name__}; expected a list of arrays"
            )
        return list(results)

    return checked
