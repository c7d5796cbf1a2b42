"""Trained networks as ONNX files with model cards; `python -m tools.pretrain` made them."""

from __future__ import annotations

from pathlib import Path

from ...runtime.errors import InvalidInput

__all__ = ["pretrained", "pretrained_names"]

FOLDER = Path(__file__).parent


def pretrained(name: str) -> Path:
    """The ONNX file of a trained network, for `InferenceSession` and every command; beside it is its model card (.md).

    Args:
        name: as `models.get` takes it; see `pretrained_names`.

    Raises:
        InvalidInput: if there is no trained network of that name.
    """
    if name not in pretrained_names():
        raise InvalidInput(f"no trained network is called {name!r}; there are: {', '.join(pretrained_names())}")
    return FOLDER / f"{name}.onnx"


def pretrained_names() -> list[str]:
    """The networks that come trained, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.onnx"))
