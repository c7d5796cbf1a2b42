"""Operators by family. Adding one touches its family's file here and one row of `tests/ops/cases`."""

from __future__ import annotations

from importlib import import_module

from .registry import GRAD_DOMAIN, Operator, find, lookup, op, registered

__all__ = ["GRAD_DOMAIN", "Operator", "find", "load_all", "lookup", "op", "registered"]

FAMILIES = (
    "elementwise",
    "logic",
    "casting",
    "activation",
    "linear",
    "convolution",
    "pooling",
    "normalization",
    "batch_normalization",
    "reduction",
    "shape",
    "slicing",
    "einsum",
    "indexing",
    "unique",
    "image",
    "loss",
    "random",
    "grad",
    "training",
    "attention",
    "recurrent",
    "quantization",
    "quantized_products",
    "sampling",
    "roi",
    "deformable",
    "detection",
    "signal",
    "strings",
    "sequence",
    "control_flow",
    "optimizer",
    "features",
    "categories",
    "classical",
    "trees",
    "codec",
)
_loaded = False


def load_all() -> None:
    """Imports every family once, so that its operators are registered."""
    global _loaded
    if not _loaded:
        for family in FAMILIES:
            import_module(f"{__name__}.{family}")
        _loaded = True
