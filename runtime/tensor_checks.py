"""Stored tensors of an untrusted model: sizes that fit their dims, external data that stays in the model's folder."""

from __future__ import annotations

import math
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from . import dtypes
from .errors import InvalidGraph, InvalidModel, LimitExceeded
from .lazy import lazy
from .wire import Payload

if TYPE_CHECKING:
    from .reader import Limits

Proto = onnx.TensorProto
_FIELDS: dict[int, str] = {
    Proto.FLOAT: "float_data",
    Proto.COMPLEX64: "float_data",
    Proto.DOUBLE: "double_data",
    Proto.COMPLEX128: "double_data",
    Proto.INT64: "int64_data",
    Proto.UINT32: "uint64_data",
    Proto.UINT64: "uint64_data",
    Proto.STRING: "string_data",
}
"""Where values lie that are not raw; every other type uses int32_data."""
_DATA = frozenset(("raw_data", "int32_data", *_FIELDS.values()))
_BITS: dict[int, int] = {Proto.UINT4: 4, Proto.INT4: 4, Proto.FLOAT4E2M1: 4, Proto.UINT2: 2, Proto.INT2: 2}
_COMPLEX = (Proto.COMPLEX64, Proto.COMPLEX128)


@dataclass
class External:
    """The external files of one model: opened once, checked, mapped read-only."""

    folder: Path | None
    where: str
    lifted: Mapping[str, Payload]
    files: dict[str, np.ndarray] = field(default_factory=dict)

    def slice(self, tensor: onnx.TensorProto, nbytes: int) -> np.ndarray | Payload:
        """The bytes of `tensor`, checked to lie within its file; those of a large one are still to be read."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        what = "raw_data" if location in self.lifted else "external data"
        label = f"{self.where}: {what} of tensor {tensor.name!r}"
        offset, length = _number(entries, "offset", 0, label), _number(entries, "length", nbytes, label)
        if location not in self.files and location not in self.lifted:
            if self.folder is None:
                raise InvalidModel(f"{label} has no folder: the model was given as bytes. Give its path, or the folder")
            self.files[location] = _map(self.folder, location, label)
        if length != nbytes:
            raise InvalidModel(f"{label} is {length:,} bytes long; its dims and data type need {nbytes:,}")
        if location in self.lifted:
            return self.lifted[location]
        content = self.files[location]
        if offset + length > len(content):
            raise InvalidModel(
                f"{label} lies at bytes {offset:,} to {offset + length:,} of {location!r}, which has {len(content):,}"
            )
        return content[offset : offset + length]


def check(
    proto: onnx.ModelProto, folder: Path | None, where: str, limits: Limits, lifted: Mapping[str, Payload]
) -> External:
    """Checks every stored tensor; unpacks sparse ones and the external data of attributes in place.

    `lifted` are the payloads that `wire.lift` has taken out of the file, by location.

    Raises:
        InvalidGraph: dims, data type and amount of data contradict one another.
        InvalidModel: external data is missing, outside the folder, or too short.
        LimitExceeded: a tensor is too large.
    """
    external = External(folder, where, lifted)
    bodies = [function.node for function in proto.functions]
    for graph in _graphs(proto.graph, bodies):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(_dense(sparse, external, limits))
        del graph.sparse_initializer[:]
        for tensor in graph.initializer:
            _check_tensor(tensor, external, limits)
    for attribute in _attributes([proto.graph.node, *bodies]):
        if attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
            _make_dense(attribute, external, limits)
        for tensor in (*attribute.tensors, *((attribute.t,) if attribute.HasField("t") else ())):
            _check_tensor(tensor, external, limits)
            if tensor.data_location == Proto.EXTERNAL:
                _internalise(tensor, external)
    return external


def attach(model: ir.Model, external: External) -> None:
    """Gives initializers with external data their memory-mapped bytes, and text its characters."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _mapped(value.const_value, external)
            elif isinstance(value.const_value, ir.StringTensor):
                value.const_value = Text(value.const_value)
    bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for node in (node for body in bodies for node in body.all_nodes()):
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.StringTensor):
                node.attributes[name] = ir.AttrTensor(name, Text(attribute.value))


class Text(ir.StringTensor):
    """A tensor of text: Python strings in memory, UTF-8 in a file."""

    def __init__(self, tensor: ir.StringTensor) -> None:
        super().__init__(tensor.string_data(), shape=tensor.shape, name=tensor.name, doc_string=tensor.doc_string)

    def numpy(self) -> np.ndarray:
        """The text as an object array of `str`; bytes that are not UTF-8 become surrogates, as in file names."""
        array = np.empty(self.size, object)
        array[:] = [text.decode("utf-8", "surrogateescape") for text in self.string_data()]
        return array.reshape(self.shape.numpy())


