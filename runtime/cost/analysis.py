"""One walk along the graph, bodies and functions included, that collects what `Report` holds. Nothing is run but the
small constants that shapes are made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import isnan

import numpy as np
import onnx_ir as ir

from ..builder import attributes
from ..errors import InvalidGraph, LimitExceeded
from ..inference import annotate, constant, dims
from ..ops import registry
from ..passes.fold import MAX_FOLDED_BYTES
from .bind import bind, bound
from .bodies import bodies, call_body, feed, results
from .engines import engine_of, lowered
from .flops import count
from .lifetimes import element_count, peak_bytes, value_bytes
from .receptive import Fields, fields, untouched
from .report import NodeCost, Report, Result
from .weights import is_weight

__all__ = ["analyse"]

MAX_NODES = 1_000_000
"""Calls of functions are followed one by one; more nodes than this together are refused."""
MAX_DEPTH = 64
"""Functions that call functions are followed this deep."""
DATA_LIMIT = 1 << 12
"""Constants of up to so many elements are computed: shapes, axes and the like."""
_EQUATION = re.compile(r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*(,[a-zA-Z]*(\.\.\.)?[a-zA-Z]*)*(->[a-zA-Z]*(\.\.\.)?[a-zA-Z]*)?")

Sum = tuple[int, int]
"""MACs and FLOPs."""


def analyse(model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None, batch: int | None = None) -> Report:
    """What a model costs, be it that nothing here can run it.

    Args:
        model: its values get types and shapes, and old initializer inputs go; otherwise it is left as it is.
        shapes: input → shape, for dimensions that the model leaves open.
        batch: for open first dimensions; 1 where nothing is said.

    Raises:
        InvalidInput: if a shape contradicts the model.
        LimitExceeded: if functions call one another too often or too deeply.
    """
    return _Analysis(model).run(shapes or {}, batch)


class _Analysis:
    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.report = Report()
        self.known: dict[str, int] = {}
        self.constants: set[ir.Value] = set()
        self.stored: list[ir.Value] = []
        self.origin: dict[ir.Value, ir.Value] = {}
        self.fields: dict[ir.Value, Fields] = {}
        self.inside: dict[ir.Node, int] = {}
        self.views: set[ir.Node] = set()
        self.repeated: set[ir.Node] = set()
        self.steps: list[tuple[ir.Node, NodeCost, registry.Operator | None, bool]] = []
        self.calls: dict[ir.Node, list[tuple[ir.Value, ir.Value]]] = {}
        self.calling: list[ir.OperatorIdentifier] = []
        self.budget = MAX_FOLDED_BYTES
        self.sizes: dict[ir.Value, int | None] = {}
        self.problem = ""

    def run(self, shapes: Mapping[str, Sequence[int]], batch: int | None) -> Report:
        graph, report = self.model.graph, self.report
        for value in list(graph.inputs):
            if value.name in graph.initializers:
                graph.inputs.remove(value)
        declared = tuple(map(_result, graph.inputs)), tuple(map(_result, graph.outputs))
        self.known, report.notes = bind(graph, shapes, batch)
        for value in graph.inputs:
            self.fields[value] = untouched(0 if value.shape is None else len(value.shape))
        self._add_initializers(graph)
        report.macs, report.flops = self._body(graph, graph.opset_imports, 0, "")
        report.peak_bytes = self._peak(list(graph), graph.inputs, graph.outputs)
        self._find_native()
        report.inputs, report.outputs = tuple(map(_result, graph.inputs)), tuple(map(_result, graph.outputs))
        if not shapes and batch is None:  # then the file's own words say more
            report.inputs = declared[0]
            report.outputs = tuple(
                said if said.shape is not None else found
                for said, found in zip(declared[1], report.outputs, strict=True)
            )
        self._add_weights()
        report.operators = Counter((node.operator, node.engine) for node in report.nodes)
        report.notes += self._remarks()
        return report

    def _find_native(self) -> None:
        """Of what lies in no body of a control structure: there, kernels run on arrays."""
        rows = {n: row for n, row, *_ in self.steps if row.engine == "arrays" and n not in self.repeated}
        for node in lowered(rows, self.constants):
            rows[node].engine = "native"

    def _remarks(self) -> list[str]:
        made = [self.problem] if self.problem else []
        kinds = {node.op_type for node in self.report.nodes if node.inside}
        if kinds & {"Loop", "Scan", "SequenceMap"}:
            made.append("the body of a loop is counted once, however often it goes round")
        if "If" in kinds:
            made.append("of the branches of an If the one with more MACs is counted")
        if self.report.uncounted:
            names = ", ".join(f"{n} {name}" for name, n in self.report.uncounted.most_common())
            made.append(f"not counted, because their work or their shapes are not known: {names}")
        if self.report.unsized:
            made.append(f"the peak leaves out {self.report.unsized:,} values of unknown size")
        return made

    def _body(self, nodes: Iterable[ir.Node], versions: Mapping[str, int], depth: int, body: str) -> Sum:
        macs = flops = 0
        for node in nodes:
            found = self._node(node, versions, depth, body)
            macs, flops = macs + found[0], flops + found[1]
        return macs, flops

    def _node(self, node: ir.Node, versions: Mapping[str, int], depth: int, body: str) -> Sum:
        if len(self.report.nodes) >= MAX_NODES:
            raise LimitExceeded(f"the model has more than {MAX_NODES:,} nodes when its functions are written out")
        first = node.outputs[0].name if node.outputs else ""
        row = NodeCost(node.name or first or "–", node.domain, node.op_type, depth, body)
        self.report.nodes.append(row)
        place, version, folded = len(self.report.nodes), versions.get(node.domain, 1), False
        for value in node.outputs:
            value.shape = None if value.shape is None else bound(value.shape, self.known)
        operator = registry.find(node.domain, node.op_type, version)
        function = self.model.functions.get(node.op_identifier())
        graphs = bodies(node) if function is None else {}
        if function is not None:
            row.macs, row.flops = self._function(node, function, depth)
        elif graphs:
            row.macs, row.flops = self._control(node, graphs, versions, depth)
        else:
            self._infer(node, version)
            folded = self._fold(node, operator)
            row.macs, row.flops = (0, 0) if folded else count(node)
        if operator is not None and operator.view and function is None:
            self.views.add(node)
        row.inside = len(self.report.nodes) - place
        row.engine = engine_of(node, version, self.model.functions, folded=folded)
        if (row.macs is None or row.flops is None) and not row.inside:
            self.report.uncounted[row.operator] += 1
        if not folded and function is None:
            self._see(node)
        self._describe(node, row)
        self.steps.append((node, row, operator, folded))
        return row.macs or 0, row.flops or 0

    def _infer(self, node: ir.Node, version: int) -> None:
        """Types of the outputs; what the file says where inference does not know better."""
        equation = node.attributes.get("equation")
        if node.op_type == "Einsum" and not (equation and _EQUATION.fullmatch(str(equation.value).replace(" ", ""))):
            return  # ONNX's inference does not end on some malformed equations
        declared = [v.shape for v in node.outputs]
        try:
            annotate(node, version)
        except InvalidGraph as error:
            self.problem = self.problem or f"shapes do not fit: {error}"
        except Exception:  # the model may break any rule; what cannot be inferred stays unknown
            return
        for value, said in zip(node.outputs, declared, strict=True):
            if said is not None and value.shape is not None and len(said) == len(value.shape):
                pairs = zip(dims(value.shape), dims(said), strict=True)
                value.shape = ir.Shape([b if not isinstance(a, int) and isinstance(b, int) else a for a, b in pairs])

    def _fold(self, node: ir.Node, operator: registry.Operator | None) -> bool:
        """Whether the results are known before the first run; small ones are computed."""
        if operator is None or not operator.deterministic:
            return False
        sizes = [value_bytes(v) for v in node.outputs if v.name]
        if any(size is None for size in sizes) or sum(filter(None, sizes)) > self.budget:
            return False
        if operator.inert:
            source = node.inputs[0]
            if source is None or source.shape is None or not source.shape.is_static():
                return False
        elif any(v is not None and v not in self.constants for v in node.inputs):
            return False
        self.budget -= sum(filter(None, sizes))
        self.constants.update(node.outputs)
        if node.op_type == "Constant":
            self.stored.append(node.outputs[0])
        if all((element_count(v) or 0) <= DATA_LIMIT for v in (*node.inputs, *node.outputs) if v is not None):
            with suppress(Exception), np.errstate(all="ignore"):
                self._evaluate(node, operator)
        return True

    def _evaluate(self, node: ir.Node, operator: registry.Operator) -> None:
        if operator.inert:
            source = node.inputs[0]
            assert source is not None
            assert source.shape is not None
            inputs: list[np.ndarray | None] = [np.broadcast_to(np.zeros((), np.int8), source.shape.numpy())]
        else:
            inputs = [constant(v) for v in node.inputs]
            if any(a is None and v is not None for a, v in zip(inputs, node.inputs, strict=True)):
                return
        keywords = operator.bind(attributes(node))
        if operator.takes_n_outputs:
            keywords["n_outputs"] = len(node.outputs)
        made = operator.kernel(np, *inputs, **keywords)
        for value, array in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=False):
            if isinstance(array, (np.ndarray, np.generic)) and array.dtype != object:
                value.const_value = ir.tensor(np.asarray(array), name=value.name)

    def _control(self, node: ir.Node, graphs: Mapping[str, ir.Graph], versions: Mapping[str, int], depth: int) -> Sum:
        with suppress(Exception):
            annotate(node, versions.get(node.domain, 1))
        with suppress(IndexError, ValueError, TypeError):  # bodies that do not fit their node stay untyped
            feed(node, graphs)
        sums, needs = [], []
        for name, graph in graphs.items():
            self._add_initializers(graph)
            first = len(self.steps)
            sums.append(self._body(graph, versions, depth + 1, name))
            self.repeated.update(step[0] for step in self.steps[first:])
            needs.append(self._peak(list(graph), (), graph.outputs))
        with suppress(IndexError, ValueError, TypeError):
            results(node, graphs)
        self.inside[node] = max(needs)
        return max(sums) if node.op_type == "If" else (sum(s[0] for s in sums), sum(s[1] for s in sums))

    def _function(self, node: ir.Node, function: ir.Function, depth: int) -> Sum:
        identity = function.identifier()
        if identity in self.calling:
            raise InvalidGraph(f"function {identity[0]}.{identity[1]} calls itself")
        if len(self.calling) >= MAX_DEPTH:
            raise LimitExceeded(f"functions call one another more than {MAX_DEPTH} deep")
        body, ends = call_body(node, function)
        for old, new in zip(function, body, strict=True):
            self.origin.update(zip(new.outputs, old.outputs, strict=True))
        self.calling.append(identity)
        found = self._body(body, function.opset_imports or self.model.graph.opset_imports, depth + 1, function.name)
        self.calling.pop()
        pairs = [(outer, inner) for outer, inner in zip(node.outputs, ends, strict=False) if inner is not None]
        for outer, inner in pairs:
            outer.type, outer.shape = inner.type or outer.type, inner.shape or outer.shape
            outer.const_value = inner.const_value
            if inner in self.constants:
                self.constants.add(outer)
            if inner in self.fields:
                self.fields[outer] = self.fields[inner]
        self.calls[node] = pairs
        self.inside[node] = self._peak(list(body), (), (), skip={inner for _, inner in pairs})
        return found

    def _see(self, node: ir.Node) -> None:
        """The receptive fields of the outputs."""
        known = [(v, self.fields.get(v)) for v in node.inputs if v is not None and v not in self.constants]
        found = fields(node, known)
        for value in node.outputs:
            if found is not None and value.shape is not None and len(value.shape) == len(found):
                self.fields[value] = found

    def _describe(self, node: ir.Node, row: NodeCost) -> None:
        row.outputs = tuple(_result(v) for v in node.outputs if v.name)
        row.bytes_out = _total([self._bytes(v) for v in node.outputs if v.name])
        row.bytes_read = _total([self._bytes(v) for v in dict.fromkeys(node.inputs) if v is not None])
        seen = self.fields.get(node.outputs[0], ()) if node.outputs else ()
        if any(f is not None and f.windowed for f in seen):
            shown = [f for f in seen if f is not None and f.windowed]
            row.field = tuple(None if isnan(f.size) else f.size for f in shown)
            row.stride = tuple(f.jump or None for f in shown)
            row.start = tuple(f.centre for f in shown)

    def _bytes(self, value: ir.Value) -> int | None:
        """The size of a value whose type is settled."""
        if value not in self.sizes:
            self.sizes[value] = value_bytes(value)
        return self.sizes[value]

    def _peak(
        self,
        nodes: Sequence[ir.Node],
        inputs: Sequence[ir.Value],
        outputs: Sequence[ir.Value],
        skip: Iterable[ir.Value] = (),
    ) -> int:
        left_out = set(skip)

        def size(value: ir.Value) -> int:
            if value in self.constants or value in left_out or not value.name:
                return 0
            return self._bytes(value) or 0

        made = [*inputs, *(v for node in nodes for v in node.outputs if v.name)]
        self.report.unsized += sum(
            v not in self.constants and self._bytes(v) is None and (bool(v.uses()) or v in outputs) for v in made
        )
        is_view = self.views.__contains__
        return peak_bytes(nodes, inputs, outputs, size=size, is_view=is_view, inside=self.inside)

    def _add_initializers(self, graph: ir.Graph) -> None:
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None:
                value.shape, value.type = ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = None  # only the size is wanted, not the file
            self.constants.add(value)
            self.stored.append(value)

    def _add_weights(self) -> None:
        """Follows the constants back from the nodes that use them: which are weights, and where they are stored."""
        wanted: set[ir.Value] = set()
        made: dict[ir.Value, None] = {}
        for node, row, operator, folded in reversed(self.steps):
            wanted.update(inner for outer, inner in self.calls.get(node, ()) if outer in wanted)
            if node in self.calls or (folded and wanted.isdisjoint(node.outputs)):
                continue
            inputs = [
                v
                for i, v in enumerate(node.inputs)
                if v is not None and v in self.constants and is_weight(node, i, operator, any_type=folded)
            ]
            wanted.update(inputs)
            if not folded:
                row.parameters = sum(element_count(v) or 0 for v in dict.fromkeys(inputs))
            elif not inputs:
                made.update(dict.fromkeys(v for v in node.outputs if v in wanted))
        self._sum_up(wanted, made)

    def _sum_up(self, wanted: set[ir.Value], made: Iterable[ir.Value]) -> None:
        """Totals over stored tensors and the weights that folded nodes make of nothing, each once."""
        report, once = self.report, set()
        weights = {self.origin.get(v, v) for v in wanted}
        for value in (*self.stored, *made):
            key = self.origin.get(value, value)
            if key in once:
                continue
            once.add(key)
            elements, size = element_count(value) or 0, value_bytes(value) or 0
            if key in weights:
                report.parameters, report.weight_bytes = report.parameters + elements, report.weight_bytes + size
            else:
                report.constants, report.constant_bytes = report.constants + elements, report.constant_bytes + size


def _total(sizes: Sequence[int | None]) -> int | None:
    return None if any(size is None for size in sizes) else sum(size for size in sizes if size is not None)


def _result(value: ir.Value) -> Result:
    dtype = None if value.dtype is None else value.dtype.name.lower()
    return Result(value.name or "", dtype, None if value.shape is None else dims(value.shape))
