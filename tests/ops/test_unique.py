"""What the case table cannot say of Unique and Det: errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput
from striate.runtime.ops import registry

WRONG: dict[str, tuple[str, np.ndarray, dict[str, Any], str]] = {
    "axis": ("Unique", np.zeros((2, 3)), {"axis": 2}, "axis 2 does not exist"),
    "axis of a scalar": ("Unique", np.array(1), {"axis": 0}, "axis 0 does not exist"),
    "det of a scalar": ("Det", np.array(1.0), {}, r"shape \[\]; expected square matrices"),
    "det of a vector": ("Det", np.zeros(3), {}, "expected square matrices"),
    "det of rows": ("Det", np.zeros((2, 3, 2)), {}, r"shape \[2, 3, 2\]"),
}


@pytest.mark.parametrize(("name", "X", "attributes", "message"), WRONG.values(), ids=WRONG)
def test_errors(name: str, X: np.ndarray, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        registry.lookup("", name, 11).kernel(np, X, **attributes)
