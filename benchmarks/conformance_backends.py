"""The three backends of `benchmarks.conformance`, each with its own kernels only, and the process they run in."""

from __future__ import annotations

import ctypes
import locale
import multiprocessing
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.conformance.suites import BackendCase, all_tests, compare

PASSED, WRONG, REFUSED = "passed", "wrong", "refused"
PATIENCE = 300.0
"""Seconds a test may take."""

NARROW = re.compile(r"bfloat16|float[48]|int[24]\)")
"""Element types that NumPy lacks, as onnxruntime writes them."""

Run = Callable[[list[Any]], Sequence[Any]]


@dataclass(frozen=True)
class Outcome:
    """What a backend made of a test: the right result, a wrong one, or none; `reason` says why."""

    backend: str
    suite: str
    test: str
    status: str
    reason: str
    seconds: float
    """Preparing and running; reading and comparing are not counted."""


def striate_numpy() -> Callable[[onnx.ModelProto], Run]:
    from striate.runtime import backend

    return lambda model: backend.prepare(model, "CPU").run


def reference() -> Callable[[onnx.ModelProto], Run]:
    from onnx.reference import ReferenceEvaluator

    def prepare(model: onnx.ModelProto) -> Run:
        evaluator = ReferenceEvaluator(model)
        weights = {tensor.name for tensor in model.graph.initializer}
        names = sorted(evaluator.input_names, key=lambda name: name in weights)  # inputs, then what has a default
        return lambda inputs: evaluator.run(None, dict(zip(names, inputs, strict=False)))

    return prepare


def onnxruntime() -> Callable[[onnx.ModelProto], Run]:
    import onnxruntime as ort

    ort.set_default_logger_severity(4)

    def prepare(model: onnx.ModelProto) -> Run:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        arguments = [*session.get_inputs(), *session.get_overridable_initializers()]
        names = [argument.name for argument in arguments]
        if not any(NARROW.search(argument.type) for argument in (*arguments, *session.get_outputs())):
            return lambda inputs: session.run(None, dict(zip(names, inputs, strict=False)))

        def run(inputs: list[Any]) -> list[Any]:
            buffers = [_buffer(x) for x in inputs]
            feeds = {
                name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(buffer, helper.np_dtype_to_tensor_dtype(x.dtype))
                if buffer is not x
                else ort.OrtValue.ortvalue_from_numpy(x)
                for name, buffer, x in zip(names, buffers, inputs, strict=False)
            }
            return [_array(value) for value in session.run_with_ort_values(None, feeds)]

        return run

    return prepare


def _buffer(x: np.ndarray) -> np.ndarray:
    """An array of a type that NumPy lacks as onnxruntime reads it from memory: raw, and packed if below a byte."""
    if x.dtype.isbuiltin != 2:  # 2: registered by ml_dtypes
        return x
    buffer = np.zeros(x.shape, np.uint16 if x.dtype.itemsize == 2 else np.uint8)
    raw = numpy_helper.from_array(x).raw_data
    buffer.reshape(-1).view(np.uint8)[: len(raw)] = np.frombuffer(raw, np.uint8)
    return buffer


def _array(value: Any) -> Any:
    if not NARROW.search(value.data_type()):
        return value.numpy()
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return numpy_helper.to_array(TensorProto(data_type=value.element_type(), dims=value.shape(), raw_data=raw))


BACKENDS = {"striate-numpy": striate_numpy, "onnxruntime": onnxruntime, "reference": reference}


def outcomes(name: str, tests: Sequence[BackendCase], patience: float) -> Iterator[Outcome]:
    """Runs tests one after the other in a process of their own, which is started again when it dies or hangs."""
    worker = _Worker(name)
    try:
        for test in tests:
            outcome = worker.run(test, patience)
            if outcome is None:
                reason = worker.end(patience)
                worker = _Worker(name)
                outcome = Outcome(name, test.kind, test.name, REFUSED, reason, 0.0)
            yield outcome
    finally:
        worker.end(0.0)


class _Worker:
    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(name, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def run(self, test: BackendCase, patience: float) -> Outcome | None:
        try:
            self._pipe.send((test.kind, test.name))
            return self._pipe.recv() if self._pipe.poll(patience) else None
        except (EOFError, ConnectionError):
            return None

    def end(self, patience: float) -> str:
        """Stops the process, and says what had been wrong with it."""
        self._process.join(0.5)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._pipe.close()
        if code is None:
            return f"no result after {patience:g} s"
        return f"the process ended with {signal.Signals(-code).name if code < 0 else f'exit status {code}'}"


def _serve(name: str, pipe: Connection) -> None:
    warnings.simplefilter("ignore")
    prepare = BACKENDS[name]()
    pipe.send(None)
    while True:
        kind, test = pipe.recv()
        pipe.send(_outcome(name, prepare, _found(kind)[test]))


def _found(kind: str) -> dict[str, BackendCase]:
    return {test.name: test for test in all_tests(kind)}


def _outcome(name: str, prepare: Callable[[onnx.ModelProto], Run], test: BackendCase) -> Outcome:
    model, sets = test.model, list(test.data_sets())
    begin = time.perf_counter()
    try:
        run = prepare(model)
        got = [run(inputs) for inputs, _ in sets]
    except Exception as error:
        return Outcome(name, test.kind, test.name, REFUSED, _line(error), time.perf_counter() - begin)
    seconds = time.perf_counter() - begin
    try:
        for (inputs, right), result in zip(sets, got, strict=True):
            compare(test, inputs, result, right)
    except Exception as error:
        return Outcome(name, test.kind, test.name, WRONG, _difference(error, sets[0][1]), seconds)
    return Outcome(name, test.kind, test.name, PASSED, "", seconds)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _difference(error: Exception, right: list[Any]) -> str:
    """How many values are off and by how much, beside how large the right ones are."""
    text = " ".join(str(error).split())
    count = re.search(r"Mismatched elements: (\d+) / (\d+)", text)
    most = re.search(r"Max absolute difference[^:]*: (\S+)", text)
    if not count or not most:
        return text.removeprefix("Not equal to tolerance ") or _line(error)
    arrays = [y.astype(np.float64) for y in right if isinstance(y, np.ndarray) and y.dtype.kind not in "OSUTc"]
    largest = max((float(np.abs(y[np.isfinite(y)]).max(initial=0)) for y in arrays), default=0.0)
    return f"{count[1]} of {count[2]} values are off by up to {float(most[1]):.1e}; the largest is {largest:.1e}"


def has_locale() -> bool:
    """Whether the C library has the locale that onnxruntime's StringNormalizer asks for."""
    kept = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, kept)
    return True
