"""Einsum: any product and sum over named axes, two operands at a time, through matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_letters

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidInput
from .registry import op


@op("Einsum", since=12, view=True)
def einsum(xp, *Inputs, equation):
    """Σ over the labels that the output does not name of the product of the inputs."""
    terms, output = explicit(equation, [x.ndim for x in Inputs])
    sizes = _sizes(equation, terms, [x.shape for x in Inputs])
    dtype = Inputs[0].dtype
    wide = [x.astype(compute_dtype(dtype), copy=False) for x in Inputs]
    operands = [_plain(xp, x, term, sizes) for x, term in zip(wide, terms, strict=True)]
    while len(operands) > 1:
        first, second = _best_pair(operands, output, sizes)
        others = [operand for i, operand in enumerate(operands) if i not in (first, second)]
        needed = set(output).union(*(labels for _, labels in others))
        operands = [*others, _contract(xp, *operands[first], *operands[second], needed)]
    array, labels = _summed(xp, *operands[0], set(output))
    return array.transpose([labels.index(label) for label in output]).astype(dtype, copy=False)


@einsum.gradient
def _(g, node, dY):
    """dXᵢ = Einsum of dY and the other inputs, to the labels of Xᵢ"""
    shapes = [node.shape(i) for i in range(len(node.inputs))]
    terms, output = explicit(node.attrs["equation"], [len(shape) for shape in shapes])
    return tuple(_operand_gradient(g, i, node.inputs, shapes, terms, output, dY) for i in range(len(terms)))


def _operand_gradient(g, which, inputs, shapes, terms, output, dY):
    """Repeated labels of the input become diagonals by an identity matrix; labels nobody else has are broadcast."""
    wide = {
        label for term, shape in zip(terms, shapes, strict=True) for label, n in zip(term, shape, strict=True) if n != 1
    }
    others = [_squeezed(g, inputs[i], terms[i], shapes[i], wide) for i in range(len(terms)) if i != which]
    operands, given = [dY, *(x for x, _ in others)], [output, *(term for _, term in others)]
    unused = _unused("".join((output, *terms)))
    target = []
    for label, size in zip(terms[which], shapes[which], strict=True):
        if size == 1 and label in wide:
            label = ""
        elif label in target:
            fresh = next(unused)
            operands.append(_identity(g, size, inputs[which], len(target)))
            given.append(label + fresh)
            label = fresh
        target.append(label)
    reached = [label for label in target if label and any(label in term for term in given)]
    if len(given) == 1 and "".join(reached) == output:
        found = dY
    else:
        found = g.Einsum(*operands, equation=f"{','.join(given)}->{''.join(reached)}")
    missing = [axis for axis, label in enumerate(target) if label not in reached]
    return g.Expand(g.Unsqueeze(found, missing), g.shape_of(inputs[which])) if missing else found


def _squeezed(g, x, term, shape, wide):
    """An operand and its labels without the axes of size 1 that an ellipsis broadcasts."""
    axes = [axis for axis, (label, size) in enumerate(zip(term, shape, strict=True)) if size == 1 and label in wide]
    kept = "".join(label for axis, label in enumerate(term) if axis not in axes)
    return (g.Squeeze(x, axes), kept) if axes else (x, term)


def _identity(g, size, x, axis):
    if isinstance(size, int):
        return g.constant(np.eye(size, dtype=x.dtype.numpy()))
    length = g.Shape(x, start=axis, end=axis + 1)
    square = g.ConstantOfShape(g.Concat(length, length, axis=0), value=np.zeros(1, x.dtype.numpy()))
    return g.EyeLike(square)


def explicit(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The terms and the output of an equation for operands of these ranks: a letter for each axis, ellipses spelt out.

    Raises:
        InvalidInput: if the equation does not fit the operands.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise InvalidInput(f"equation {equation!r} has {len(terms)} terms for {len(ranks)} inputs")
    spare = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    for i, (term, count) in enumerate(zip(terms, spare, strict=True)):
        named = term.replace("...", "", 1)
        if count < 0 or (count > 0 and "..." not in term) or not all(c in ascii_letters for c in named):
            raise InvalidInput(f"term {term!r} of equation {equation!r} does not fit input {i} of rank {ranks[i]}")
    unused = _unused(equation)
    ellipsis = "".join(next(unused) for _ in range(max(spare, default=0)))
    if not arrow:
        right = "..." + "".join(sorted(c for c in set(left) if c in ascii_letters and left.count(c) == 1))
    spelt = [term.replace("...", ellipsis[len(ellipsis) - n :]) for term, n in zip(terms, spare, strict=True)]
    output = right.replace("...", ellipsis, 1)
    if len(set(output)) < len(output) or not set(output) <= set("".join(spelt)):
        raise InvalidInput(f"the output of equation {equation!r} must name labels of the inputs, each once")
    return spelt, output


def _unused(used):
    for letter in ascii_letters:
        if letter not in used:
            yield letter
    raise InvalidInput(f"the equation needs more than {len(ascii_letters)} labels")


def _sizes(equation, terms, shapes):
    """The size of each label; within ellipses size 1 is broadcast."""
    sizes = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            broadcast = label not in equation
            if sizes.setdefault(label, size) == 1 and broadcast:
                sizes[label] = size
            elif size != sizes[label] and not (size == 1 and broadcast):
                shown = ", ".join(str(list(s)) for s in shapes)
                raise InvalidInput(
                    f"equation {equation!r} gives one label to sizes {sizes[label]} and {size}: shapes {shown}"
                )
    return sizes


def _plain(xp, array, term, sizes):
    """(array, labels) with every label once and none of its axes still to be broadcast."""
    labels = list(term)
    for label in dict.fromkeys(term):
        while labels.count(label) > 1:
            first, second = [i for i, other in enumerate(labels) if other == label][:2]
            array = xp.diagonal(array, 0, first, second)
            labels = [other for i, other in enumerate(labels) if i not in (first, second)] + [label]
    kept = [i for i, label in enumerate(labels) if array.shape[i] == sizes[label]]
    if len(kept) < len(labels):
        array = array.reshape([array.shape[i] for i in kept])
    return array, [labels[i] for i in kept]


def _best_pair(operands, output, sizes):
    """The two operands whose product takes the least memory beyond their own."""

    def volume(labels):
        return math.prod(sizes[label] for label in labels)

    def growth(pair):
        first, second = pair
        others = (labels for i, (_, labels) in enumerate(operands) if i not in pair)
        needed = set(output).union(*others)
        mine, theirs = operands[first][1], operands[second][1]
        return volume(needed & {*mine, *theirs}) - volume(mine) - volume(theirs)

    return min(((i, j) for j in range(len(operands)) for i in range(j)), key=growth)


def _summed(xp, array, labels, needed):
    """Summed over the labels that are not needed."""
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return array, labels
    return xp.sum(array, axis=axes, dtype=array.dtype), [label for label in labels if label in needed]


def _contract(xp, a, a_labels, b, b_labels, needed):
    """The product of two operands, summed over the labels only they have: a batch of matrix products."""
    a, a_labels = _summed(xp, a, a_labels, needed | set(b_labels))
    b, b_labels = _summed(xp, b, b_labels, needed | set(a_labels))
    shared = [label for label in a_labels if label in b_labels]
    batch = [label for label in shared if label in needed]
    inner = [label for label in shared if label not in needed]
    rows = [label for label in a_labels if label not in shared]
    columns = [label for label in b_labels if label not in shared]
    size = dict(zip([*a_labels, *b_labels], [*a.shape, *b.shape], strict=True))

    def matrices(array, labels, *groups):
        order = [labels.index(label) for group in groups for label in group]
        shape = [size[label] for label in groups[0]] + [
            math.prod(size[label] for label in group) for group in groups[1:]
        ]
        return array.transpose(order).reshape(shape)

    a, b = matrices(a, a_labels, batch, rows, inner), matrices(b, b_labels, batch, inner, columns)
    product = xp.matmul(a, b) if inner else a * b
    labels = [*batch, *rows, *columns]
    return product.reshape([size[label] for label in labels]), labels
