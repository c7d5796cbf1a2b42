"""ONNX's backend interface: `prepare(model).run(inputs)`, `run_model`, `run_node`, `supports_device`.

Usable by `onnx.backend.test.BackendTest(striate.runtime.backend, __name__)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from . import dtypes
from .errors import InvalidInput, StriateError
from .providers import CPU, CUDA, get_available_providers
from .reader import read
from .session import InferenceSession

__all__ = [
    "StriateBackend",
    "StriateBackendRep",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


class StriateBackendRep(BackendRep):
    """A prepared model; `run` takes the inputs in order, one array, or a dict by name."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self._inputs = [argument.name for argument in (*session.get_inputs(), *session.get_overridable_initializers())]
        names = [argument.name for argument in session.get_outputs()]
        self._result = namedtupledict("Outputs", names)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs as a named tuple, which can be indexed by name too.

        Raises:
            InvalidInput: the wrong number of inputs, or one that does not fit.
        """
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if not isinstance(inputs, Mapping):
            if len(inputs) > len(self._inputs):
                raise InvalidInput(
                    f"{len(inputs)} inputs were given; the model has {len(self._inputs)}: {self._inputs}"
                )
            inputs = dict(zip(self._inputs, inputs, strict=False))
        return self._result(*self.session.run(None, inputs))


class StriateBackend(Backend):
    """The class ONNX's test runner looks for."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the model can be read and all of its operators are implemented."""
        try:
            read(model.SerializeToString())
        except StriateError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> StriateBackendRep:
        """The model ready to run on `CPU`, `CUDA` or `CUDA:N`.

        Raises:
            InvalidInput: an unknown device, or one that is not there.
            StriateError: see `reader.read`.
        """
        if not cls.supports_device(device):
            raise InvalidInput(f"device {device!r} is not available; available: {get_available_providers()}")
        kind, _, number = device.partition(":")
        providers: list[Any] = [(CUDA, {"device_id": number or "0"})] if kind == "CUDA" else [CPU]
        return StriateBackendRep(InferenceSession(model.SerializeToString(), providers=providers))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """`prepare` and `run` in one."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Runs one node on arrays.

        Args:
            node: its inputs with a name take the arrays in order.
            inputs: arrays, or a dict by name.
            device: see `prepare`.
            outputs_info: dtype and shape of each output; not needed.
            kwargs: `opset_version` (default: the newest) or `opset_imports`, a dict of domain → version.
        """
        names = list(dict.fromkeys(name for name in node.input if name))
        given = [inputs] if isinstance(inputs, np.ndarray) else inputs
        arrays = dict(given) if isinstance(given, Mapping) else dict(zip(names, given, strict=True))
        arrays = {name: np.asarray(_array(value)) for name, value in arrays.items()}
        imports = kwargs.get("opset_imports") or {
            node.domain: kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        }
        opsets = [helper.make_opsetid(domain, version) for domain, version in imports.items()]
        values = [helper.make_tensor_value_info(n, dtypes.onnx_dtype(a.dtype), a.shape) for n, a in arrays.items()]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "node", values, outputs)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=onnx.IR_VERSION)
        return cls.run_model(model, arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `CPU`, `CUDA` or `CUDA:N` can be used on this machine."""
        kind, _, number = device.partition(":")
        return kind == "CPU" or (kind == "CUDA" and (number or "0").isdecimal() and CUDA in get_available_providers())


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


is_compatible = StriateBackend.is_compatible
prepare = StriateBackend.prepare
run_model = StriateBackend.run_model
run_node = StriateBackend.run_node
supports_device = StriateBackend.supports_device
