"""Holds a model's outputs in this runtime against those of another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.dtypes import is_float
from ..runtime.errors import InvalidInput, MissingDependency, RunFailed

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Report", "Row", "compare", "random_inputs", "ulp_distance", "verify"]

Arrays = Mapping[str, np.ndarray]

OPEN_DIMENSION = 32
"""The size given to an open dimension that is not the first."""


@dataclass(frozen=True)
class Row:
    """One output of both runtimes.

    Attributes:
        max_abs: largest |ours − theirs|.
        max_rel: largest |ours − theirs| / |theirs|.
        max_scaled: largest |ours − theirs| / (1 + |theirs|), for integers |ours − theirs|: what the tolerance bounds.
        max_ulp: largest distance in units in the last place of the output's dtype; None where it is not floating point.
        argmax_equal: how many rows along the last axis (trailing axes of length 1 left out) have the same largest
            entry, of `argmax_total`; both are 0 where a row has only one entry.
        remark: why agreement proves little (the output is constant, or all NaN), or an empty text.
        fault: what makes the two incomparable (shape, dtype), or an empty text.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float
    max_rel: float
    max_scaled: float
    max_ulp: float | None
    argmax_equal: int
    argmax_total: int
    fault: str = ""
    remark: str = ""

    def ok(self, tolerance: float) -> bool:
        """Whether both runtimes agree on this output."""
        return not self.fault and self.max_scaled <= tolerance


@dataclass(frozen=True)
class Report:
    """What `verify` found, one row per output."""

    path: str
    against: str
    rows: tuple[Row, ...]
    theirs: tuple[np.ndarray, ...] = field(default=(), repr=False, compare=False)
    """The other runtime's outputs."""

    def ok(self, tolerance: float = 1e-5) -> bool:
        """Whether shapes and dtypes agree and every |ours − theirs| ≤ tolerance · (1 + |theirs|)."""
        return all(row.ok(tolerance) for row in self.rows)

    @property
    def max_abs(self) -> float:
        """The largest absolute difference of all outputs."""
        return max((row.max_abs for row in self.rows), default=0.0)

    def table(self) -> Table:
        """The rows for a terminal."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        title = f"{self.path}: Striate and {self.against}"
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        table.add_column("output", no_wrap=True)
        table.add_column("type")
        for heading in ("max |diff|", "relative", "ULP", "same argmax"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            kind = f"{row.dtype} {'×'.join(map(str, row.shape)) or 'scalar'}"
            numbers = (f"{row.max_abs:.3g}", f"{row.max_rel:.3g}", "–" if row.max_ulp is None else f"{row.max_ulp:.0f}")
            same = f"{row.argmax_equal} of {row.argmax_total}" if row.argmax_total else "–"
            cells = ("–",) * 4 if row.fault else (*numbers, same)
            table.add_row(Text(row.name), Text(row.fault or kind), *cells)
        return table

    def __rich__(self) -> Table:
        return self.table()


def verify(
    path: str | os.PathLike[str],
    inputs: Arrays | None = None,
    *,
    against: str = "onnxruntime",
    samples: int = 4,
    seed: int = 0,
) -> Report:
    """Runs a model here and in another runtime, on the same inputs.

    Args:
        path: an `.onnx` file.
        inputs: arrays by name; random valid ones if None.
        against: `onnxruntime`; `reference` for the evaluator inside the onnx package; `float64` for our own kernels on
            the model widened to float64 (what they compute is rounded to the dtype of the output).
        samples: the size of open batch dimensions in random inputs.
        seed: of the random inputs.

    Raises:
        InvalidInput: if the inputs do not fit, or `against` is unknown.
        MissingDependency: if onnxruntime is not installed.
        RunFailed: if the other runtime refuses the model.
    """
    from ..runtime import InferenceSession

    if against not in _RUNNERS:
        raise InvalidInput(f"against is {against!r}; expected one of: {', '.join(_RUNNERS)}")
    file = Path(path)
    session = InferenceSession(str(file))
    names = [v.name for v in session.get_outputs()]
    feeds = dict(inputs) if inputs is not None else random_inputs(session, samples=samples, seed=seed)
    ours = session.run(None, feeds)
    theirs = _RUNNERS[against](file, feeds, names)
    if against == "float64":
        theirs = [_narrowed(np.asarray(b), np.asarray(a).dtype) for a, b in zip(ours, theirs, strict=True)]
    rows = tuple(compare(n, np.asarray(a), np.asarray(b)) for n, a, b in zip(names, ours, theirs, strict=True))
    return Report(file.name, against, rows, tuple(np.asarray(b) for b in theirs))


def _narrowed(theirs: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return theirs.astype(dtype) if is_float(theirs.dtype) and is_float(dtype) else theirs


def random_inputs(session: Any, *, samples: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Valid inputs for a session: floats in [0, 1), integers and booleans 0 or 1.

    Args:
        samples: the size of open first dimensions; other open dimensions get one size per name.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    sizes: dict[str, int] = {}
    made = {}
    for value in session.get_inputs():
        shape = []
        for axis, size in enumerate(value.shape):
            if not isinstance(size, int):
                default = samples if axis == 0 else OPEN_DIMENSION
                size = sizes.setdefault(size, default) if size else default
            shape.append(size)
        made[value.name] = _random(rng, _numpy_dtype(value.type), shape)
    return made


def _random(rng: np.random.Generator, dtype: np.dtype, shape: list[int]) -> np.ndarray:
    if dtype.hasobject:
        return np.asarray(rng.integers(0, 2, shape).astype(str), object)
    if is_float(dtype):
        return rng.random(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)


def _numpy_dtype(type_name: str) -> np.dtype:
    """From onnxruntime's spelling, such as `tensor(float)`."""
    from ..runtime.dtypes import NAMES, numpy_dtype

    inner = type_name.removeprefix("tensor(").removesuffix(")")
    code = next((code for code, name in NAMES.items() if name == inner), None)
    if code is None:
        raise InvalidInput(f"random inputs of type {type_name!r} cannot be made; give the inputs yourself")
    return numpy_dtype(code)


