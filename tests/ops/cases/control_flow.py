"""Rows of `runtime/ops/control_flow.py`: the subgraphs are written in ONNX's text syntax."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import parser

from ..table import Case, case, real


def graph(text: str) -> onnx.GraphProto:
    """A subgraph; the syntax has no closures, so the nodes read nothing from outside."""
    return parser.parse_graph(text)


YES = graph("yes () => (float[2] y) { y = Constant <value_floats = [1.0, 2.0]> () }")
NO = graph("no () => (float[2] y) { y = Constant <value_floats = [3.0, 4.0]> () }")
SUM = graph("""sum (int64 i, bool go, float[2] total) => (bool again, float[2] more, float[2] seen)
    { again = Identity (go)  one = Constant <value_floats = [1.0, 10.0]> ()  more = Add (total, one)
      seen = Identity (more) }""")
UNTIL = graph("""until (int64 i, bool go, int64 n) => (bool again, int64 m)
    { two = Constant <value_int = 2> ()  m = Mul (n, two)  limit = Constant <value_int = 50> ()
      again = Less (m, limit) }""")
GROW = graph("""grow (int64 i, bool go, float[N] x) => (bool again, float[M] y)
    { again = Identity (go)  y = Concat <axis = 0> (x, x) }""")
STEP = graph("""step (float[2] total, float[2] x) => (float[2] more, float[2] seen)
    { more = Add (total, x)  seen = Mul (more, more) }""")
PAIR = graph("""pair (float[3] a, float[3] b) => (float[3] c) { c = Sub (a, b) }""")
ADD = graph("""add (float[2] a, float[2] b) => (float[2] c) { c = Add (a, b) }""")
F32 = ("float32",)
TRUE, FALSE = np.array(True), np.array(False)


def summed(_m, _c, total, **_):
    """Three trips that add [1, 10] each."""
    seen = total + np.outer([1, 2, 3], [1, 10])
    return seen[-1], seen


def doubled(x, times):
    """`x` concatenated with itself, so many times over."""
    return np.tile(x, 2**times)


CASES: list[Case] = [
    case("If", TRUE, opset=16, then_branch=YES, else_branch=NO),
    case("If", np.array([False]), opset=12, then_branch=YES, else_branch=NO, name="else",
         expect=lambda *_, **__: np.array([3, 4], np.float32)),
    case("Loop", np.array(3), TRUE, real(2), opset=13, outputs=2, dtypes=F32, body=SUM, expect=summed),
    case("Loop", np.array(0), TRUE, real(2), opset=13, outputs=2, dtypes=F32, body=SUM, name="no trip",
         expect=lambda m, c, x, **_: (x, np.empty((0, 2), np.float32))),
    case("Loop", np.array([3]), FALSE, real(2), opset=12, outputs=2, dtypes=F32, body=SUM, name="not even once",
         expect=lambda m, c, x, **_: (x, np.empty((0, 2), np.float32))),
    case("Loop", None, TRUE, np.array(3), opset=16, body=UNTIL, name="until", expect=lambda *_, **__: np.array(96)),
    case("Loop", np.array(2), None, np.array(3), opset=12, body=UNTIL, name="at most",
         expect=lambda *_, **__: np.array(12)),
    case("Loop", np.array(8), TRUE, real(3), opset=21, dtypes=F32, body=GROW, name="growing",
         expect=lambda m, c, x, **_: doubled(x, 8)),
    case("Scan", real(2), real(4, 2), opset=9, outputs=2, dtypes=F32, body=STEP, num_scan_inputs=1),
    case("Scan", real(2), real(2, 4), opset=11, outputs=2, dtypes=F32, body=STEP, num_scan_inputs=1,
         scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[-1], scan_output_directions=[1],
         name="backwards", expect=lambda s, x, **_: (
             s + x.sum(1), ((s[:, None] + np.cumsum(x[:, ::-1], 1)) ** 2)[:, ::-1])),
    case("Scan", real(4, 3, key="a"), real(3, 4, key="b"), opset=21, dtypes=F32, body=PAIR, num_scan_inputs=2,
         scan_input_axes=[0, 1], name="two sequences", expect=lambda a, b, **_: a - b.T),
    case("Scan", None, real(3, 2), real(3, 4, 2), opset=8, outputs=2, dtypes=F32, body=STEP, num_scan_inputs=1,
         expect=lambda _, s, x, **__: (s + x.sum(1), (s[:, None] + np.cumsum(x, 1)) ** 2)),
    case("Scan", [4, 1, 0], real(3, 2), real(3, 4, 2), opset=8, outputs=2, dtypes=F32, body=STEP, num_scan_inputs=1,
         name="lengths", expect=lambda n, s, x, **__: (
             np.stack([s[i] + x[i, : n[i]].sum(0) for i in range(3)]),
             (s[:, None] + np.cumsum(x, 1)) ** 2 * (np.arange(4) < n[:, None])[..., None])),
    case("SequenceMap", (real(2, key="a"), real(2, key="b")), real(2), opset=17, dtypes=F32, body=ADD,
         expect=lambda s, x, **_: ([a + x for a in s],)),
    case("SequenceMap", (real(2, key="a"),) * 2, (real(2, key="b"), real(2, key="c")), opset=17, dtypes=F32, body=ADD,
         expect=lambda s, t, **_: ([a + b for a, b in zip(s, t, strict=True)],), name="two sequences"),
]  # fmt: skip
