"""The one case table, family by family, as in `runtime/ops`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..table import Case

FAMILIES = (
    *(
        "elementwise",
        "logic",
        "casting",
        "activation",
        "linear",
        "convolution",
        "pooling",
        "normalization",
        "reduction",
        "shape",
    ),
    *("slicing", "einsum", "indexing", "image", "loss", "random", "grad", "training"),
)
CASES: list[Case] = []
for _family in FAMILIES:
    if find_spec(f"{__name__}.{_family}") is not None:
        CASES += import_module(f"{__name__}.{_family}").CASES
