"""`InferenceSession`: onnxruntime's face, name for name, over the reader and the executor."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from . import feeds, kept, loading
from .capi.onnxruntime_pybind11_state import Fail, InvalidArgument, dressed, status
from .errors import InvalidInput, LimitExceeded, StriateError
from .files import atomic_write
from .model_face import ModelMetadata, NodeArg, argument, metadata
from .ort_value import IOBinding, OrtDevice, OrtValue
from .prepared import Prepared, Whole, prepared, signature
from .providers import Wanted
from .session_options import RunOptions, SessionOptions

if TYPE_CHECKING:
    import onnx_ir as ir

    from .executor import Executor

__all__ = ["InferenceSession", "set_default_logger_severity", "set_default_logger_verbosity"]

_log = logging.getLogger("striate.runtime")
PREPARED = 16
"""So many kinds of arguments are remembered, as many as an executor keeps plans."""
_SEVERITIES = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def set_default_logger_severity(severity: int) -> None:
    """How much the logger `striate.runtime` says: 0 all, 1 info, 2 warnings, 3 errors, 4 only what is fatal."""
    if not 0 <= severity < len(_SEVERITIES):
        text = "Invalid logging severity. 0:Verbose, 1:Info, 2:Warning, 3:Error, 4:Fatal"
        raise dressed(RuntimeError, text, InvalidInput)
    _log.setLevel(_SEVERITIES[severity])


def set_default_logger_verbosity(verbosity: int) -> None:
    """There is one level of verbose messages; kept for callers that set it."""


class InferenceSession:
    """A model ready to run.

    Args:
        path_or_bytes: of an ONNX model.
        sess_options: see `SessionOptions`.
        providers: names, or (name, options) pairs; the first that is available runs the model. None: the CPU.
        provider_options: for each of `providers`, instead of pairs.

    Raises:
        capi.onnxruntime_pybind11_state.NoSuchFile, InvalidProtobuf, InvalidGraph, Fail: each is one of `errors` too,
            and our sentence is in the message or its note.

    Safe to use from several threads at once.
    """

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: SessionOptions | None = None,
        providers: Wanted | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        if sess_options is not None and not isinstance(sess_options, SessionOptions):
            raise TypeError(f"sess_options must be SessionOptions, not {type(sess_options).__name__}")
        self._options = SessionOptions() if sess_options is None else sess_options._copy()
        self._profile = _Profile(self._options)
        self._source: Callable[[], str | bytes | os.PathLike[str]] = lambda: path_or_bytes
        self._fallback = True
        self._lock = RLock()
        self._read: ir.Model | None = None
        self._made: Executor | None = None
        begun = time.perf_counter()
        with self._profile.event("Session", "model_loading"):
            self._shelf = kept.shelf(path_or_bytes, self._options, loading.native(self._options))
            face = self._shelf.face() if self._shelf is not None else None
            if face is None:
                _ = self._model
            elif self._shelf is not None and not isinstance(path_or_bytes, bytes):
                self._shelf.hold()
                self._source = self._shelf.source
        with self._profile.event("Session", "session_initialization"):
            self.set_providers(providers or self._options._providers, provider_options)
            self._face = face or self._model_face()
            self._make_ready()
        self._seconds = time.perf_counter() - begun
        self._arguments = {a.name: a for a in (*self._face.inputs, *self._face.overridable)}
        self._output_names = [a.name for a in self._face.outputs]
        if self._options.optimized_model_filepath:
            import onnx_ir as ir

            content = ir.to_proto(self._executor.model).SerializeToString()
            atomic_write(self._options.optimized_model_filepath, content)

    @property
    def _model(self) -> ir.Model:
        """Read when it is first needed, which is not at all if plans were kept for all that is run."""
        with self._lock:
            if self._read is None:
                self._read = loading.load(self._source(), self._options)
                self._source = bytes  # of none: what was given is not needed any more
                if self._read.meta["external"]:
                    self._shelf = None  # whose names know nothing of other files
            return self._read

    @property
    def _executor(self) -> Executor:
        """Made when it is first needed."""
        with self._lock:
            if self._made is None:
                self._made = loading.executor(self._model, "cpu", self._options)
            return self._made

    def _model_face(self) -> kept.Face:
        graph, inferred = self._model.graph, {v.name: v for v in self._executor.model.graph.outputs}
        defaults = graph.initializers if self._model.ir_version >= 4 else {}
        maps = self._model.meta["types"]
        return kept.Face(
            inputs=[argument(v, kind=maps.get(v.name)) for v in graph.inputs if v.name not in graph.initializers],
            overridable=[argument(v) for v in graph.inputs if v.name in defaults],
            outputs=[argument(v, inferred.get(v.name), maps.get(v.name)) for v in graph.outputs],
            metadata=metadata(self._model),
        )

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """Computes outputs.

        Args:
            output_names: which, in this order; None or empty: all.
            input_feed: name → NumPy array, OrtValue, or list, for each input; overridable initializers if wanted.
            run_options: see `RunOptions`.

        Returns:
            NumPy arrays that belong to the caller.

        Raises:
            InvalidInput: a name, rank, dimension or data type does not fit; most of them are `InvalidArgument` too.
            Fail: a node failed; the message names it.
        """
        key = signature(output_names, input_feed) if run_options is None else None
        known = self._prepared.get(key)
        if known is not None:
            try:
                return known(input_feed)
            except (MemoryError, StriateError):
                pass  # said below, where it goes wrong again
        from .engines.arrays import to_host

        begun = time.perf_counter()
        results = [to_host(array) for array in self._run(output_names, input_feed, run_options)]
        if key is not None:
            self._prepare(key, output_names, input_feed, time.perf_counter() - begun)
        return results

    def _prepare(self, key: tuple[Any, ...], names: Sequence[str] | None, feed: Mapping[str, Any], took: float) -> None:
        """Remembers how to run what has just been run, if that is one call on arrays as they are given."""
        if not all(x.dtype.isnative and x.dtype.kind not in "OSUT" for x in feed.values()):
            return
        whole, shelf = self._kept(feed), self._shelf
        if whole is None and self._made is not None:
            whole = self._made.plan_for(feed).whole
            if whole is not None and shelf is not None and self._seconds + took > kept.WORTH:
                shelf.keep(self._face, kept.kinds(feed), whole)
                _remember(self._plans, kept.kinds(feed), whole)
        if whole is not None and not self._options.enable_profiling:
            _remember(self._prepared, key, prepared(whole, names or self._output_names))

    def _kept(self, arrays: Mapping[str, Any]) -> Whole | None:
        """The plan on disk for such inputs, looked for once."""
        shelf = self._shelf
        if shelf is None or not all(isinstance(x, np.ndarray) for x in arrays.values()):
            return None
        kinds = kept.kinds(arrays)
        with suppress(KeyError):
            return self._plans[kinds]
        found = shelf.find(kinds)
        _remember(self._plans, kinds, found)
        return found

    def _make_ready(self) -> None:
        """Reads a plan that was kept now if inputs can only have one shape."""
        shapes = {a.name: [d for d in a.shape if isinstance(d, int)] for a in self._face.inputs}
        if self._made is None and all(a.shape and a.shape == shapes[a.name] for a in self._face.inputs):
            self._kept({a.name: np.broadcast_to(feeds.scalar(a), shapes[a.name]) for a in self._face.inputs})

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], None],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Like `run`, in a thread; calls `callback(results, user_data, error)`, where error is empty on success."""

        def work() -> None:
            try:
                results, error = self.run(output_names, input_feed, run_options), ""
            except Exception as caught:  # the caller's callback is the one place that can be told
                results, error = [], str(caught)
            callback(results, user_data, error)

        Thread(target=work, name="striate-run-async", daemon=True).start()

    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:
        """Like `run`, from and to OrtValues; the results stay on the session's device."""
        for name, value in input_dict_ort_values.items():
            if not isinstance(value, OrtValue):
                raise InvalidInput(f"input {name!r} is a {type(value).__name__}; expected an OrtValue, or use run()")
        return [OrtValue(a, self._device) for a in self._run(output_names, input_dict_ort_values, run_options)]

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        """Runs with bound inputs and puts the results where outputs are bound."""
        names = list(iobinding._targets)
        if not names:
            text = "Error in execution: At least one output should be requested."
            raise dressed(RuntimeError, text, InvalidInput)
        try:
            arrays = self._run(names, iobinding._feeds(), run_options)
        except StriateError as error:
            text = str(error).split(" : ", 3)[-1] if str(error).startswith("[ONNXRuntimeError]") else str(error)
            raise dressed(RuntimeError, f"Error in execution: {text}", type(error)) from error
        iobinding._store(dict(zip(names, arrays, strict=True)), self._device)

    def io_binding(self) -> IOBinding:
        """Inputs and outputs that can be bound once for many runs."""
        return IOBinding(self)

    def _run(self, names: Sequence[str] | None, given: Mapping[str, Any], options: RunOptions | None) -> list[Any]:
        from .engines.arrays import to_host

        if options is not None and not isinstance(options, RunOptions):
            raise TypeError(f"run_options must be RunOptions, not {type(options).__name__}")
        arrays = feeds.check(given, self._face.inputs, self._arguments)
        if self._device.name() == "cpu":
            arrays = {name: to_host(array) for name, array in arrays.items()}
        wanted = feeds.check_outputs(names, self._output_names)
        if options is not None and options.terminate:
            raise status(Fail, "Exiting due to terminate flag being set to true.", InvalidInput)
        with self._profile.event("Session", "model_run"), _run_errors():
            distinct = list(dict.fromkeys(wanted))
            whole = self._kept(arrays)
            found = self._executor.run(arrays, distinct) if whole is None else whole.run(arrays, distinct)
            results = dict(zip(distinct, found, strict=True))
        return [results[name] for name in wanted]

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that must be fed."""
        return list(self._face.inputs)

    def get_outputs(self) -> list[NodeArg]:
        """The outputs."""
        return list(self._face.outputs)

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs with a default value."""
        return list(self._face.overridable)

    def get_modelmeta(self) -> ModelMetadata:
        """Producer, version, description, custom metadata."""
        return self._face.metadata

    def get_session_options(self) -> SessionOptions:
        """A copy of the session's options."""
        return self._options._copy()

    def get_providers(self) -> list[str]:
        """The providers in use, in order."""
        return list(self._providers)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """The options of each provider in use."""
        return {name: dict(options) for name, options in self._providers.items()}

    def set_providers(
        self, providers: Wanted | None = None, provider_options: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Moves the session to other providers."""
        from . import providers as known

        chosen = known.choose(providers, provider_options)
        device = known.device_of(chosen)
        kind, _, number = device.partition(":")
        self._providers, self._device = chosen, OrtDevice(kind, int(number or 0))
        self._prepared: dict[tuple[Any, ...] | None, Prepared] = {}
        self._plans: dict[kept.Kinds, Whole | None] = {}
        self._made = None
        if kind != "cpu":
            self._shelf = None
        if self._read is not None or self._shelf is None:
            self._made = loading.executor(self._model, device, self._options)

    def enable_fallback(self) -> None:
        """Kept for callers: a provider that is not available always falls back, and no run is tried twice."""
        self._fallback = True

    def disable_fallback(self) -> None:
        """See `enable_fallback`."""
        self._fallback = False

    def end_profiling(self) -> str:
        """Writes the profile, if it was enabled, and returns its path; else an empty string."""
        return self._profile.write()

    def get_profiling_start_time_ns(self) -> int:
        """When the session's clock started, in nanoseconds of `time.perf_counter_ns`."""
        return self._profile.start


class _Profile:
    """Times of what a session does, in Chrome's trace format."""

    def __init__(self, options: SessionOptions) -> None:
        self.start = time.perf_counter_ns()
        self._prefix = str(options.profile_file_prefix) if options.enable_profiling else None
        self._events: list[dict[str, Any]] = []
        self._lock = Lock()

    @contextmanager
    def event(self, category: str, name: str) -> Iterator[None]:
        begun = time.perf_counter_ns()
        yield
        if self._prefix is not None:
            ts, dur = (begun - self.start) // 1000, (time.perf_counter_ns() - begun) // 1000
            event = {
                "cat": category,
                "pid": os.getpid(),
                "tid": 0,
                "dur": dur,
                "ts": ts,
                "ph": "X",
                "name": name,
                "args": {},
            }
            with self._lock:
                self._events.append(event)

    def write(self) -> str:
        if self._prefix is None:
            return ""
        with self._lock:
            events, self._events, prefix, self._prefix = self._events, [], self._prefix, None
        path = f"{prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        atomic_write(path, json.dumps(events, indent=0).encode())
        return path


def _remember(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Puts one more into a table, which starts anew when it is full; other threads may be reading it."""
    if len(table) >= PREPARED:
        table.clear()
    table[key] = value


@contextmanager
def _run_errors() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise status(InvalidArgument, str(error), type(error)) from error
    except StriateError as error:
        raise status(Fail, str(error), type(error)) from error
    except MemoryError as error:
        raise status(Fail, "the run needs more memory than there is; use a smaller batch", LimitExceeded) from error
