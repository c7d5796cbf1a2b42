"""Takes large weights out of a model's bytes before protobuf sees them, so that they are in memory once.

Protobuf copies what it parses, and Python's protobuf copies again what is read from a message. Here the wire format is
walked down to the initializers (ModelProto.graph = 7, GraphProto.initializer = 5, TensorProto.raw_data = 9); a payload
of some size stays in the file until it is asked for, and the message says instead that the tensor lies in an external
file of a name that no file can have. Whatever looks wrong stays where it is: protobuf will complain.
"""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO

import numpy as np
from onnx import StringStringEntryProto, TensorProto

from .errors import InvalidModel

__all__ = ["Payload", "lift"]

LARGE = 1 << 16
"""Payloads of fewer bytes stay in the message."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}


class _Malformed(Exception):
    """The bytes are not what was expected; protobuf will say why."""


class _Source:
    """A file that stays open for its payloads, and what tells whether it is still the same."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.lock = Lock()
        self.state = self._state()

    def _state(self) -> tuple[int, int] | None:
        if isinstance(self.file, io.BytesIO):
            return None
        now = os.fstat(self.file.fileno())
        return now.st_size, now.st_mtime_ns

    def read(self, offset: int, length: int) -> np.ndarray:
        array = np.empty(length, np.uint8)
        with self.lock:
            self.file.seek(offset)
            count = self.file.readinto(array.data)  # type: ignore[attr-defined]
            if count != length or self._state() != self.state:
                name = getattr(self.file, "name", "the model")
                raise InvalidModel(f"{name!r} was changed while a session read weights from it; make a new session")
        array.flags.writeable = False
        return array


@dataclass(frozen=True)
class Payload:
    """Some bytes of a file."""

    source: _Source
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length

    def read(self) -> np.ndarray:
        """As an array of bytes of their own.

        Raises:
            InvalidModel: if the file is not what it was when it was opened.
        """
        return self.source.read(self.offset, self.length)


def lift(file: BinaryIO, size: int) -> tuple[bytes, dict[str, Payload]] | None:
    """The model in `file` without its large payloads, and these by the location that their tensors now name.

    Args:
        file: at its beginning; kept open as long as there are payloads.
        size: of the file in bytes.

    Returns:
        None if it cannot be taken apart: read it whole.
    """
    reader = _Reader(file, size)
    try:
        light = b"".join(_model(reader))
    except (_Malformed, OSError):
        return None
    if reader.payloads:
        weakref.finalize(reader.source, file.close)
    return light, reader.payloads


class _Reader:
    """A file read forwards, bounded by its size."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.position = 0
        self.source = _Source(file)
        self.payloads: dict[str, Payload] = {}

    def take(self, count: int) -> bytes:
        content = self.file.read(count) if 0 <= count <= self.size - self.position else b""
        if len(content) != count:
            raise _Malformed
        self.position += count
        return content

    def varint(self) -> tuple[int, bytes]:
        """The number here, and how it is spelled."""
        spelled = b""
        while len(spelled) < 10:
            spelled += self.take(1)
            if spelled[-1] < 0x80:
                return sum((byte & 0x7F) << 7 * i for i, byte in enumerate(spelled)), spelled
        raise _Malformed

    def payload(self, count: int) -> str:
        """Passes over `count` bytes; returns the name they are kept under."""
        if count > self.size - self.position:
            raise _Malformed
        location = f"\0{len(self.payloads)}"
        self.payloads[location] = Payload(self.source, self.position, count)
        self.position += count
        self.file.seek(self.position)
        return location

    def fields(self, end: int) -> Iterator[tuple[int, int | None, bytes]]:
        """(field number, length of what follows and is still to be read, or None; key and value as spelled)."""
        while self.position < end:
            key, spelled = self.varint()
            kind = key & 7
            if kind == _LENGTH_DELIMITED:
                length, _ = self.varint()
                if length > end - self.position:
                    raise _Malformed
                yield key >> 3, length, spelled
            elif kind == 0:
                yield key >> 3, None, spelled + self.varint()[1]
            elif kind in _FIXED:
                yield key >> 3, None, spelled + self.take(_FIXED[kind])
            else:
                raise _Malformed
        if self.position != end:
            raise _Malformed


def _model(reader: _Reader) -> Iterator[bytes]:
    for number, length, spelled in reader.fields(reader.size):
        if length is None:
            yield spelled
        elif number == _GRAPH:
            yield _message(spelled, b"".join(_graph(reader, reader.position + length)))
        else:
            yield _message(spelled, reader.take(length))


def _graph(reader: _Reader, end: int) -> Iterator[bytes]:
    for number, length, spelled in reader.fields(end):
        if length is None:
            yield spelled
        elif number == _INITIALIZER and length > LARGE:
            yield _message(spelled, b"".join(_tensor(reader, reader.position + length)))
        else:
            yield _message(spelled, reader.take(length))


def _tensor(reader: _Reader, end: int) -> Iterator[bytes]:
    for number, length, spelled in reader.fields(end):
        if length is None:
            yield spelled
        elif number == _RAW_DATA and length > LARGE:
            place = {"location": reader.payload(length), "length": str(length)}
            entries = [StringStringEntryProto(key=key, value=value) for key, value in place.items()]
            yield TensorProto(external_data=entries, data_location=TensorProto.EXTERNAL).SerializeToString()
        else:
            yield _message(spelled, reader.take(length))


def _message(key: bytes, content: bytes) -> bytes:
    length, spelled = len(content), bytearray()
    while length > 0x7F:
        spelled.append(length & 0x7F | 0x80)
        length >>= 7
    spelled.append(length)
    return key + bytes(spelled) + content
