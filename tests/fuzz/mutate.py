"""Valid models changed at random, through the reader and one run: only our errors, no crash, no hang.

    python -m tests.fuzz.mutate --count 20000 --seed 0
    python -m tests.fuzz.mutate --file damaged/17.onnx

The same seed and number always give the same file, and a file always the same inputs.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message
from onnx import numpy_helper

from .corpus import Sample, samples
from .watch import Outcome, watch

Random = np.random.Generator
INTS = (0, 1, -1, 2, 3, 7, 255, 2**31 - 1, -(2**31), 2**31, 2**32 + 1, 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), -float("inf"), 3.4e38, 1e-45, 1e18, -2.0)
TEXTS = ("", "x", "..", "a/../b", "\0", "é" * 3, "n" * 5000, "NOTSET", "SAME_UPPER", "nearest", "linear", "cubic",
         "reflect", "wrap", "sum", "ij,jk->ik", "...", "[a-z]+", "(a+)+b")  # fmt: skip


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    """The changed model of that number, and the name of the model it comes from."""
    random = np.random.default_rng((seed, number))
    pool = samples()
    sample = pool[random.integers(len(pool))]
    if random.random() < 0.2:
        return sample.name, _damaged(sample.model, random)
    model = onnx.ModelProto.FromString(sample.model)
    if random.random() < 0.5:
        _freeze(model, sample, random)
    for _ in range(random.integers(1, 4)):
        change = CHANGES[random.integers(len(CHANGES))]
        change(model, random)
    return sample.name, model.SerializeToString()


# ---- bytes


def _damaged(data: bytes, random: Random) -> bytes:
    array = np.frombuffer(data, np.uint8).copy()
    way = random.integers(4)
    if way == 0:
        return data[: random.integers(len(data))]
    if way == 1:
        at, length = random.integers(len(data)), random.integers(1, 40)
        return data[:at] + data[at + length :]
    if way == 2:
        start, at, length = random.integers(len(data)), random.integers(len(data)), random.integers(1, 60)
        return data[:at] + data[start : start + length] + data[at:]
    places = random.integers(0, len(data), random.integers(1, 5))
    array[places] = np.where(random.random(len(places)) < 0.5, array[places] ^ (1 << random.integers(8)), 0xFF)
    return array.tobytes()


# ---- fields


def _freeze(model: onnx.ModelProto, sample: Sample, random: Random) -> None:
    """Some inputs become constants, with which nodes are folded before anything runs."""
    for value in list(model.graph.input):
        array = sample.feeds.get(value.name)
        if isinstance(array, np.ndarray) and random.random() < 0.7:
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
            model.graph.input.remove(value)


def _any_field(model: onnx.ModelProto, random: Random) -> None:
    """Some field of some message gets another value, or one element more or less."""
    found = list(_messages(model))
    message = found[random.integers(len(found))]
    _change_field(message, _pick(message.DESCRIPTOR.fields, random), model, random)


def _set_field(model: onnx.ModelProto, random: Random) -> None:
    """The same for a field that is set already."""
    found = [(m, field) for m in _messages(model) for field, _ in m.ListFields()]
    _change_field(*_pick(found, random), model, random)


def _change_field(message: Any, field: Any, model: onnx.ModelProto, random: Random) -> None:
    name = field.name
    if not field.is_repeated:
        if field.type == Field.TYPE_MESSAGE:
            _change_message(message, field, model, random)
        else:
            setattr(message, name, _value(field, model, random))
        return
    values = getattr(message, name)
    way = random.integers(5)
    if way == 0 and len(values):
        del values[random.integers(len(values))]
    elif way == 1 and len(values):
        values.append(_pick(values, random))
    elif way == 2 and len(values) > 1:
        i, j = random.integers(0, len(values), 2)
        moved = list(values)
        moved[i], moved[j] = moved[j], moved[i]
        copies = [m.__deepcopy__() if isinstance(m, Message) else m for m in moved]
        del values[:]
        values.extend(copies)
    elif field.type == Field.TYPE_MESSAGE:
        others = [m for m in _messages(model) if m.DESCRIPTOR is field.message_type]
        values.append(_pick(others, random) if others and random.random() < 0.8 else values.add())
    elif way == 3 or not len(values):
        values.append(_value(field, model, random))
    else:
        values[random.integers(len(values))] = _value(field, model, random)


def _change_message(message: Any, field: Any, model: onnx.ModelProto, random: Random) -> None:
    others = [m for m in _messages(model) if m.DESCRIPTOR is field.message_type]
    if others and random.random() < 0.7:
        copied = _pick(others, random).SerializeToString()
        getattr(message, field.name).ParseFromString(copied)
    elif random.random() < 0.5:
        message.ClearField(field.name)
    else:
        getattr(message, field.name).SetInParent()


def _value(field: Any, model: onnx.ModelProto, random: Random) -> Any:
    if field.type == Field.TYPE_ENUM:
        return _pick(field.enum_type.values, random).number
    if field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return _pick(FLOATS, random)
    if field.type == Field.TYPE_STRING:
        return _text(model, random)
    if field.type == Field.TYPE_BYTES:
        return _pick([*(t.encode() for t in TEXTS), b"\xff\xfe", bytes(8), bytes([255] * 8)], random)
    number = int(_pick(INTS, random)) if random.random() < 0.7 else int(random.integers(-4, 30))
    if field.type == Field.TYPE_INT32:
        return max(-(2**31), min(number, 2**31 - 1))
    return number % 2**64 if field.type == Field.TYPE_UINT64 else number


def _text(model: onnx.ModelProto, random: Random) -> str:
    """A name the model has already, one of an operator, or an odd one."""
    way = random.random()
    if way < 0.5:
        names = [name for node in _nodes(model) for name in (*node.input, *node.output, node.op_type)]
        return _pick(names, random) if names else ""
    if way < 0.75:
        return _pick(_operators(), random)[1]
    return _pick(TEXTS, random)


def _operator(model: onnx.ModelProto, random: Random) -> None:
    """A node becomes another operator, with the attributes it has."""
    nodes = list(_nodes(model))
    if nodes:
        node = _pick(nodes, random)
        node.domain, node.op_type = _pick(_operators(), random)
        if random.random() < 0.7:
            del node.attribute[:]
        if node.domain not in {entry.domain for entry in model.opset_import}:
            model.opset_import.add(domain=node.domain, version=1)


def _opset(model: onnx.ModelProto, random: Random) -> None:
    if model.opset_import:
        _pick(model.opset_import, random).version = int(random.integers(-1, 29))


def _wire(model: onnx.ModelProto, random: Random) -> None:
    """A node reads another value, or none, or one more."""
    nodes = list(_nodes(model))
    if not nodes:
        return
    node = _pick(nodes, random)
    names = [name for other in nodes for name in (*other.input, *other.output)] + [v.name for v in model.graph.input]
    name = _pick([*names, ""], random)
    if node.input and random.random() < 0.7:
        node.input[random.integers(len(node.input))] = name
    else:
        node.input.append(name)


def _attribute(model: onnx.ModelProto, random: Random) -> None:
    """An attribute gets an extreme value of its own type, or one the operator knows is added."""
    nodes = [node for node in _nodes(model) if node.op_type]
    if not nodes:
        return
    node = _pick(nodes, random)
    known = _attributes(node.domain, node.op_type)
    if known and (not node.attribute or random.random() < 0.5):
        name, kind = _pick(known, random)
        for old in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(old)
        node.attribute.add(name=name, type=kind)
    if not node.attribute:
        return
    attribute = _pick(node.attribute, random)
    name = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings", 13: "tp"}.get(attribute.type)
    if name is not None:
        for _ in range(random.integers(1, 4)):
            _change_field(attribute, attribute.DESCRIPTOR.fields_by_name[name], model, random)


def _constant(model: onnx.ModelProto, random: Random) -> None:
    """A stored tensor gets an extreme element, another shape of the same size, or another type."""
    found = [m for m in _messages(model) if isinstance(m, onnx.TensorProto)]
    if not found:
        return
    tensor = _pick(found, random)
    try:
        array = numpy_helper.to_array(tensor).copy()
    except Exception:  # an earlier change has damaged it
        return
    way = random.integers(4)
    if way == 0 and array.size and array.dtype.kind in "if":
        limits = np.iinfo(array.dtype) if array.dtype.kind == "i" else None
        number = _pick(FLOATS if limits is None else INTS, random)
        array.flat[random.integers(array.size)] = number if limits is None else max(limits.min, min(number, limits.max))
    elif way == 1:
        array = array.reshape(_pick([(-1,), (1, -1), (-1, 1), array.shape[::-1]], random))
    elif way == 2 and array.dtype.kind in "iuf":
        array = array.astype(_pick(["float32", "float64", "int64", "int32", "uint8", "float16", "bool"], random))
    else:
        array = array.ravel()[: random.integers(array.size + 1)]
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _declared(model: onnx.ModelProto, random: Random) -> None:
    """A declared dimension or type changes, or an inner value gets one."""
    types = [v.type for v in (*model.graph.input, *model.graph.output, *model.graph.value_info)]
    if random.random() < 0.3:
        names = [name for node in _nodes(model) for name in node.output]
        value = model.graph.value_info.add(name=_pick(names, random) if names else "")
        value.type.CopyFrom(_pick(types, random) if types else onnx.TypeProto())
        types.append(value.type)
    found = [t.tensor_type for t in types if t.HasField("tensor_type")]
    if not found:
        return
    tensor = _pick(found, random)
    if random.random() < 0.3:
        tensor.elem_type = int(random.integers(0, 30))
    elif tensor.shape.dim and random.random() < 0.8:
        dim = _pick(tensor.shape.dim, random)
        if random.random() < 0.4:
            dim.dim_param = "N"
        else:
            dim.dim_value = int(_pick(INTS, random))
    else:
        tensor.shape.dim.add()


Change = Callable[[onnx.ModelProto, Random], None]
CHANGES: tuple[Change, ...] = (
    _any_field,
    *(_set_field, _set_field),
    _operator,
    _opset,
    _wire,
    *(_attribute, _attribute),
    *(_constant, _constant),
    _declared,
)


def _messages(message: Message, depth: int = 0) -> Iterator[Any]:
    yield message
    if depth < 30:
        for field, value in message.ListFields():
            if field.type == Field.TYPE_MESSAGE:
                for inner in value if field.is_repeated else [value]:
                    yield from _messages(inner, depth + 1)


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (m for m in _messages(model) if isinstance(m, onnx.NodeProto))


@cache
def _operators() -> list[tuple[str, str]]:
    return sorted({(s.domain, s.name) for s in onnx.defs.get_all_schemas()})


@cache
def _attributes(domain: str, name: str) -> list[tuple[str, Any]]:
    """(name, type number) of an operator's attributes in its newest version."""
    try:
        schema = onnx.defs.get_schema(name, domain=domain)
    except onnx.defs.SchemaError:
        return []
    return [(a.name, int(onnx.AttributeProto.AttributeType.Value(a.type.name))) for a in schema.attributes.values()]


