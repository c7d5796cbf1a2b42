"""The operator registry: one `@op` per (domain, name, since-version), the kernel and its gradient side by side.

A kernel is a function `kernel(xp, *inputs, **attributes)` whose parameter names are the specification's. What it can do
beyond that is read off its signature and the decorator, never declared twice:

* positional parameters are inputs (default `None`: optional; `*args`: variadic); keyword-only parameters are attributes
  (without a default: required);
* a keyword-only `out` receives a buffer of the result's shape and dtype, or `None`; the kernel may return a new array
instead;
* a keyword-only `n_outputs` receives how many outputs the node wants;
* `host=(1, 2)` lists the inputs that are shapes, axes and the like: they arrive as NumPy arrays on every device;
* `inplace=True`: `out` may be the very buffer of an input of the same shape;
* `view=True`: the result may share memory with the first input;
* `inert=True`: values are ignored, only type and shape matter (`Shape`, `Size`).
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType
from typing import Any

from ..errors import InvalidGraph, UnsupportedOperator

Kernel = Callable[..., Any]
Rule = Callable[..., Any]
REQUIRED: Any = inspect.Parameter.empty
GRAD_DOMAIN = "striate.grad"
_RESERVED = {"out", "n_outputs"}


@dataclass(eq=False)
class Operator:
    """One version of one operator: its kernel, what the kernel can do, and its gradient rule."""

    domain: str
    name: str
    since: int
    kernel: Kernel
    host: frozenset[int] = frozenset()
    inplace: bool = False
    view: bool = False
    inert: bool = False
    deterministic: bool = True
    differentiable: bool = True
    infer: Callable[..., Any] | None = None
    rule: Rule | None = None
    inputs: tuple[str, ...] = ()
    variadic: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    takes_out: bool = False
    takes_n_outputs: bool = False

    def __post_init__(self) -> None:
        positional, self.variadic, keywords = _parameters(self.kernel)
        self.inputs = tuple(positional[1:])
        self.takes_out = "out" in keywords
        self.takes_n_outputs = "n_outputs" in keywords
        self.attributes = {name: _stored(default) for name, default in keywords.items() if name not in _RESERVED}

    def __call__(self, xp: Any, *inputs: Any, **attributes: Any) -> Any:
        return self.kernel(xp, *inputs, **attributes)

    def gradient(self, rule: Rule) -> Rule:
        """Decorator: `rule(g, node, *dY)` returns the gradients of the inputs, in order; `None` where there is none.

        Un-broadcasting is the caller's business: a rule may return a gradient of the broadcast shape.
        """
        self.rule = rule
        return rule

    def bind(self, given: dict[str, Any]) -> dict[str, Any]:
        """The attributes of a node with the kernel's defaults filled in.

        Raises:
            InvalidGraph: for an attribute the operator does not have, or a missing required one.
        """
        if unknown := sorted(given.keys() - self.attributes.keys()):
            known = ", ".join(self.attributes) or "none"
            raise InvalidGraph(f"{self} has no attribute {unknown[0]!r}; its attributes are: {known}")
        bound = {**self.attributes, **given}
        if missing := [name for name, value in bound.items() if value is REQUIRED]:
            raise InvalidGraph(f"{self} needs the attribute {missing[0]!r}, which is missing")
        return bound

    def __str__(self) -> str:
        return f"{self.domain or 'ai.onnx'}.{self.name}-{self.since}"


def _parameters(kernel: Kernel) -> tuple[Sequence[str], bool, dict[str, Any]]:
    """Names of the positional parameters, whether there are more (`*args`), and the keyword-only ones with defaults.

    Plain functions are read directly: `inspect` takes ten times as long, for hundreds of kernels in each process.
    """
    if not isinstance(kernel, FunctionType) or kernel.__dict__:  # which may say `__wrapped__` or `__signature__`
        parameters = inspect.signature(kernel).parameters.values()
        return (
            [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD],
            any(p.kind is p.VAR_POSITIONAL for p in parameters),
            {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY},
        )
    code = kernel.__code__
    names = code.co_varnames
    positional, keyword_only = code.co_argcount, code.co_kwonlyargcount
    defaults = kernel.__kwdefaults__ or {}
    keywords = {name: defaults.get(name, REQUIRED) for name in names[positional : positional + keyword_only]}
    return names[:positional], bool(code.co_flags & inspect.CO_VARARGS), keywords


def _stored(default: Any) -> Any:
    """A default as a file would hold it: ONNX's floating-point attributes are float32."""
    return struct.unpack("<f", struct.pack("<f", default))[0] if isinstance(default, float) else default


_TABLE: dict[tuple[str, str], dict[int, Operator]] = {}


def op(
    name: str, since: int, *, domain: str = "", host: tuple[int, ...] = (), **traits: Any
) -> Callable[[Kernel], Operator]:
    """Decorator: registers a kernel for `name` from opset `since` on, until a later registration of the same name."""

    def register(kernel: Kernel) -> Operator:
        versions = _TABLE.setdefault((domain, name), {})
        if since in versions:
            raise ValueError(f"{domain or 'ai.onnx'}.{name}-{since} is registered twice")
        versions[since] = Operator(domain, name, since, kernel, host=frozenset(host), **traits)
        return versions[since]

    return register


def lookup(domain: str, name: str, version: int) -> Operator:
    """The operator a node of this domain and name means under the given opset.

    Raises:
        UnsupportedOperator: if there is none; the message lists what there is.
    """
    _load()
    versions = _TABLE.get((domain, name))
    if versions is None:
        raise UnsupportedOperator(f"operator {name!r} of domain {domain or 'ai.onnx'!r} is not implemented")
    usable = [since for since in versions if since <= version]
    if not usable:
        raise UnsupportedOperator(
            f"operator {name!r} of domain {domain or 'ai.onnx'!r} is implemented from opset {min(versions)} on, "
            f"the model imports opset {version}"
        )
    return versions[max(usable)]


def find(domain: str, name: str, version: int) -> Operator | None:
    """Like `lookup`, but `None` where there is no kernel."""
    try:
        return lookup(domain, name, version)
    except UnsupportedOperator:
        return None


def registered() -> Iterator[Operator]:
    """All registered operators, every since-version."""
    _load()
    for versions in _TABLE.values():
        yield from versions.values()


@cache
def _load() -> None:
    from . import load_all

    load_all()
