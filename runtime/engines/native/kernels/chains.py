"""The machine code of chains of elementwise operators; see `elementwise` for what they are applied to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from ..emit import BOOL, BYTE, FLOAT, INT, Function, Type, Value, Variable, vector
from ..program import Kernel
from .operators import OPERATORS, POWERS, TYPES
from .sweeps import first_lanes

__all__ = ["Access", "Expression", "Form", "Instruction", "instruction", "kernel", "names"]


@dataclass(frozen=True)
class Instruction:
    """One operator of a chain.

    Attributes:
        op: a key of `OPERATORS`.
        operands: an int is the number of an earlier value, a float a constant.
        attributes: name and value of those that differ from the default.
    """

    op: str
    operands: tuple[int | float, ...]
    attributes: tuple[tuple[str, float | str], ...] = ()


def instruction(op: str, *operands: int | float, **attributes: float | str) -> Instruction:
    """An `Instruction`: instruction("LeakyRelu", 0, alpha=0.1)."""
    return Instruction(op, operands, tuple(sorted(attributes.items())))


@dataclass(frozen=True)
class Expression:
    """Values 0 … inputs − 1 are given, the next is the result of the first instruction, and so on.

    Attributes:
        outputs: numbers of the values to be stored; by default the last alone.
    """

    inputs: int
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...] = ()

    @property
    def results(self) -> tuple[int, ...]:
        return self.outputs or (self.inputs + len(self.instructions) - 1,)

    @property
    def cost(self) -> int:
        """In additions, of one element."""
        return sum(OPERATORS[i.op].cost for i in self.instructions)

    def emit(self, f: Function, given: Sequence[Value]) -> list[Value]:
        """The results of registers (or scalars)."""
        values = list(given)
        for each in self.instructions:
            values.append(_emitted(f, each, values))
        return [values[i] for i in self.results]


def _emitted(f: Function, each: Instruction, values: Sequence[Value]) -> Value:
    operator = OPERATORS[each.op]
    typed = [values[x].type for x in each.operands if isinstance(x, int)]
    if not typed:
        raise ValueError(f"{each.op} of constants alone")
    like = typed[-1] if len(typed) > 1 or each.op != "Where" else vector(FLOAT, typed[0].lanes or 1)
    operands = [values[x] if isinstance(x, int) else f.value(x, like) for x in each.operands]
    checked = operands[1:] if each.op == "Where" else operands
    if each.op == "Where" and operands[0].type.scalar != BOOL:
        raise ValueError("the condition of Where is not a bool")
    if like.scalar not in operator.types or any(x.type != like for x in checked):
        raise ValueError(f"{each.op} of {', '.join(str(x.type.scalar) for x in operands)}")
    exponent = each.operands[-1]
    if each.op == "Pow" and isinstance(exponent, float) and exponent in POWERS:
        return POWERS[exponent](f, operands[0])
    return operator.emit(f, *operands, **dict(each.attributes))


# ---- what a kernel is specialised for


@dataclass(frozen=True)
class Access:
    """How an input is read along a row: a register or one number spread over it; advancing or standing still."""

    type: str
    spread: bool
    moving: bool


@dataclass(frozen=True)
class Form:
    """Everything that shapes the code.

    Attributes:
        depth: dimensions around the row.
        tail: may a row end within a register?
        channels: are lanes beyond the channels to be zeroed? Dimension 1 then counts blocks.
        framed: has the output a frame, by output? The last dimension then counts rows of planes.
    """

    expression: Expression
    inputs: tuple[Access, ...]
    outputs: tuple[str, ...]
    lanes: int
    depth: int
    tail: bool
    channels: bool
    framed: tuple[bool, ...]
    fast: bool

    @property
    def name(self) -> str:
        ops = "_".join(i.op for i in self.expression.instructions[:6])
        layout = "blocked" if not self.tail else "plain"
        return f"chain_{layout}_{ops}_{blake2b(repr(self).encode(), digest_size=6).hexdigest()}"


def names(form: Form) -> list[str]:
    return [f"x{i}" for i in range(len(form.inputs))] + [f"y{k}" for k in range(len(form.outputs))]


def _fields(form: Form) -> Iterable[str]:
    yield from ("rows", "group", "pieces", "piece", "n")
    yield from (f"size{j}" for j in range(form.depth))
    for name in names(form):
        yield from (name, f"{name}_base", *(f"{name}_stride{j}" for j in range(form.depth)))
    if form.channels:
        yield "channels"
    for k, framed in enumerate(form.framed):
        yield from (f"y{k}_{part}" for part in ("before", "between", "after") if framed)


# ---- the kernel


class _Writer:
    """Fills a function with a chain of a given form."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.f = Function(form.name, list(_fields(form)), fast=form.fast)
        self.types = [TYPES[a.type] for a in form.inputs] + [TYPES[t] for t in form.outputs]

    def write(self) -> Kernel:
        f, form = self.f, self.form
        task, pieces, piece, group = f.task, f.number("pieces"), f.number("piece"), f.number("group")
        start = (task % pieces) * piece
        length = f.minimum(piece, f.number("n") - start)
        first = (task // pieces) * group
        stop = f.minimum(first + group, f.number("rows"))
        sizes = [f.number(f"size{j}") for j in range(form.depth)]
        operands = names(form)
        strides = [[f.number(f"{name}_stride{j}") for j in range(form.depth)] for name in operands]
        counters, at = self._begin(first, sizes, strides, start)
        with f.range(first, stop):
            self._row(counters, sizes, at, length)
            self._advance(form.depth - 1, counters, sizes, at, strides)
        return Kernel.of(f)

    def _begin(
        self,
        first: Value,
        sizes: Sequence[Value],
        strides: Sequence[Sequence[Value]],
        start: Value,
    ) -> tuple[list[Variable], list[Variable]]:
        """Where the first row is, in all dimensions, and for each operand its address."""
        f, rest = self.f, first
        places: list[Value] = []
        for size in reversed(sizes):
            places.insert(0, rest % size)
            rest = rest // size
        at = []
        for k, (name, steps) in enumerate(zip(names(self.form), strides, strict=True)):
            offset = f.number(f"{name}_base")
            for place, stride in zip(places, steps, strict=True):
                offset = offset + place * stride
            if k >= len(self.form.inputs) or self.form.inputs[k].moving:
                offset = offset + start * _memory(self.types[k]).nbytes
            at.append(f.variable(f.params.type, f.pointer(name) + offset))
        return [f.variable(INT, place) for place in places], at

    def _advance(
        self,
        j: int,
        counters: Sequence[Variable],
        sizes: Sequence[Value],
        at: Sequence[Variable],
        strides: Sequence[Sequence[Value]],
    ) -> None:
        """On to the next row: counts in dimension j, and carries over to the one before."""
        if j < 0:
            return
        f = self.f
        counters[j].set(counters[j].get() + 1)
        for address, steps in zip(at, strides, strict=True):
            address.set(address.get() + steps[j])
        with f.when(counters[j].get().equals(sizes[j])):
            counters[j].set(0)
            for address, steps in zip(at, strides, strict=True):
                address.set(address.get() + -(sizes[j] * steps[j]))
            self._advance(j - 1, counters, sizes, at, strides)

    def _row(self, counters: Sequence[Variable], sizes: Sequence[Value], at: Sequence[Variable], n: Value) -> None:
        f, form = self.f, self.form
        addresses = [v.get() for v in at]
        inputs, outputs = addresses[: len(form.inputs)], addresses[len(form.inputs) :]
        still = {k: self._load(k, inputs[k], None) for k, a in enumerate(form.inputs) if not a.moving}
        valid = (
            first_lanes(f, f.number("channels") - counters[1].get() * form.lanes, form.lanes) if form.channels else None
        )
        for k, framed in enumerate(form.framed):
            if framed:
                before = f.number(f"y{k}_before")
                with f.when(counters[-1].get().equals(0)):
                    self._zero(outputs[k] + -before, before)
        whole = n - n % form.lanes
        with f.range(0, whole, form.lanes) as i:
            self._register(inputs, outputs, i, still, valid, None)
        if form.tail:
            with f.when(whole < n):
                self._register(inputs, outputs, whole, still, valid, first_lanes(f, n - whole, form.lanes))
        for k, framed in enumerate(form.framed):
            if framed:
                last = counters[-1].get().equals(sizes[-1] - 1)
                amount = f.select(last, f.number(f"y{k}_after"), f.number(f"y{k}_between"))
                self._zero(outputs[k] + n * FLOAT.nbytes, amount)

    def _register(
        self,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        i: Value,
        still: dict[int, Value],
        valid: Value | None,
        mask: Value | None,
    ) -> None:
        f = self.f
        given = []
        for k, address in enumerate(inputs):
            moved = address + i * _memory(self.types[k]).nbytes
            given.append(still[k] if k in still else self._load(k, moved, mask))
        for k, result in enumerate(self.form.expression.emit(f, given)):
            kind = self.types[len(inputs) + k]
            if result.type.scalar != kind:
                raise ValueError(f"output {k} is {result.type.scalar}, its layout {kind}")
            if valid is not None:
                result = f.select(valid, result, 0)
            stored = f.convert(result, BYTE) if kind == BOOL else result
            address = outputs[k] + i * stored.type.nbytes
            if mask is None:
                f.store(stored, address)
            else:
                f.store_lanes(stored, address, mask)

    def _load(self, k: int, address: Value, mask: Value | None) -> Value:
        f, access = self.f, self.form.inputs[k]
        memory, wide = _memory(self.types[k]), vector(_memory(self.types[k]), self.form.lanes)
        if access.spread:
            value = f.splat(f.load(memory, address), self.form.lanes)
        else:
            value = f.load(wide, address) if mask is None else f.load_lanes(wide, address, mask)
        return value.equals(0) ^ 1 if self.types[k] == BOOL else value

    def _zero(self, address: Value, nbytes: Value) -> None:
        f, kind = self.f, vector(FLOAT, self.form.lanes)
        with f.range(0, nbytes, kind.size) as i:
            f.store(f.value(0.0, kind), address + i)


def _memory(type: Type) -> Type:
    return BYTE if type == BOOL else type


_kernels: dict[str, Kernel] = {}


def kernel(form: Form) -> Kernel:
    """Made once. Told apart by name, not by equality: 0.0 equals −0.0."""
    name = form.name
    if name not in _kernels:
        _kernels[name] = _Writer(form).write()
    return _kernels[name]
