"""Nodes that change nothing: their users read the input instead.

Case 1: `Identity`, and `Dropout` outside training whose mask nobody reads.
Case 2: `Cast` to the dtype the value has.
Case 3: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`, `Expand`, `Tile`, `Slice` or `SumTo` to the very same known shape.
Case 4: `Transpose` by the identity permutation; `Concat`, `Sum`, `Max`, `Min`, `Mean` of one input.
Case 5: `Pad` by nothing.

A node that produces an output of the graph stays, so that the output keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ..builder import attributes
from ..inference import constant, value_type
from ..ops import registry


def run(model: ir.Model) -> bool:
    """Removes the nodes described above."""
    changed = False
    for node in list(model.graph):
        if changes_nothing(node):
            assert node.inputs[0] is not None
            node.outputs[0].replace_all_uses_with(node.inputs[0])
            model.graph.remove(node, safe=True)
            changed = True
    return changed


def changes_nothing(node: ir.Node) -> bool:
    """Whether `run` would remove a node."""
    superfluous = _TABLE.get((node.domain, node.op_type))
    if not superfluous or not node.inputs or node.inputs[0] is None or node.outputs[0].is_graph_output():
        return False
    return superfluous(node)


def _always(node: ir.Node) -> bool:
    return True


def _idle_dropout(node: ir.Node) -> bool:
    """Training mode is an input since opset 12; `is_test` before 7 defaults to training."""
    if any(v.uses() or v.is_graph_output() for v in node.outputs[1:]):
        return False
    given = attributes(node)
    version = node.graph.opset_imports[""] if isinstance(node.graph, ir.Graph) else 0
    if version < 7:
        return bool(given.get("is_test", 0))
    training = node.inputs[2] if len(node.inputs) > 2 else None
    known = constant(training)
    return training is None or (known is not None and not known)


def _same_dtype(node: ir.Node) -> bool:
    return (
        node.inputs[0] is not None
        and node.inputs[0].dtype is not None
        and (node.inputs[0].dtype == node.outputs[0].dtype)
    )


def _same_shape(node: ir.Node) -> bool:
    assert node.inputs[0] is not None
    (_, before), (_, after) = value_type(node.inputs[0]), value_type(node.outputs[0])
    return before is not None and before == after and all(isinstance(d, int) for d in before)


def _forward_slice(node: ir.Node) -> bool:
    """A slice to the same shape changes nothing unless it runs backwards."""
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 else None
    known = len(node.inputs) <= 4 or steps is not None
    return known and (steps is None or bool((steps > 0).all())) and _same_shape(node)


def _pads_nothing(node: ir.Node) -> bool:
    """The same shape is not enough: what is added at one end may be taken off the other."""
    given = attributes(node)
    pads = given.get("pads", given.get("paddings")) if len(node.inputs) < 2 else constant(node.inputs[1])
    return pads is not None and not any(pads)


def _identity_permutation(node: ir.Node) -> bool:
    perm = attributes(node).get("perm")
    return perm is not None and tuple(perm) == tuple(range(len(perm)))


def _single(node: ir.Node) -> bool:
    return len(node.inputs) == 1


_TABLE: dict[tuple[str, str], Callable[[ir.Node], bool]] = {
    ("", "Identity"): _always,
    ("", "Dropout"): _idle_dropout,
    ("", "Cast"): _same_dtype,
    **{("", name): _same_shape for name in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile")},
    (registry.GRAD_DOMAIN, "SumTo"): _same_shape,
    ("", "Slice"): _forward_slice,
    ("", "Pad"): _pads_nothing,
    ("", "Transpose"): _identity_permutation,
    **{("", name): _single for name in ("Concat", "Sum", "Max", "Min", "Mean")},
}
