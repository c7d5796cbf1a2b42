"""Arrays that know their ONNX type and device (`OrtValue`), and inputs and outputs bound to them (`IOBinding`)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes
from .capi.onnxruntime_pybind11_state import dressed
from .errors import InvalidInput, StriateError

if TYPE_CHECKING:
    from .session import InferenceSession

__all__ = ["IOBinding", "OrtDevice", "OrtValue"]

_DEVICES = {"cpu": 0, "cuda": 1}


class OrtDevice:
    """A kind of device and its number."""

    def __init__(self, name: str, number: int = 0) -> None:
        if name not in _DEVICES:
            raise InvalidInput(f"Unsupported device type: {name}; expected one of {list(_DEVICES)}")
        self._name, self._number = name, int(number)

    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int = -1) -> OrtDevice:
        """The device of a name, `cpu` or `cuda`, and a number."""
        return OrtDevice(ort_device_name.lower(), device_id)

    def device_id(self) -> int:
        return self._number

    def device_type(self) -> int:
        return _DEVICES[self._name]

    def name(self) -> str:
        """As engines call it: `cpu`, `cuda:0`, ..."""
        return self._name if self._name == "cpu" else f"{self._name}:{self._number}"


class OrtValue:
    """A tensor on a device. On the CPU it shares the memory of the array it was made from."""

    def __init__(self, array: Any, device: OrtDevice | None = None) -> None:
        self._array = array
        self._device = device or OrtDevice("cpu")

    @classmethod
    def ortvalue_from_numpy(
        cls, numpy_obj: np.ndarray, /, device_type: str = "cpu", device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        """A value over the array's memory, or a copy of it on the device."""
        if not isinstance(numpy_obj, np.ndarray):
            text = "Creation of OrtValues is currently only supported from non-string numpy arrays"
            raise dressed(RuntimeError, text, InvalidInput)
        device = OrtDevice(device_type, device_id)
        return cls(_on(device, np.ascontiguousarray(numpy_obj).reshape(numpy_obj.shape)), device)

    @classmethod
    def ortvalue_from_numpy_with_onnx_type(cls, data: np.ndarray, /, onnx_element_type: int) -> OrtValue:
        """A value over the array's memory read as another type of the same size, such as bfloat16 kept in uint16."""
        dtype = dtypes.numpy_dtype(onnx_element_type)
        if data.dtype.itemsize != dtype.itemsize or dtype.kind == "O":
            text = f"Items size in the incoming array: {data.dtype.itemsize} specified by onnxtype: {dtype.itemsize}"
            raise dressed(RuntimeError, text, InvalidInput)
        return cls(np.ascontiguousarray(data).view(dtype).reshape(data.shape))

    @classmethod
    def ortvalue_from_shape_and_type(
        cls, shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        """A value of the given NumPy dtype or ONNX type number, all zero."""
        device = OrtDevice(device_type, device_id)
        return cls(_on(device, np.zeros(tuple(shape), _dtype(element_type))), device)

    @classmethod
    def from_dlpack(cls, data: Any, /) -> OrtValue:
        """A value over the memory of any CPU array that speaks DLPack."""
        return cls(np.from_dlpack(data))

    def numpy(self) -> np.ndarray:
        """The value as a NumPy array: on the CPU the same memory, from a device a copy."""
        from .engines.arrays import to_host

        return to_host(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self._array.__dlpack_device__()
        return int(kind), int(number)

    def update_inplace(self, data: np.ndarray) -> None:
        """Copies `data` over the value; shapes must agree."""
        if tuple(data.shape) != tuple(self._array.shape):
            text = "The input size of numpy arrays does not match the size of the OrtValue."
            raise dressed(RuntimeError, text, InvalidInput, f"found {list(data.shape)}, expected {self.shape()}")
        self._array[...] = _on(self._device, np.asarray(data)).astype(self._array.dtype)

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def element_type(self) -> int:
        """The ONNX type number."""
        return dtypes.onnx_dtype(self._array.dtype)

    def data_type(self) -> str:
        """For example `tensor(float)`."""
        return f"tensor({dtypes.onnx_name(self.element_type())})"

    def device_name(self) -> str:
        return self._device.name().partition(":")[0]

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._array.ctypes.data if isinstance(self._array, np.ndarray) else self._array.data.ptr)

    def tensor_size_in_bytes(self) -> int:
        return int(self._array.nbytes)

    def has_value(self) -> bool:
        return True

    def is_tensor(self) -> bool:
        return True

    def is_sparse_tensor(self) -> bool:
        return False

    def is_tensor_sequence(self) -> bool:
        return False


class IOBinding:
    """Inputs and outputs of repeated runs, bound once.

    An output bound to an OrtValue or an address is written there; one bound by name alone is a new OrtValue each run.
    """

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._inputs: dict[str, OrtValue] = {}
        self._targets: dict[str, OrtValue | None] = {}
        self._devices: dict[str, OrtDevice] = {}
        self._outputs: dict[str, OrtValue] = {}

    def bind_cpu_input(self, name: str, arr_on_cpu: np.ndarray) -> None:
        """Binds an input to a NumPy array; its memory is read at every run."""
        if not isinstance(arr_on_cpu, np.ndarray):
            raise dressed(RuntimeError, "Unable to create OrtValue from the given python object", InvalidInput)
        self.bind_ortvalue_input(name, OrtValue(arr_on_cpu))

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Binds an input to a value on any device."""
        if name not in self._session._arguments:
            text = f"Failed to find NodeArg with name: {name} in the def list"
            raise dressed(RuntimeError, text, InvalidInput, f"the model's inputs are {list(self._session._arguments)}")
        self._inputs[name] = ortvalue

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """Binds an input to memory the caller owns, on the CPU."""
        self.bind_ortvalue_input(name, _at_address(OrtDevice(device_type, device_id), element_type, shape, buffer_ptr))

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Asks for an output, on a device of choice or in memory the caller owns."""
        device = OrtDevice(device_type, device_id)
        given = buffer_ptr is not None and shape is not None
        self._targets[name] = _at_address(device, element_type, shape, buffer_ptr) if given else None
        self._devices[name] = device

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Asks for an output to be written into `ortvalue`."""
        self._targets[name] = ortvalue

    def clear_binding_inputs(self) -> None:
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        self._targets.clear()
        self._outputs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing to wait for: inputs are read when a run starts, on the same stream."""

    def synchronize_outputs(self) -> None:
        """Nothing to wait for: `numpy` waits."""

    def get_outputs(self) -> list[OrtValue]:
        """The outputs of the last run, in the order they were bound."""
        return [self._outputs[name] for name in self._targets if name in self._outputs]

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        """The outputs of the last run as NumPy arrays of the caller's own."""
        return [np.array(value.numpy()) for value in self.get_outputs()]

    def _feeds(self) -> dict[str, Any]:
        return {name: value._array for name, value in self._inputs.items()}

    def _store(self, arrays: Mapping[str, Any], device: OrtDevice) -> None:
        """Puts the results of a run where they were bound."""
        for name, array in arrays.items():
            target = self._targets[name]
            if target is None:
                wanted = self._devices.get(name, device)
                self._outputs[name] = OrtValue(_on(wanted, array), wanted)
                continue
            if (target.shape(), target._array.dtype) != (list(array.shape), array.dtype):
                raise dressed(
                    RuntimeError,
                    f"Error in execution: The output OrtValue provided for output {name!r} is {target._array.dtype}"
                    f"{target.shape()} but the computed output is {array.dtype}{list(array.shape)}",
                    InvalidInput,
                )
            target._array[...] = _on(target._device, array)
            self._outputs[name] = target


def _dtype(element_type: Any) -> np.dtype:
    return dtypes.numpy_dtype(element_type) if isinstance(element_type, int) else np.dtype(element_type)


def _on(device: OrtDevice, array: Any) -> Any:
    from .engines.arrays import engine, to_host

    try:
        return to_host(array) if device.name() == "cpu" else engine(device.name()).asarray(array)
    except StriateError as error:
        raise dressed(RuntimeError, f"Can't allocate memory on the device: {error}", type(error)) from None


def _at_address(device: OrtDevice, element_type: Any, shape: Sequence[int] | None, address: int | None) -> OrtValue:
    if device.name() != "cpu":
        raise InvalidInput("memory of a device cannot be bound by its address; bind an OrtValue made on that device")
    if address is None or shape is None:
        raise InvalidInput("binding an address needs the shape too")
    dtype = _dtype(element_type)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = (ctypes.c_char * nbytes).from_address(address)
    return OrtValue(
        np.frombuffer(memoryview(memory), np.uint8, nbytes).view(dtype).reshape(tuple(shape))
        if nbytes
        else np.empty(shape, dtype)
    )