def _mapped(tensor: ir.ExternalTensor, external: External) -> ir.TensorProtocol:
    payload = external.lifted.get(str(tensor.location))
    if payload is not None and tensor.dtype.value not in _BITS:
        kind, shape = dtypes.numpy_dtype(tensor.dtype.value), tensor.shape.numpy()
        return lazy(lambda: payload.read().view(kind).reshape(shape), tensor.dtype, tensor.shape, tensor.name)
    shape, offset = tensor.shape.numpy(), tensor.offset or 0
    proto = onnx.TensorProto(name=tensor.name or "", data_type=tensor.dtype.value, dims=shape)
    content = payload.read() if payload else external.files[str(tensor.location)][offset : offset + _size(proto)[1]]
    if tensor.dtype.value in _BITS:
        proto.raw_data = content.tobytes()
        return ir.serde.deserialize_tensor(proto)
    return ir.Tensor(
        content.view(dtypes.numpy_dtype(tensor.dtype.value)).reshape(shape), tensor.dtype, name=tensor.name
    )


def _graphs(graph: onnx.GraphProto, bodies: list) -> Iterator[onnx.GraphProto]:
    """`graph` and every graph inside it or inside the function bodies."""
    yield graph
    for attribute in _attributes([graph.node, *bodies]):
        yield from _subgraphs(attribute)


def _attributes(bodies: list) -> Iterator[onnx.AttributeProto]:
    """The attributes of all nodes, those of inner graphs included."""
    pending = list(bodies)
    while pending:
        for node in pending.pop():
            for attribute in node.attribute:
                yield attribute
                pending += [graph.node for graph in _subgraphs(attribute)]


def _subgraphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())]