def _pick(values: Any, random: Random) -> Any:
    return values[random.integers(len(values))]


# ---- running them


def attempt(name: str, data: bytes) -> Outcome:
    """Loads a model and runs it once on inputs that fit what it declares."""
    from striate import runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(data, options)
    except Exception as error:
        return Outcome.of("refused", error)
    given = {s.name: s.feeds for s in samples()}.get(name, {})
    random = np.random.default_rng(zlib.crc32(data))
    try:
        fed = {a.name: feed(a, given.get(a.name), random) for a in session.get_inputs()}
    except Unfeedable:
        return Outcome("not fed")
    try:
        session.run(None, fed)
    except Exception as error:
        return Outcome.of("failed", error)
    return Outcome("ran")


class Unfeedable(Exception):
    """An input of a type that cannot be made up, or too large."""


def feed(argument: Any, given: Any, random: Random) -> Any:
    """The value that the unchanged model takes, if it still fits; else one made up."""
    from striate.runtime import dtypes

    kind, shape = argument.type, argument.shape
    if given is not None and random.random() < 0.7:
        if not isinstance(given, np.ndarray):
            return given
        same = f"tensor({dtypes.onnx_name(dtypes.onnx_dtype(given.dtype))})" == kind
        fits = len(shape) == given.ndim and all(
            not isinstance(d, int) or d == g for d, g in zip(shape, given.shape, strict=True)
        )
        if same and (fits or not shape):
            return given
    if kind.startswith("optional("):
        return None
    if kind.startswith("seq(tensor("):
        inner = kind.removeprefix("seq(").removesuffix(")")
        return [_tensor(inner, [2, 3], random) for _ in range(random.integers(3))]
    return _tensor(kind, [d if isinstance(d, int) else int(random.integers(0, 4)) for d in shape], random)


