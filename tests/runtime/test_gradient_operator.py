"""The operator Gradient of ai.onnx.preview.training, against derivatives worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import parser

from striate.runtime import InferenceSession
from striate.runtime.errors import InvalidGraph, NotDifferentiable, StriateError, UndefinedValue, UnsupportedOperator

HEAD = '<ir_version: 8, opset_import: ["" : OPSET, "ai.onnx.preview.training" : 1, "local" : 1]>\n'
A, B, H = (np.array(v, np.float32) for v in ([1.0, 2.0, -3.0], [0.5, -1.0, 4.0], [7.0, 8.0, 9.0]))


def run(text: str, opset: int = 12, **feeds: np.ndarray) -> list[Any]:
    head = HEAD.replace("OPSET", str(opset))
    model = parser.parse_model((head + text).replace("Gradient", "ai.onnx.preview.training.Gradient"))
    return InferenceSession(model.SerializeToString()).run(None, feeds)


@pytest.mark.parametrize("opset", [9, 12, 17, 21, 24])
def test_sum_of_squares(opset: int) -> None:
    """y = Σ a²·b: dy/da = 2ab, dy/db = a², whatever opset the model has."""
    text = """g (float[3] a, float[3] b) => (float[3] da, float[3] db, float y) {
                s = Mul (a, a)  p = Mul (s, b)  y = Identity (p)
                da, db = Gradient <xs = ["a", "b"], y = "y"> (a, b) }"""
    da, db, y = run(text, opset, a=A, b=B)
    np.testing.assert_allclose(da, 2 * A * B)
    np.testing.assert_allclose(db, A * A)
    np.testing.assert_allclose(y, A * A * B)


def test_with_respect_to_a_value_on_the_way() -> None:
    text = """g (float[3] a, float[3] b) => (float[3] dh) {
                h = Exp (a)  y = Mul (h, b)  dh = Gradient <xs = ["h"], zs = ["b"], y = "y"> (h, b) }"""
    (dh,) = run(text, a=A, b=B)
    np.testing.assert_allclose(dh, B)


def test_at_other_values_than_the_forward_pass_has() -> None:
    """y = h²·b at h = `h1`, not at what h is."""
    text = """g (float[3] a, float[3] b, float[3] h1) => (float[3] y, float[3] dh, float[3] db) {
                h = Exp (a)  q = Mul (h, h)  y = Mul (q, b)
                dh, db = Gradient <xs = ["h", "b"], y = "y"> (h1, b) }"""
    y, dh, db = run(text, a=A, b=B, h1=H)
    np.testing.assert_allclose(dh, 2 * H * B)
    np.testing.assert_allclose(db, H * H)
    np.testing.assert_allclose(y, np.exp(A) ** 2 * B, rtol=1e-6)


def test_second_order() -> None:
    """y = a³: y' = 3a², and the gradient of that is 6a."""
    text = """g (float[3] a) => (float[3] d1, float[3] d2) {
                s = Mul (a, a)  y = Mul (s, a)
                d1 = Gradient <xs = ["a"], y = "y"> (a)
                d2 = Gradient <xs = ["a"], y = "d1"> (a) }"""
    first, second = run(text, a=A)
    np.testing.assert_allclose(first, 3 * A * A)
    np.testing.assert_allclose(second, 6 * A)


def test_a_gradient_that_stands_before_what_it_differentiates() -> None:
    text = """g (float[3] a) => (float[3] da) { da = Gradient <xs = ["a"], y = "y"> (a)  y = Sin (a) }"""
    np.testing.assert_allclose(run(text, a=A)[0], np.cos(A), rtol=1e-6)


def test_what_nothing_depends_on_has_gradient_zero() -> None:
    text = """g (float[3] a, float[3] b) => (float[3] db) {
                y = Mul (a, a)  da, db = Gradient <xs = ["a", "b"], y = "y"> (a, b) }"""
    np.testing.assert_array_equal(run(text, a=A, b=B)[0], np.zeros(3))


def test_through_a_function_of_the_model() -> None:
    text = """g (float[3] a) => (float[3] da) { y = local.cube (a)  da = Gradient <xs = ["a"], y = "y"> (a) }
              <domain: "local", opset_import: ["" : 12]> cube (v) => (w) { s = Mul (v, v)  w = Mul (s, v) }"""
    np.testing.assert_allclose(run(text, a=A)[0], 3 * A * A)


REFUSED: dict[str, tuple[str, type[StriateError], str]] = {
    "unknown tensor": (
        """g (float[3] a) => (float[3] d) { y = Neg (a)  d = Gradient <xs = ["b"], y = "y"> (a) }""",
        UndefinedValue,
        "'b'",
    ),
    "unknown result": (
        """g (float[3] a) => (float[3] d) { y = Neg (a)  d = Gradient <xs = ["a"], y = "z"> (a) }""",
        UndefinedValue,
        "'z'",
    ),
    "a value too few": (
        """g (float[3] a) => (float[3] d) { y = Neg (a)  d = Gradient <xs = ["a"], zs = ["a"], y = "y"> (a) }""",
        InvalidGraph,
        "names 2",
    ),
    "no gradient on the way": (
        """g (float[3] a) => (float[3] d) { [round] y = Det (a2)  s = Shape (a)  a2 = Expand (a, two)
           two = Constant <value_ints = [3, 3]> ()  d = Gradient <xs = ["a"], y = "y"> (a) }""",
        NotDifferentiable,
        "round",
    ),
    "inside a branch": (
        """g (float[3] a, bool c) => (float[3] d) { y = Neg (a)
           d = If (c) <then_branch = t () => (float[3] e) { e = Gradient <xs = ["a"], y = "y"> (a) },
                       else_branch = u () => (float[3] f) { f = Neg (a) }> }""",
        UnsupportedOperator,
        "subgraph",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        run(text, a=A, c=np.array(True))