def _size(tensor: onnx.TensorProto) -> tuple[int, int]:
    """How many elements and how many bytes the dims and data type announce; text has no bytes."""
    count = math.prod(tensor.dims)
    bits = _BITS.get(tensor.data_type) or 8 * dtypes.numpy_dtype(tensor.data_type).itemsize
    return count, 0 if tensor.data_type == Proto.STRING else -(-count * bits // 8)


def _check_shape(tensor: onnx.TensorProto, label: str, limits: Limits) -> None:
    if tensor.data_type not in dtypes.NUMPY:
        raise InvalidGraph(f"{label} does not have valid data type: {tensor.data_type} is not one of ONNX's")
    if len(tensor.dims) > limits.rank:
        raise LimitExceeded(f"{label} has {len(tensor.dims)} dimensions; at most {limits.rank} are allowed")
    if any(d < 0 for d in tensor.dims):
        raise InvalidGraph(f"{label} has the negative dimension {min(tensor.dims)} in {list(tensor.dims)}")
    span = math.prod(d for d in tensor.dims if d) * dtypes.numpy_dtype(tensor.data_type).itemsize
    if span > limits.tensor_bytes:
        raise LimitExceeded(
            f"{label} of dims {list(tensor.dims)} would take {span:,} bytes; allowed are {limits.tensor_bytes:,}"
        )


def _check_tensor(tensor: onnx.TensorProto, external: External, limits: Limits) -> None:
    label = f"{external.where}: tensor {tensor.name!r}"
    _check_shape(tensor, label, limits)
    count, nbytes = _size(tensor)
    if tensor.HasField("segment"):
        raise InvalidGraph(f"{label} is stored in segments, which no engine reads; store it whole")
    if tensor.data_location == Proto.EXTERNAL:
        if tensor.data_type == Proto.STRING:
            raise InvalidGraph(f"{label} is text, which external data cannot hold")
        external.slice(tensor, nbytes)
        return
    name, found, expected = "raw_data", len(tensor.raw_data), nbytes
    unit = "bytes"
    if not tensor.HasField("raw_data"):
        name, unit = _FIELDS.get(tensor.data_type, "int32_data"), "values"
        found = len(getattr(tensor, name))
        expected = nbytes if tensor.data_type in _BITS else count * (2 if tensor.data_type in _COMPLEX else 1)
    elif tensor.data_type == Proto.STRING:
        raise InvalidGraph(f"{label} is text, which raw_data cannot hold")
    stray = [other for other in _DATA if other != name and getattr(tensor, other)]
    if stray:
        raise InvalidGraph(
            f"{label} has data in {stray[0]}; its type {dtypes.onnx_name(tensor.data_type)} keeps it in {name}"
        )
    if found != expected:
        raise InvalidGraph(
            f"{label} has {found:,} {unit} in {name}; its dims {list(tensor.dims)} and type "
            f"{dtypes.onnx_name(tensor.data_type)} need {expected:,}"
        )


def _internalise(tensor: onnx.TensorProto, external: External) -> None:
    found = external.slice(tensor, _size(tensor)[1])
    content = (found.read() if isinstance(found, Payload) else found).tobytes()
    tensor.ClearField("data_location")
    del tensor.external_data[:]
    tensor.raw_data = content


def _make_dense(attribute: onnx.AttributeProto, external: External, limits: Limits) -> None:
    """`Constant` is the one operator with a sparse attribute; `value` holds the same tensor dense."""
    dense = _dense(attribute.sparse_tensor, external, limits)
    attribute.ClearField("sparse_tensor")
    attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
    attribute.t.CopyFrom(dense)


def _dense(sparse: onnx.SparseTensorProto, external: External, limits: Limits) -> onnx.TensorProto:
    label = f"{external.where}: sparse tensor {sparse.values.name!r}"
    for part in (sparse.values, sparse.indices):
        _check_tensor(part, external, limits)
        if part.data_location == Proto.EXTERNAL:
            _internalise(part, external)
    shape = onnx.TensorProto(name=sparse.values.name, data_type=sparse.values.data_type, dims=sparse.dims)
    _check_shape(shape, label, limits)
    count, nbytes = _size(shape)
    if max(count, nbytes) > limits.sparse_bytes:
        raise LimitExceeded(
            f"{label} unpacks to {max(count, nbytes):,} bytes; at most {limits.sparse_bytes:,} are allowed"
        )
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    if indices.dtype != np.int64 or indices.shape not in ((values.size,), (values.size, len(sparse.dims))):
        raise InvalidGraph(f"{label}: indices of shape {list(indices.shape)} do not fit its {values.size} values")
    bounds = np.asarray([count] if indices.ndim == 1 else sparse.dims, np.int64)
    if ((indices < 0) | (indices.reshape(values.size, -1) >= bounds).reshape(indices.shape)).any():
        raise InvalidGraph(f"{label}: an index lies outside of dims {list(sparse.dims)}")
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values.reshape(-1)
    else:
        dense[tuple(indices.T)] = values.reshape(-1)
    return numpy_helper.from_array(dense, sparse.values.name)


def _number(entries: dict[str, str], key: str, default: int, label: str) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InvalidModel(f"{label} has {key} {text[:40]!r}; expected a number of bytes")
    return int(text)


def _map(folder: Path, location: str, label: str) -> np.ndarray:
    """The bytes of a regular file below `folder`, reached without links."""
    parts = PurePosixPath(location).parts
    if not parts or "\0" in location:
        raise InvalidModel(f"{label} names no file: location is {location!r}")
    for path in (PurePosixPath(location), PureWindowsPath(location)):
        if path.anchor:
            raise InvalidModel(f"{label} has the absolute path {location!r}; only files in the model's folder are read")
        if ".." in path.parts:
            raise InvalidModel(f"{label} leaves the model's folder: {location!r}; only files in that folder are read")
    file = folder
    try:
        for part in parts:
            file = file / part
            found = os.lstat(file)
            if stat.S_ISLNK(found.st_mode):
                raise InvalidModel(f"{label} is reached by the symlink {str(file)!r}; put the file itself there")
        _check_regular(found, file, label)
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidModel(f"{label} is missing: there is no file {str(file)!r}") from None
    except OSError as error:
        raise InvalidModel(f"{label} cannot be opened: {error}") from None
    with open(descriptor, "rb") as opened:
        now = os.fstat(descriptor)
        _check_regular(now, file, label)
        if (now.st_dev, now.st_ino) != (found.st_dev, found.st_ino):
            raise InvalidModel(f"{label}: {str(file)!r} was replaced while it was opened")
        if now.st_size == 0:
            return np.empty(0, np.uint8)
        return np.frombuffer(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _check_regular(found: os.stat_result, file: Path, label: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidModel(f"{label} is {str(file)!r}, which is not a regular file")
    if found.st_nlink > 1:
        raise InvalidModel(f"{label} is {str(file)!r}, a hardlink ({found.st_nlink} names); put a copy there")
