"""Activations that a graph spells out in several nodes → the one operator that they are.

    x · Sigmoid(x)                                     Swish
    x · HardSigmoid(x, 1/6, 1/2)                       HardSwish
    x · Tanh(Softplus(x))                              Mish
    ½x · (1 + Erf(x/√2))                               Gelu
    ½x · (1 + Tanh(√(2/π) · (x + 0.044715·x³)))        Gelu, approximate="tanh"

in any order of the factors. What comes of them then joins the convolution or product before it like any other
activation. The operators are ONNX's, whatever the opset of the graph. They are more exact than what they stand for:
where that loses digits, or is ∞ · 0 at −∞, these do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from ...inference import constant, value_type
from ...ops import registry
from ...plan import OPERATOR

__all__ = ["INNER", "compose"]

INNER = "striate.inner"
"""Key in the `meta` of a node that stands for several: the names of the values between those."""

X = "x"
"""In a `Tree`: the value that all is about."""

Tree = str | float | tuple[Any, ...]
"""`X`, a number, or an operator with what it reads."""

ROUNDED = 1e-6
"""Constants may differ from a `Tree` by this much of themselves: they were rounded to float32."""
EITHER_ORDER = ("Add", "Mul")


@dataclass(frozen=True)
class _Form:
    """One way of writing an activation.

    Attributes:
        op: the operator that it is, as of opset `since`.
        tree: how it is written.
        attributes: of the operator.
        inner: attributes that the tree's operators have.
        same: is it the same for infinite x?
    """

    op: str
    since: int
    tree: Tree
    attributes: Mapping[str, str] = field(default_factory=dict)
    inner: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    same: bool = False


def _half_times(sum_with_one: Tree) -> tuple[Tree, ...]:
    """The orders of ½ · x · …"""
    return (
        ("Mul", ("Mul", X, sum_with_one), 0.5),
        ("Mul", ("Mul", X, 0.5), sum_with_one),
        ("Mul", X, ("Mul", sum_with_one, 0.5)),
        ("Div", ("Mul", X, sum_with_one), 2.0),
    )


_ERFS: tuple[Tree, ...] = (("Erf", ("Div", X, math.sqrt(2.0))), ("Erf", ("Mul", X, math.sqrt(0.5))))
_SQUARES: tuple[Tree, ...] = (("Mul", X, X), ("Pow", X, 2.0))
_CUBES: tuple[Tree, ...] = (("Pow", X, 3.0), *(("Mul", X, square) for square in _SQUARES))
_LINEAR_AND_CUBIC: tuple[Tree, ...] = (
    *(("Add", X, ("Mul", cube, 0.044715)) for cube in _CUBES),
    ("Add", X, ("Mul", X, ("Mul", ("Mul", X, 0.044715), X))),
    *(("Mul", X, ("Add", ("Mul", square, 0.044715), 1.0)) for square in _SQUARES),
)
_TANHS: tuple[Tree, ...] = tuple(("Tanh", ("Mul", inside, math.sqrt(2 / math.pi))) for inside in _LINEAR_AND_CUBIC)

FORMS: tuple[_Form, ...] = (
    _Form("Swish", 24, ("Mul", X, ("Sigmoid", X)), same=True),
    _Form(
        *("HardSwish", 14, ("Mul", X, ("HardSigmoid", X))),
        inner={"HardSigmoid": {"alpha": 1 / 6, "beta": 0.5}},
        same=True,
    ),
    _Form("Mish", 18, ("Mul", X, ("Tanh", ("Softplus", X)))),
    *(_Form("Gelu", 20, tree) for erf in _ERFS for tree in _half_times(("Add", erf, 1.0))),
    *(
        _Form("Gelu", 20, tree, {"approximate": "tanh"})
        for tanh in _TANHS
        for tree in _half_times(("Add", tanh, 1.0))
    ),
)  # fmt: skip


def compose(graph: ir.Graph, *, strict: bool = False) -> bool:
    """Replaces float32 activations written in one of `FORMS`; `strict`: if the same at infinity too."""
    changed = False
    for last in [node for node in graph if node.op_type in ("Mul", "Div")]:
        for form in FORMS:
            found = None if strict and not form.same else _found(form, last)
            if found is not None:
                _replace(graph, form, last, *found)
                changed = True
                break
    return changed


def _found(form: _Form, last: ir.Node) -> tuple[ir.Value, set[ir.Node]] | None:
    """The x of a form that ends with a node, and the nodes that nobody needs if it is computed at once."""
    for x, nodes in _matches(form, form.tree, last.outputs[0], None):
        between = [v for node in nodes if node is not last for v in node.outputs]
        alone = all(not v.is_graph_output() and all(u.node in nodes for u in v.uses()) for v in between)
        like = value_type(last.outputs[0])
        if x is not None and alone and value_type(x) == like and like[0] == ir.DataType.FLOAT:
            return x, nodes
    return None


def _matches(
    form: _Form, tree: Tree, value: ir.Value | None, x: ir.Value | None
) -> Iterator[tuple[ir.Value | None, set[ir.Node]]]:
    """The ways in which a value is what a tree says, given what x is if that is known: x and nodes."""
    if value is None:
        return
    if tree == X:
        if x is None or x is value:
            yield value, set()
    elif isinstance(tree, float):
        known = constant(value)
        if known is not None and known.size == 1 and math.isclose(float(known.reshape(())), tree, rel_tol=ROUNDED):
            yield x, set()
    else:
        node = value.producer()
        if node is not None and (node.op_type, node.domain) == (tree[0], "") and _fits(node, form.inner):
            read = node.inputs
            for order in (read, read[::-1]) if tree[0] in EITHER_ORDER else (read,):
                yield from ((given, {node, *nodes}) for given, nodes in _all_match(form, tree[1:], order, x))


def _all_match(
    form: _Form, trees: Sequence[Tree], values: Sequence[ir.Value | None], x: ir.Value | None
) -> Iterator[tuple[ir.Value | None, set[ir.Node]]]:
    if len(trees) != len(values):
        return
    if not trees:
        yield x, set()
        return
    for first, some in _matches(form, trees[0], values[0], x):
        yield from ((rest, some | more) for rest, more in _all_match(form, trees[1:], values[1:], first))


def _fits(node: ir.Node, inner: Mapping[str, Mapping[str, float]]) -> bool:
    wanted = inner.get(node.op_type)
    if wanted is None:
        return True
    assert isinstance(node.graph, ir.Graph)
    operator = registry.lookup("", node.op_type, node.graph.opset_imports[""])
    given = operator.bind({name: attribute.value for name, attribute in node.attributes.items()})
    return all(math.isclose(given[name], number, rel_tol=ROUNDED) for name, number in wanted.items())


def _replace(graph: ir.Graph, form: _Form, last: ir.Node, x: ir.Value, nodes: set[ir.Node]) -> None:
    node = ir.node(form.op, [x], dict(form.attributes), name=last.name)
    node.meta[OPERATOR] = registry.lookup("", form.op, form.since)
    node.meta[INNER] = tuple(v.name or "" for n in nodes if n is not last for v in n.outputs)
    graph.insert_after(last, node)
    old, new = last.outputs[0], node.outputs[0]
    name, old.name = old.name, None
    new.name, new.type, new.shape = name, old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(nodes, safe=True)
