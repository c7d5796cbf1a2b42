"""The same code on onnxruntime and on Striate: only the import differs.

python examples/drop_in.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

import numpy as np
import onnxruntime

import striate.runtime
from striate import exporter, models


def describe(ort: ModuleType, path: Path, images: np.ndarray) -> np.ndarray:
    """What one runtime says of the model, and its probabilities."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    print(f"{ort.__name__}: {image.name} {image.type} {image.shape} -> {[o.name for o in session.get_outputs()]}")
    try:
        session.run(None, {image.name: images[:, :16]})
    except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
        print(str(error).splitlines()[0])
    (probabilities,) = session.run(None, {image.name: images})
    return probabilities


def main() -> None:
    path = exporter.export(models.lenet5(), Path(mkdtemp()) / "lenet5.onnx")
    images = np.random.default_rng(0).random((8, 32, 32, 1), np.float32)
    ours, theirs = (describe(ort, path, images) for ort in (striate.runtime, onnxruntime))
    print(f"largest difference {np.abs(ours - theirs).max():.1e}")


if __name__ == "__main__":
    main()
