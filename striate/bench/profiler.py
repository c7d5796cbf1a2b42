"""A profile taken in a process of its own, whose libraries have no more threads than asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..runtime.errors import RunFailed
from ..runtime.profile import NodeTime, Piece, Profile, Span, profile
from .exchange import read_arrays, write_arrays
from .process import Worker, WorkerFailed
from .worker import Ask, work

__all__ = ["profiled"]


def profiled(
    model: Path, feeds: Mapping[str, np.ndarray], threads: int, engine: str, runs: int, timeout: float
) -> Profile:
    """See `runtime.profile.profile`.

    Args:
        engine: `native` or `arrays`.
        timeout: seconds that all of it may take.

    Raises:
        RunFailed: with the message of whatever went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="striate-profile-") as folder:
        inputs = Path(folder, "inputs")
        write_arrays(inputs, feeds)
        job = {
            "model": str(model.absolute()),
            "inputs": str(inputs),
            "threads": threads,
            "engine": engine,
            "runs": runs,
        }
        try:
            with Worker(threads, None, timeout, __name__) as worker:
                found = worker.ask(job)
        except WorkerFailed as failed:
            raise RunFailed(str(failed)) from None
    nodes = [NodeTime(**{**node, "pieces": [Piece(**piece) for piece in node["pieces"]]}) for node in found["nodes"]]
    return Profile(**{**found, "nodes": nodes, "trace": [Span(**span) for span in found["trace"]]})


def _serve(ask: Ask) -> None:
    from ..runtime import InferenceSession, SessionOptions

    job = ask(None)
    if job is None:
        return
    options = SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.add_session_config_entry("striate.engine", job["engine"])
    session = InferenceSession(job["model"], options)
    ask(asdict(profile(session, read_arrays(Path(job["inputs"])), job["runs"], job["threads"])))


if __name__ == "__main__":
    work(_serve)
