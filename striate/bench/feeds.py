"""Inputs for a model in a file: shapes that were asked for, random values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.model_face import NodeArg

__all__ = ["Inputs"]


@dataclass(frozen=True)
class Inputs:
    """What a model wants to be fed.

    Attributes:
        specs: `NodeArg`s of the inputs that have no default.
    """

    model: ir.Model
    specs: list[NodeArg]

    @classmethod
    def of(cls, path: Path) -> Inputs:
        """Of the model in a file.

        Raises:
            StriateError: if it cannot be read.
        """
        from ..runtime.model_face import argument
        from ..runtime.reader import read

        model = read(path)
        graph, kinds = model.graph, model.meta["types"]
        given = [v for v in graph.inputs if v.name not in graph.initializers]
        return cls(model, [argument(v, kind=kinds.get(v.name)) for v in given])

    def get_inputs(self) -> list[NodeArg]:
        """As of a session."""
        return self.specs

    def feeds(
        self,
        shapes: Mapping[str, Sequence[int]],
        batch: int | None,
        seed: int,
        given: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Random values: normal ones, whole numbers and truth values of 0 and 1, or the arrays that are given.

        Args:
            shapes: by input, where the model leaves them open.
            batch: for open first dimensions, 1 if None.

        Raises:
            InvalidInput: for a shape that contradicts the model, or one that is still open.
        """
        given = given or {}
        known = {**shapes, **{name: array.shape for name, array in given.items()}}
        found = self._shapes(known, batch if any(s.name not in given for s in self.specs) else None)
        rng = np.random.Generator(np.random.Philox(seed))
        return {
            s.name: given[s.name] if s.name in given else _random(rng, s, shape)
            for s, shape in zip(self.specs, found, strict=True)
        }

    def _shapes(self, shapes: Mapping[str, Sequence[int]], batch: int | None) -> list[tuple[int, ...]]:
        from ..runtime.cost.bind import bind

        graph = self.model.clone().graph
        for value in list(graph.inputs):
            if value.name in graph.initializers:
                graph.inputs.remove(value)
        bind(graph, shapes, batch)
        made = []
        for value in graph.inputs:
            sizes = None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
            if sizes is None or None in sizes:
                shape = "…" if sizes is None else "x".join("?" if d is None else str(d) for d in sizes)
                raise InvalidInput(
                    f"input {value.name!r} has an open shape; give it with --input {value.name}={shape}, "
                    "a number in place of each ?"
                )
            made.append(tuple(d for d in sizes if d is not None))
        return made


def _random(rng: np.random.Generator, spec: Any, shape: Sequence[int]) -> np.ndarray:
    from ..runtime.dtypes import NAMES, is_float, numpy_dtype

    codes = {f"tensor({name})": code for code, name in NAMES.items()}
    if spec.type not in codes:
        raise InvalidInput(f"input {spec.name!r} is {spec.type or 'of unknown type'}; only tensors can be made up")
    dtype = numpy_dtype(codes[spec.type])
    if is_float(dtype) or dtype.kind == "c":
        return rng.standard_normal(shape).astype(dtype)
    drawn = rng.integers(0, 2, shape)
    return drawn.astype(str).astype(object) if dtype.kind in "OSU" else drawn.astype(dtype)
