"""onnxruntime as its users run it: all optimisations, a number of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..runtime.errors import MissingDependency, RunFailed
from .verify import first_line

__all__ = ["peer"]


def peer(path: str, threads: int) -> Callable[[Mapping[str, np.ndarray]], list[Any]]:
    """A function of the inputs that gives the outputs of the model in a file.

    Raises:
        MissingDependency: if onnxruntime is not installed.
        RunFailed: if it refuses the model.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependency("onnxruntime is not installed; install it with pip install 'striate[check]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RunFailed(f"onnxruntime refuses the model: {first_line(error)}") from error
    return lambda feeds: session.run(None, dict(feeds))