def _tensor(kind: str, shape: list[int], random: Random) -> np.ndarray:
    from striate.runtime import dtypes

    codes = {f"tensor({name})": code for code, name in dtypes.NAMES.items()}
    if kind not in codes or np.prod([max(d, 1) for d in shape], dtype=float) > 1 << 16:
        raise Unfeedable
    dtype = dtypes.numpy_dtype(codes[kind])
    if dtype.kind == "O":
        return np.array([_pick(TEXTS, random) for _ in range(int(np.prod(shape)))], object).reshape(shape)
    values = random.integers(-3, 6, shape) if dtype.kind in "iu" else random.standard_normal(shape)
    if random.random() < 0.2 and values.size:
        values.flat[random.integers(values.size)] = _pick(INTS if dtype.kind in "iu" else FLOATS, random)
    with np.errstate(all="ignore"):
        return values.astype(dtype)


def run(count: int, seed: int, folder: Path | None, *, workers: int = 2, start: int = 0) -> Counter[Outcome]:
    """Tries the files numbered from `start` on; those that went wrong are saved in `folder`."""
    results: Counter[Outcome] = Counter()
    samples()

    def job(number: int) -> Outcome:
        return attempt(*mutant(seed, number))

    for number, outcome in watch(job, range(start, start + count), workers=workers):
        results[outcome.brief()] += 1
        if outcome.bad and folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            name, data = mutant(seed, number)
            path = folder / f"{name}-{seed}-{number}.onnx"
            path.write_bytes(data)
            print(f"\n{outcome.kind}: {outcome.error} {outcome.message}\n  python -m tests.fuzz.mutate --file {path}")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("damaged"), help="where files that went wrong are saved")
    parser.add_argument("--file", type=Path, help="try this one, without limits, and show what happens")
    arguments = parser.parse_args()
    if arguments.file is not None:
        outcome = attempt(arguments.file.name.rsplit("-", 2)[0], arguments.file.read_bytes())
        print(outcome.trace or outcome)
        return outcome.bad
    results = run(arguments.count, arguments.seed, arguments.folder, workers=arguments.workers, start=arguments.start)
    for outcome, count in sorted(results.items(), key=lambda item: (item[0].kind, -item[1])):
        print(f"{count:7,}  {outcome.kind:12} {outcome.error}")
    bad = sum(count for outcome, count in results.items() if outcome.bad)
    print(f"{sum(results.values()):7,}  files, {bad} of them went wrong")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
