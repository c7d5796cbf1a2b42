"""What the case table cannot say of convolutions: large images are computed piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.arrays import engine
from striate.runtime.ops import convolution
from striate.runtime.ops._windows import columns, windows

from .cases import CASES
from .running import arrays_of, run_kernel
from .table import Case

CPU = engine("cpu")
CONVS = [case for case in CASES if case.op == "Conv"]


@pytest.mark.parametrize("case", CONVS, ids=lambda case: case.id)
def test_piece_by_piece(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image and one row at a time give what all at once gives."""
    arrays = arrays_of(case, "float64")
    (want,) = run_kernel(case, arrays, CPU)
    single = [arrays[0][:1], *arrays[1:]]
    monkeypatch.setattr(convolution, "HOST_COLUMNS", 1)
    (got,) = run_kernel(case, single, CPU)
    np.testing.assert_allclose(got, want[:1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0), (1, 2), (4, 4)])
def test_rows_of_windows(strides: int, dilation: int, pads: tuple[int, int]) -> None:
    """The windows of some rows see the same positions as the whole, counted from the first they read."""
    w = windows((9, 4), (3, 2), (strides, 1), (dilation, 1), (pads[0], 0, pads[1], 0))
    image = np.arange(36.0).reshape(1, 1, 9, 4) + 1
    whole = columns(np, image, w)
    for start in range(w.out[0]):
        for stop in range(start + 1, w.out[0] + 1):
            part, read = w.rows(start, stop)
            np.testing.assert_array_equal(columns(np, image[:, :, read], part), whole[..., start:stop, :])
