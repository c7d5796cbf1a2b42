"""Puts the bodies of functions where they are called, in time that grows with the size of the result alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import onnx_ir as ir

from ..errors import InvalidGraph
from ..subgraphs import walk

__all__ = ["inline_calls"]


class _Names:
    """Names of one kind that are free: the name itself, then with a number that never goes down."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.last: dict[str, int] = defaultdict(lambda: 1)

    def free(self, name: str) -> str:
        found = name
        while found in self.taken:
            self.last[name] += 1
            found = f"{name}_{self.last[name]}"
        self.taken.add(found)
        return found


def inline_calls(model: ir.Model) -> None:
    """Replaces all calls in the main graph and its subgraphs, and drops the model's functions.

    No function may call itself, over any number of others.
    """
    functions = dict(model.functions)
    values, nodes = _Names(), _Names()
    pending = []
    for graph in walk(model.graph):
        values.taken.update(str(v.name) for v in (*graph.inputs, *graph.initializers.values()))
        for node in graph:
            nodes.taken.add(node.name or "")
            values.taken.update(v.name or "" for v in node.outputs)
            pending.append(node)
    while pending:
        call = pending.pop()
        function = functions.get(call.op_identifier())
        if function is None:
            continue
        body, outputs = _instance(function, call)
        inner = [node for graph in walk(body) for node in graph]
        for node in inner:
            node.name = nodes.free(node.name or node.op_type)
            node.metadata_props.update({**call.metadata_props, **node.metadata_props})
            for value in node.outputs:
                value.name = values.free(value.name or node.name) if value.name != "" else ""
        _replace(call, list(body), outputs)
        pending += inner
    model.functions.clear()


def _instance(function: ir.Function, call: ir.Node) -> tuple[ir.Graph, list[ir.Value | None]]:
    """A copy of the function's graph that reads what the call gives it, and the values of its outputs."""
    if len(call.inputs) > len(function.inputs) or len(call.outputs) > len(function.outputs):
        raise InvalidGraph(f"node {call.name!r} does not fit the function {function.name}: it has too many values")
    body = function.graph.clone()
    given: dict[str, ir.Attr] = {n: a for n, a in function.attributes.items() if a.value is not None}
    given.update(call.attributes)
    for graph in walk(body):
        for node in graph:
            _resolve(node, given)
    arguments = [*call.inputs, *(None,) * (len(body.inputs) - len(call.inputs))]
    outputs: list[ir.Value | None] = list(body.outputs)
    for parameter, argument in zip(body.inputs, arguments, strict=True):
        for node, i in list(parameter.uses()):
            node.replace_input_with(i, argument)
        outputs = [argument if value is parameter else value for value in outputs]
    body.outputs.clear()
    return body, outputs


def _resolve(node: ir.Node, given: Mapping[str, ir.Attr]) -> None:
    """References to attributes of the function become what the call gives, or go."""
    for name, attribute in list(node.attributes.items()):
        if not attribute.is_ref():
            continue
        found = given.get(str(attribute.ref_attr_name))
        if found is None:
            del node.attributes[name]
        elif found.type != attribute.type:
            raise InvalidGraph(
                f"node {node.name!r} ({node.op_type}) wants the attribute {attribute.ref_attr_name!r} as "
                f"{attribute.type.name}; it is given as {found.type.name}"
            )
        else:
            node.attributes[name] = ir.Attr(name, found.type, found.value)


def _replace(call: ir.Node, body: list[ir.Node], outputs: list[ir.Value | None]) -> None:
    """The body's nodes stand where the call stood; their results take over the names of the call's outputs."""
    graph = call.graph
    assert isinstance(graph, ir.Graph)
    if body:
        assert isinstance(body[0].graph, ir.Graph)
        body[0].graph.remove(body)
    graph.insert_before(call, body)
    own = {value for node in body for value in node.outputs}
    for old, result in zip(call.outputs, outputs, strict=False):
        name, old.name = old.name, None
        if result in own:
            own.discard(result)
            result.name = name
        elif old.is_graph_output():
            if result is None:
                raise InvalidGraph(f"output {name!r} is an input of {call.op_type} that its call leaves out")
            copy = ir.node("Identity", [result], name=f"{call.name}/{name}")
            graph.insert_before(call, copy)
            result = copy.outputs[0]
            result.name = name
        if result is None:
            for node, i in list(old.uses()):
                node.replace_input_with(i, None)
        else:
            old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(call, safe=True)