def compare(name: str, ours: np.ndarray, theirs: np.ndarray) -> Row:
    """The differences of two arrays; NaN agrees with NaN, infinity with the same infinity."""
    fault = ""
    if ours.dtype != theirs.dtype:
        fault = f"dtype {ours.dtype} here, {theirs.dtype} there"
    elif ours.shape != theirs.shape:
        fault = f"shape {list(ours.shape)} here, {list(theirs.shape)} there"
    if fault:
        return Row(name, ours.shape, str(ours.dtype), np.inf, np.inf, np.inf, None, 0, 0, fault)
    if ours.dtype == object or ours.dtype.kind in "US":
        differ = float((ours != theirs).sum())
        return Row(name, ours.shape, "string", differ, differ, differ, None, int(ours.size - differ), ours.size)
    floating = is_float(ours.dtype)
    inexact = floating or ours.dtype.kind == "c"
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    a, b = ours.astype(wide), theirs.astype(wide)
    with np.errstate(all="ignore"):
        same = (ours == theirs) | (np.isnan(a) & np.isnan(b))
        difference = np.where(same, 0.0, np.abs(a - b) if inexact else np.maximum(np.abs(a - b), 1.0))
        size = np.abs(b)
        relative = np.where(same, 0.0, difference / size)
        scaled = np.where(same, 0.0, difference / (1 + size)) if inexact else difference
    equal, total = _argmax_agreement(ours, theirs)
    return Row(
        name,
        ours.shape,
        str(ours.dtype),
        _largest(difference),
        _largest(relative),
        _largest(scaled),
        _largest(ulp_distance(ours, theirs)) if floating else None,
        equal,
        total,
        remark=_remark(theirs),
    )


def _remark(x: np.ndarray) -> str:
    if x.size == 0:
        return "is empty"
    if is_float(x.dtype) and np.isnan(x).all():
        return "is all NaN"
    return f"is {x.flat[0]} everywhere" if x.size > 1 and (x == x.flat[0]).all() else ""


def ulp_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many representable numbers of their dtype lie between the elements of two arrays, as float64.

    Zero for equal numbers (-0 and 0 too) and for two NaNs, infinite where only one is NaN.
    """
    bits = np.dtype(f"i{a.dtype.itemsize}")

    def ordered(x: np.ndarray) -> np.ndarray:
        i = np.ascontiguousarray(x).view(bits).reshape(x.shape).astype(np.int64)
        return np.where(i < 0, np.int64(np.iinfo(bits).min) - i, i)

    i, j = ordered(a), ordered(b)
    exact = (np.maximum(i, j).astype(np.uint64) - np.minimum(i, j).astype(np.uint64)).astype(np.float64)
    no_number = np.isnan(a.astype(np.float64)), np.isnan(b.astype(np.float64))
    return np.where(no_number[0] & no_number[1], 0.0, np.where(no_number[0] | no_number[1], np.inf, exact))


def _largest(x: np.ndarray) -> float:
    """NaN (a difference to a zero, an infinity or a NaN) counts as infinite."""
    return float(np.nan_to_num(x, nan=np.inf, posinf=np.inf).max()) if x.size else 0.0


def _argmax_agreement(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int]:
    if ours.ndim == 0 or ours.size == 0 or ours.dtype.kind == "c":
        return (1, 1) if ours.size and (ours == theirs).all() else (0, 0)
    while ours.ndim > 2 and ours.shape[-1] == 1:
        ours, theirs = ours[..., 0], theirs[..., 0]
    if ours.shape[-1] == 1:
        return 0, 0
    wide = np.float64 if ours.dtype.kind not in "iub" else ours.dtype
    same = ours.astype(wide).argmax(-1) == theirs.astype(wide).argmax(-1)
    return int(np.sum(same)), int(np.size(same))


def _onnxruntime(path: Path, feeds: Arrays, names: list[str]) -> list[np.ndarray]:
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependency("this check needs onnxruntime; install it with pip install 'striate[check]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return list(session.run(names, dict(feeds)))
    except Exception as error:
        raise RunFailed(
            f"onnxruntime does not run {path}: {first_line(error)}; check against 'reference' or 'float64' instead"
        ) from error


def _reference(path: Path, feeds: Arrays, names: list[str]) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    try:
        return list(ReferenceEvaluator(str(path)).run(names, dict(feeds)))
    except Exception as error:
        raise RunFailed(
            f"onnx's reference evaluator does not run {path}: {first_line(error)}; check against 'float64' instead"
        ) from error


def _float64(path: Path, feeds: Arrays, names: list[str]) -> list[np.ndarray]:
    import onnx_ir as ir

    from ..runtime.engines.arrays import to_host
    from ..runtime.executor import Executor
    from ..runtime.reader import read
    from .verify_widen import wide, widen

    model = ir.from_proto(widen(ir.to_proto(read(path))))
    given = {name: wide(np.asarray(array)) for name, array in feeds.items()}
    return [to_host(x) for x in Executor(model, optimize=False).run(given, names)]


def first_line(error: Exception) -> str:
    """What an error of another runtime says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


_RUNNERS: dict[str, Callable[[Path, Arrays, list[str]], list[np.ndarray]]] = {
    "onnxruntime": _onnxruntime,
    "reference": _reference,
    "float64": _float64,
}
