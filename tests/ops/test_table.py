"""The table is complete: no operator, version or gradient without a row, no test hidden by another of its name."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import onnx
import pytest

from striate.runtime.builder import OPSET
from striate.runtime.ops import GRAD_DOMAIN, registry
from striate.runtime.ops.registry import Operator

from .cases import CASES
from .running import operator_of, row_id, rows

TESTS = Path(__file__).parents[1]


def _current(operator: Operator) -> bool:
    """Whether graphs built for training can contain this version; operators deprecated by then cannot be."""
    version = OPSET if operator.domain == "" else operator.since
    if operator.domain == "" and onnx.defs.get_schema(operator.name, max(OPSET, operator.since)).deprecated:
        return False
    return operator is registry.find(operator.domain, operator.name, version)


def _has_body(operator: Operator) -> bool:
    """Whether the specification defines the operator by others, through which autodiff can go."""
    if operator.domain == GRAD_DOMAIN:
        return False
    schema = onnx.defs.get_schema(operator.name, OPSET, operator.domain)
    return schema.has_function or schema.has_context_dependent_function


def test_every_version_has_a_row() -> None:
    covered = {operator_of(case) for case in CASES}
    missing = sorted(str(o) for o in registry.registered() if o not in covered)
    assert not missing, f"no row of the case table resolves to: {missing}"


def test_every_gradient_has_a_row() -> None:
    covered = {operator_of(case) for case in CASES if case.grad}
    missing = sorted(str(o) for o in registry.registered() if o.rule and _current(o) and o not in covered)
    assert not missing, f"no row checks the gradient of: {missing}"


def test_gradient_rows_belong_to_differentiable_operators() -> None:
    wrong = [
        case.id
        for case in CASES
        if case.grad and not (operator_of(case).differentiable and _current(operator_of(case)))
    ]
    assert not wrong, (
        f"these rows list gradients of an operator without one, or of a version training graphs do not contain: {wrong}"
    )


def test_every_differentiable_operator_has_a_gradient() -> None:
    missing = sorted(
        str(o)
        for o in registry.registered()
        if o.differentiable and _current(o) and o.rule is None and not _has_body(o)
    )
    assert not missing, f"neither a rule, nor a function body, nor differentiable=False: {missing}"


def test_registered_names_are_the_specifications() -> None:
    known = {(s.domain, s.name, s.since_version) for s in onnx.defs.get_all_schemas_with_history()}
    unknown = sorted(
        str(o) for o in registry.registered() if o.domain != GRAD_DOMAIN and (o.domain, o.name, o.since) not in known
    )
    assert not unknown, f"the specification has no such version: {unknown}"


@pytest.mark.parametrize("ids", [[case.id for case in CASES], [row_id(row) for row in rows()]], ids=["cases", "rows"])
def test_ids_are_unique(ids: list[str]) -> None:
    repeated = sorted(name for name, count in Counter(ids).items() if count > 1)
    assert not repeated, f"give these rows a name= of their own: {repeated}"


def test_no_test_hides_another() -> None:
    """A second function or class of the same name in one scope silently replaces the first."""
    hidden = []
    for path in TESTS.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope in [tree, *(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef))]:
            definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            names = Counter(n.name for n in scope.body if isinstance(n, definitions))
            hidden += [
                f"{path.relative_to(TESTS)}: {n}"
                for n, count in names.items()
                if count > 1 and n.lower().startswith("test")
            ]
    assert not hidden, f"defined twice: {hidden}"
