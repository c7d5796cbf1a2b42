"""Writes LLVM IR as text: a `Function` is filled by ordinary Python code in which operators emit instructions.

    f = Function("scale", ["x", "y", "n"])
    x, y, n = f.pointer("x"), f.pointer("y"), f.number("n")
    with f.range(n) as i:
        f.store(f.load(FLOAT, x + i * 4) * 2.0, y + i * 4)

Loops and variables use stack slots, which LLVM's first pass turns into registers; nobody has to write a phi. Pointers
count in bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Union

__all__ = ["BOOL", "BYTE", "DOUBLE", "FLOAT", "INT", "INT32", "POINTER", "Function", "Type", "Value", "vector"]


@dataclass(frozen=True)
class Type:
    """A scalar type, or with `lanes` a vector of it."""

    name: str
    nbytes: int
    lanes: int = 0

    @cached_property
    def scalar(self) -> Type:
        return Type(self.name, self.nbytes) if self.lanes else self

    @cached_property
    def floating(self) -> bool:
        return self.name in ("float", "double", "half")

    @property
    def size(self) -> int:
        """In bytes, as it lies in memory."""
        return self.nbytes * (self.lanes or 1)

    @cached_property
    def text(self) -> str:
        return f"<{self.lanes} x {self.name}>" if self.lanes else self.name

    def __str__(self) -> str:
        return self.text


FLOAT, DOUBLE = Type("float", 4), Type("double", 8)
INT, INT32, BYTE, BOOL, POINTER = Type("i64", 8), Type("i32", 4), Type("i8", 1), Type("i1", 1), Type("ptr", 8)
_SUFFIX = {"float": "f32", "double": "f64", "i64": "i64", "i32": "i32", "i8": "i8"}
TOGETHER = 4
"""Turns of a loop that are written out at most: enough to do while one waits for another."""

Operand = Union["Value", int, float]


@cache
def vector(of: Type, lanes: int) -> Type:
    """`lanes` scalars side by side; of 1 lane, the scalar itself."""
    return of.scalar if lanes == 1 else Type(of.name, of.nbytes, lanes)


@dataclass(slots=True, unsafe_hash=True)
class Value:
    """An operand of known type; arithmetic on it emits an instruction into its function. It never changes."""

    function: Function
    type: Type
    text: str

    def __add__(self, other: Operand) -> Value:
        if self.type == POINTER:
            return self.function.offset(self, other)
        return self.function.binary("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self + other

    def __sub__(self, other: Operand) -> Value:
        return self.function.binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.function.value(other, self.type) - self

    def __mul__(self, other: Operand) -> Value:
        return self.function.binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self * other

    def __truediv__(self, other: Operand) -> Value:
        return self.function.binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self.function.value(other, self.type) / self

    def __floordiv__(self, other: Operand) -> Value:
        """Of numbers that are not negative."""
        return self.function.binary("udiv", self, other)

    def __mod__(self, other: Operand) -> Value:
        """Of numbers that are not negative."""
        return self.function.binary("urem", self, other)

    def __neg__(self) -> Value:
        return self.function.negative(self)

    def __lt__(self, other: Operand) -> Value:
        return self.function.compare("lt", self, other)

    def __le__(self, other: Operand) -> Value:
        return self.function.compare("le", self, other)

    def __gt__(self, other: Operand) -> Value:
        return self.function.compare("gt", self, other)

    def __ge__(self, other: Operand) -> Value:
        return self.function.compare("ge", self, other)

    def equals(self, other: Operand) -> Value:
        return self.function.compare("eq", self, other)

    def __and__(self, other: Operand) -> Value:
        return self.function.binary("and", self, other)

    def __or__(self, other: Operand) -> Value:
        return self.function.binary("or", self, other)

    def __xor__(self, other: Operand) -> Value:
        return self.function.binary("xor", self, other)


@dataclass(frozen=True)
class Variable:
    """Something that changes: a stack slot, which becomes a register."""

    function: Function
    type: Type
    slot: str

    def get(self) -> Value:
        return self.function.emit(self.type, f"load {self.type}, ptr {self.slot}")

    def set(self, value: Operand) -> None:
        given = self.function.value(value, self.type)
        self.function.line(f"store {self.type} {given.text}, ptr {self.slot}")


class Function:
    """A kernel `void name(ptr params, ptr slots, i64 task)`.

    Args:
        name: of the symbol.
        fields: what the table `params` holds, in order, 64 bits each: numbers, or for a pointer the index of the slot
            in which the run's address stands.
        fast: let LLVM reassociate and contract floating-point arithmetic, as `numerics="fast"` allows.
    """

    def __init__(self, name: str, fields: Sequence[str] = (), *, fast: bool = False) -> None:
        self.name = name
        self.fields = list(fields)
        self.pointers: set[str] = set()
        self.fast = "reassoc nsz contract " if fast else "contract "
        self.declared: dict[str, str] = {}
        self.constants: list[str] = []
        self._slots: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._block = "entry"
        self.params = Value(self, POINTER, "%params")
        self.slots = Value(self, POINTER, "%slots")
        self.task = Value(self, INT, "%task")

    # ---- text

    def line(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def emit(self, type: Type, text: str) -> Value:
        self._count += 1  # the hottest lines of all: `fresh` and `line`, written out
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {text}")
        return Value(self, type, name)

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"%{stem}{self._count}"

    def text(self) -> str:
        """The module: this function and what it declares."""
        head = f"define void @{self.name}(ptr noalias readonly %params, ptr noalias readonly %slots, i64 %task) #0 {{"
        body = ["entry:", *self._slots, *self._lines, "  ret void", "}"]
        attributes = 'attributes #0 = { nounwind "no-builtins" }'
        return "\n".join([*self.constants, *self.declared.values(), head, *body, attributes, ""])

    # ---- what a kernel is given

    def number(self, field: str) -> Value:
        """A number of the table."""
        return self.load(INT, self.params + 8 * self.fields.index(field))

    def pointer(self, field: str) -> Value:
        """The address of a value in this run; null if the table says slot −1."""
        self.pointers.add(field)
        slot = self.number(field)
        return self.load(POINTER, self.slots + slot * 8)

    # ---- values

    def value(self, x: Operand, like: Type) -> Value:
        """A Python number as a constant of the given type; a scalar spread over a vector's lanes where one is asked."""
        if isinstance(x, Value):
            return self.splat(x, like.lanes) if like.lanes and not x.type.lanes else x
        text = _literal(x, like)
        if like.lanes:
            text = "<" + ", ".join([f"{like.scalar} {text}"] * like.lanes) + ">"
        return Value(self, like, text)

    def splat(self, x: Value, lanes: int) -> Value:
        """One scalar in all lanes."""
        if lanes in (0, 1):
            return x
        kind = vector(x.type, lanes)
        first = self.emit(kind, f"insertelement {kind} poison, {x.type} {x.text}, i64 0")
        return self.emit(kind, f"shufflevector {kind} {first.text}, {kind} poison, <{lanes} x i32> zeroinitializer")

    def variable(self, type: Type, start: Operand | None = None) -> Variable:
        slot = self.fresh("slot")
        self._slots.append(f"  {slot} = alloca {type}, align {max(type.size, 1)}")
        made = Variable(self, type, slot)
        if start is not None:
            made.set(start)
        return made

    def scratch(self, nbytes: int) -> Value:
        """Memory of the function's own, 64-byte aligned, uninitialised."""
        slot = self.fresh("scratch")
        self._slots.append(f"  {slot} = alloca [{nbytes} x i8], align 64")
        return Value(self, POINTER, slot)

    # ---- memory

    def offset(self, pointer: Value, nbytes: Operand) -> Value:
        if isinstance(nbytes, int) and nbytes == 0:
            return pointer
        amount = self.value(nbytes, INT)
        return self.emit(POINTER, f"getelementptr i8, ptr {pointer.text}, i64 {amount.text}")

    def load(self, type: Type, pointer: Value, align: int | None = None) -> Value:
        """`align` in bytes; by default that of one scalar."""
        return self.emit(type, f"load {type.text}, ptr {pointer.text}, align {align or type.nbytes}")

    def store(self, value: Value, pointer: Value, align: int | None = None) -> None:
        self.line(f"store {value.type.text} {value.text}, ptr {pointer.text}, align {align or value.type.nbytes}")

    def load_lanes(self, type: Type, pointer: Value, mask: Value) -> Value:
        """A vector of which only the lanes where `mask` holds are read; the others are 0."""
        name = f"llvm.masked.load.v{type.lanes}{_SUFFIX[type.name]}.p0"
        self._intrinsic(name, str(type), f"ptr, i32, {mask.type}, {type}")
        given = f"ptr {pointer.text}, i32 {type.nbytes}, {mask.type} {mask.text}, {type} zeroinitializer"
        return self.emit(type, f"call {type} @{name}({given})")

    def store_lanes(self, value: Value, pointer: Value, mask: Value) -> None:
        """Writes only the lanes where `mask` holds."""
        kind = value.type
        name = f"llvm.masked.store.v{kind.lanes}{_SUFFIX[kind.name]}.p0"
        self._intrinsic(name, "void", f"{kind}, ptr, i32, {mask.type}")
        given = f"{kind} {value.text}, ptr {pointer.text}, i32 {kind.nbytes}, {mask.type} {mask.text}"
        self.line(f"call void @{name}({given})")

    def prefetch(self, pointer: Value, *, level: int = 1) -> None:
        """Asks for the cache line at this address, which need not be inside of any buffer, into the first or second
        level of the cache."""
        self._intrinsic("llvm.prefetch.p0", "void", "ptr, i32, i32, i32")
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer.text}, i32 0, i32 {4 - level}, i32 1)")

    def fill(self, pointer: Value, byte: Operand, nbytes: Operand) -> None:
        """Sets `nbytes` bytes."""
        self._intrinsic("llvm.memset.p0.i64", "void", "ptr, i8, i64, i1")
        amount, byte = self.value(nbytes, INT), self.value(byte, BYTE)
        self.line(f"call void @llvm.memset.p0.i64(ptr {pointer.text}, i8 {byte.text}, i64 {amount.text}, i1 false)")

    def copy(self, target: Value, source: Value, nbytes: Operand) -> None:
        """Copies `nbytes` bytes between places that do not overlap."""
        self._intrinsic("llvm.memcpy.p0.p0.i64", "void", "ptr, ptr, i64, i1")
        amount = self.value(nbytes, INT)
        self.line(
            f"call void @llvm.memcpy.p0.p0.i64(ptr {target.text}, ptr {source.text}, i64 {amount.text}, i1 false)"
        )

    # ---- arithmetic

    def binary(self, name: str, a: Value, b: Operand) -> Value:
        other = self.value(b, a.type)
        if a.type.lanes == 0 and other.type.lanes:
            a = self.splat(a, other.type.lanes)
        if a.type.floating and name in ("add", "sub", "mul", "div"):
            name = f"f{name} {self.fast}"
        return self.emit(a.type, f"{name} {a.type.text} {a.text}, {other.text}")

    def negative(self, a: Value) -> Value:
        return self.emit(a.type, f"fneg {a.type} {a.text}") if a.type.floating else self.value(0, a.type) - a

    def compare(self, name: str, a: Value, b: Operand) -> Value:
        """Signed for integers; of floats false where one is NaN."""
        other = self.value(b, a.type)
        kind = f"o{name}" if a.type.floating else name if name == "eq" else f"s{name}"
        operation = "fcmp" if a.type.floating else "icmp"
        return self.emit(vector(BOOL, a.type.lanes or 1), f"{operation} {kind} {a.type} {a.text}, {other.text}")

    def select(self, condition: Value, a: Value, b: Operand) -> Value:
        other = self.value(b, a.type)
        return self.emit(a.type, f"select {condition.type} {condition.text}, {a.type} {a.text}, {a.type} {other.text}")

    def call(self, name: str, *args: Value) -> Value:
        """An intrinsic such as `llvm.fma`, overloaded by the type of its first argument, which its result has too."""
        kind = args[0].type
        full = f"{name}.{f'v{kind.lanes}' if kind.lanes else ''}{_SUFFIX[kind.name]}"
        if full not in self.declared:
            self._intrinsic(full, kind.text, ", ".join([a.type.text for a in args]))
        given = ", ".join([f"{a.type.text} {a.text}" for a in args])
        return self.emit(kind, f"call {kind.text} @{full}({given})")

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a·b + c, rounded once."""
        return self.call("llvm.fma", a, b, c)

    def maximum(self, a: Value, b: Operand) -> Value:
        """The larger; NaN if either is NaN, as ONNX's Max and Relu have it."""
        other = self.value(b, a.type)
        return self.call("llvm.maximum" if a.type.floating else "llvm.smax", a, other)

    def minimum(self, a: Value, b: Operand) -> Value:
        """The smaller; NaN if either is NaN."""
        other = self.value(b, a.type)
        return self.call("llvm.minimum" if a.type.floating else "llvm.smin", a, other)

    def convert(self, a: Value, to: Type) -> Value:
        """Between numbers of equally many lanes; floats to integers truncate."""
        target = vector(to, a.type.lanes or 1)
        if a.type == target:
            return a
        if a.type.floating and target.floating:
            how = "fpext" if target.nbytes > a.type.nbytes else "fptrunc"
        elif a.type.floating:
            how = "fptosi"
        elif target.floating:
            how = "uitofp" if a.type.name == "i1" else "sitofp"
        elif a.type.name == "i1":
            how = "zext"
        else:
            how = "sext" if target.nbytes > a.type.nbytes else "trunc"
        return self.emit(target, f"{how} {a.type} {a.text} to {target}")

    def bitcast(self, a: Value, to: Type) -> Value:
        """The same bits as another type of the same size."""
        return self.emit(to, f"bitcast {a.type} {a.text} to {to}")

    def lane(self, a: Value, index: int) -> Value:
        return self.emit(a.type.scalar, f"extractelement {a.type} {a.text}, i64 {index}")

    def some(self, a: Value) -> Value:
        """Is any lane of a mask true?"""
        return self.bitcast(a, Type(f"i{a.type.lanes}", 0)).equals(0) ^ 1 if a.type.lanes else a

    def shuffle(self, a: Value, b: Value, order: Sequence[int]) -> Value:
        """Lanes of `a` (0 …) and `b` (behind them) in the given order."""
        mask = ", ".join(f"i32 {i}" for i in order)
        kind = vector(a.type, len(order))
        return self.emit(kind, f"shufflevector {a.type} {a.text}, {b.type} {b.text}, <{len(order)} x i32> <{mask}>")

    # ---- control

    @contextmanager
    def range(self, *bounds: Operand) -> Iterator[Value]:
        """`range(stop)`, `range(start, stop)` or `range(start, stop, step)`, step positive."""
        start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
        counter = self.variable(INT, start)
        last = self.value(stop, INT)
        body, end = self.fresh("body."), self.fresh("end.")
        self._branch(counter.get() < last, body, end)
        self._label(body)
        i = counter.get()
        yield i
        onward = i + step
        counter.set(onward)
        self._branch(onward < last, body, end)
        self._label(end)

    def repeat(self, count: int, body: Callable[[Value], None]) -> None:
        """`body(i)` for each i below `count`: code for some of them, in a loop."""
        together = max(u for u in range(1, TOGETHER + 1) if count % u == 0)
        with self.range(0, count, together) as i:
            for u in range(together):
                body(i + u)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """What is emitted inside happens only if the scalar condition holds."""
        then, end = self.fresh("then."), self.fresh("end.")
        self._branch(condition, then, end)
        self._label(then)
        yield
        self._jump(end)
        self._label(end)

    def _jump(self, label: str) -> None:
        self.line(f"br label {label}")

    def _branch(self, condition: Value, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition.text}, label {then}, label {otherwise}")

    def _label(self, label: str) -> None:
        self._lines.append(f"{label[1:]}:")

    def _intrinsic(self, name: str, result: str, args: str) -> None:
        self.declared.setdefault(name, f"declare {result} @{name}({args})")


def _literal(x: float, type: Type) -> str:
    if not type.floating:
        return str(int(x))
    if type.name == "float":  # LLVM writes floats as doubles of the same value
        x = struct.unpack("<f", struct.pack("<f", x))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"
