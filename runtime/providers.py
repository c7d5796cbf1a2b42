"""Which device a session runs on: onnxruntime's execution providers over our engines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from .capi.onnxruntime_pybind11_state import dressed
from .errors import InvalidInput

__all__ = ["choose", "device_of", "get_all_providers", "get_available_providers", "get_device"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

Options = dict[str, dict[str, str]]
Wanted = Sequence[str | tuple[str, Mapping[str, Any]]]


def get_all_providers() -> list[str]:
    """Every provider there is an engine for, the fastest first."""
    return [CUDA, CPU]


def get_available_providers() -> list[str]:
    """The providers this machine can use, the fastest first."""
    from .engines.arrays import cuda_available

    return [CUDA, CPU] if cuda_available() else [CPU]


def get_device() -> str:
    """`GPU` if a CUDA device can be used, else `CPU`."""
    return "GPU" if CUDA in get_available_providers() else "CPU"


def choose(wanted: Wanted | None, options: Sequence[Mapping[str, Any]] | None = None) -> Options:
    """The providers to use with their options, the CPU always last.

    A known provider that is not available is left out with a warning. `None` means the CPU.

    Raises:
        InvalidInput: a provider nobody knows, or options that do not fit.
    """
    if not wanted:
        return {CPU: {}}
    available = get_available_providers()
    chosen: Options = {}
    for name, given in _pairs(wanted, options):
        if name not in available:
            warnings.warn(
                f"Specified provider '{name}' is not in available provider names."
                f"Available providers: '{', '.join(available)}'",
                UserWarning,
                stacklevel=4,
            )
        elif name in chosen:
            warnings.warn(f"Duplicate provider '{name}' encountered, ignoring.", UserWarning, stacklevel=4)
        else:
            chosen[name] = {str(key): str(value) for key, value in given.items()}
    if CUDA in chosen:
        chosen[CUDA].setdefault("device_id", "0")
    on_cpu = chosen.pop(CPU, {})
    return {**chosen, CPU: on_cpu}


def device_of(chosen: Options) -> str:
    """The engine's name of the first provider's device."""
    first = next(iter(chosen))
    return "cpu" if first == CPU else f"cuda:{chosen[first]['device_id']}"


def _pairs(wanted: Wanted, options: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(wanted, str):
        raise dressed(
            ValueError, f"'providers' must be a list, such as [{wanted!r}], not the string {wanted!r}", InvalidInput
        )
    if options is not None and len(options) != len(wanted):
        raise InvalidInput("'providers' and 'provider_options' should be the same length if both are given.")
    pairs = []
    for i, provider in enumerate(wanted):
        name, given = provider if isinstance(provider, tuple) and len(provider) == 2 else (provider, {})
        if not isinstance(name, str) or not isinstance(given, Mapping):
            raise InvalidInput(f"'providers' values must be either strings or (string, dict) tuples, not {provider!r}")
        if options is not None and given:
            raise InvalidInput("Only string values for 'providers' are supported if 'provider_options' is given.")
        pairs.append((name, options[i] if options is not None else given))
    return pairs
