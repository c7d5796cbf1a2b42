"""How a session and a run are configured: onnxruntime's options, name for name.

Every option is kept and reported back. Those that tune onnxruntime's own machinery (arenas, thread pools, its logging)
have nothing to act on here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from numbers import Integral
from typing import Any

import numpy as np

from .capi.onnxruntime_pybind11_state import dressed
from .errors import InvalidInput, UnsupportedOperator
from .ort_value import OrtValue

__all__ = ["ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "RunOptions", "SessionOptions"]

MAX_KEY, MAX_VALUE = 1024, 8192


class _Named(Enum):
    """An enumeration that prints, compares and converts as onnxruntime's do."""

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, int) and self.value == other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


class GraphOptimizationLevel(_Named):
    """`ORT_DISABLE_ALL` runs the graph as it is in the file; every other level runs all passes."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(_Named):
    """Nodes always run one after the other."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(_Named):
    """Nodes always run in the order of the plan."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


class _Options:
    """Attributes of fixed names and types, with the class's values as defaults; anything else is refused."""

    _entries: dict[str, str]

    def __init__(self) -> None:
        self.__dict__["_entries"] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _options_of(type(self)):
            known = ", ".join(_options_of(type(self)))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}; it has {known}")
        kind = type(getattr(type(self), name))
        if kind is int and isinstance(value, (Integral, np.bool_)):
            value = int(value)
        elif kind is bool and (value is None or isinstance(value, (int, np.bool_))):
            value = bool(value)
        elif not isinstance(value, kind):
            raise TypeError(f"{type(self).__name__}.{name} must be of type {kind.__name__}, not {type(value).__name__}")
        self.__dict__[name] = value

    def _add(self, key: str, value: str) -> None:
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"a config entry is two strings, not {type(key).__name__} and {type(value).__name__}")
        for what, text, most in (("key", key, MAX_KEY), ("value", value, MAX_VALUE)):
            if len(text) > most or (what == "key" and not text):
                raise dressed(
                    RuntimeError, f"Config {what} is empty or longer than maximum length {most}", InvalidInput
                )
        self._entries[key] = value

    def _get(self, key: str) -> str:
        if key not in self._entries:
            text = f"{type(self).__name__} does not have configuration with key: {key}"
            raise dressed(RuntimeError, text, InvalidInput)
        return str(self._entries[key])


class SessionOptions(_Options):
    """Options of a session. Those with an effect here:

    graph_optimization_level: see `GraphOptimizationLevel`.
    optimized_model_filepath: the optimised model is written there.
    enable_profiling, profile_file_prefix: times of loading and of every run, as a Chrome trace; see `end_profiling`.
    `add_initializer`, `add_free_dimension_override_by_name`, `add_provider`.
    intra_op_num_threads: threads of the native engine; 0 is one for each core.
    numerics: `fast`, or `strict`: only sums of products as the operators define them, no Winograd convolution; NaN and
        infinity stay where they belong. In both, results do not depend on the number of threads.
    tune: measure the ways to compute a convolution once and remember the fastest on this machine.
    `add_session_config_entry("striate.engine", "arrays")`: NumPy computes everything; the default, `native`, compiles
        what it can.
    `add_session_config_entry("striate.plan_cache", "0")`: keep no plans on disk, and use none; by default a model of up
        to 256 MiB that took more than 50 ms to prepare starts at once the next time. STRIATE_CACHE names the folder.
    `add_session_config_entry("striate.loop_trips", "1000000")`: how often the loops of one run may go round in all.
    """

    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_profiling: bool = False
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    execution_order: ExecutionOrder = ExecutionOrder.DEFAULT
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    inter_op_num_threads: int = 0
    intra_op_num_threads: int = 0
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    numerics: str = "fast"
    optimized_model_filepath: str = ""
    profile_file_prefix: str = "onnxruntime_profile_"
    tune: bool = False
    use_deterministic_compute: bool = False
    use_per_session_threads: bool = True

    _initializers: dict[str, OrtValue]
    _dimensions: dict[str, int]
    _denotations: dict[str, int]
    _providers: list[tuple[str, dict[str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.__dict__.update(_initializers={}, _dimensions={}, _denotations={}, _providers=[])

    def _copy(self) -> SessionOptions:
        """Options of its own for a session: later changes to the original do not reach it."""
        made = SessionOptions()
        for name, value in self.__dict__.items():
            made.__dict__[name] = value.copy() if isinstance(value, (dict, list)) else value
        return made

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keeps a named setting; those of the class's description are read, and of onnxruntime's
        `session.model_external_initializers_file_folder_path`."""
        self._add(key, value)

    def get_session_config_entry(self, key: str) -> str:
        """The setting of that name."""
        return self._get(key)

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Fixes the size of the symbolic dimension `name` of inputs and outputs."""
        self._dimensions[name] = int(size)

    def add_free_dimension_override_by_denotation(self, denotation: str, size: int) -> None:
        """Fixes the size of input dimensions with that denotation."""
        self._denotations[denotation] = int(size)

    def add_initializer(self, name: str, value: OrtValue) -> None:
        """Replaces the model's initializer `name`."""
        if name in self._initializers:
            text = (
                f"[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : An OrtValue for this name has already been added: {name}"
            )
            raise dressed(RuntimeError, text, InvalidInput)
        if not isinstance(value, OrtValue):
            raise TypeError(f"an initializer is an OrtValue, not {type(value).__name__}")
        self._initializers[name] = value

    def add_external_initializers(self, names: list[str], values: list[OrtValue]) -> None:
        """Replaces several initializers."""
        if len(names) != len(values):
            raise dressed(RuntimeError, f"{len(names)} names, but {len(values)} values", InvalidInput)
        for name, value in zip(names, values, strict=True):
            self.add_initializer(name, value)

    def add_provider(self, name: str, options: Mapping[str, str]) -> None:
        """Puts a provider behind those added before; used where a session is given no `providers`."""
        self._providers.append((name, dict(options)))

    def has_providers(self) -> bool:
        """Whether `add_provider` was called."""
        return bool(self._providers)

    def register_custom_ops_library(self, path: str) -> None:
        """Compiled operators of onnxruntime cannot be loaded; register a kernel with `runtime.ops.op` instead."""
        raise UnsupportedOperator(
            f"custom operator library {path!r} cannot be loaded: kernels are Python, see runtime/ops/"
        )


class RunOptions(_Options):
    """Options of one run; `terminate = True` refuses to start it."""

    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    only_execute_path_to_fetches: bool = False
    terminate: bool = False

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Keeps a named setting."""
        self._add(key, value)

    def get_run_config_entry(self, key: str) -> str:
        """The setting of that name."""
        return self._get(key)


def _options_of(kind: type) -> list[str]:
    return [name for name, value in vars(kind).items() if not name.startswith("_") and not callable(value)]
