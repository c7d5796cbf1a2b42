"""The second run with the same names, dtypes and shapes is one call; whatever differs is checked as ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

from striate.runtime import InferenceSession, RunOptions, SessionOptions
from striate.runtime.errors import InvalidInput

MODEL = """<ir_version: 10, opset_import: ["" : 21]>
two (float[N, 8] a, float[N, 8] b) => (float[N, 4] y, float[N, 8] s) {
  s = Add (a, b)
  y = MatMul (s, w)
}"""
W = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
A, B = np.random.default_rng(1).standard_normal((2, 3, 8)).astype(np.float32)


def session(**options: Any) -> InferenceSession:
    model = parser.parse_model(MODEL)
    model.graph.initializer.append(numpy_helper.from_array(W, "w"))
    given = SessionOptions()
    for name, value in options.items():
        setattr(given, name, value)
    return InferenceSession(model.SerializeToString(), given)


def right(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    return [(a + b) @ W, a + b]


def check(got: list[Any], want: list[np.ndarray]) -> None:
    assert len(got) == len(want)
    for y, expected in zip(got, want, strict=True):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_repeated_runs_are_prepared_and_right() -> None:
    made = session()
    for i in range(4):
        check(made.run(None, {"a": A + i, "b": B}), right(A + i, B))
        assert len(made._prepared) == 1
    check(made.run(None, {"b": B, "a": A}), right(A, B))
    check(made.run(["s"], {"a": A, "b": B}), right(A, B)[1:])
    check(made.run(["s", "y", "s"], {"a": A, "b": B}), [right(A, B)[i] for i in (1, 0, 1)])
    check(made.run([], {"a": A, "b": B}), right(A, B))
    check(made.run(None, {"a": A[:1], "b": B[:1]}), right(A[:1], B[:1]))
    assert len(made._prepared) == 6


def test_results_are_the_callers() -> None:
    made = session()
    first = made.run(None, {"a": A, "b": B})
    second = made.run(None, {"a": A, "b": B})
    for y in (*first, *second):
        y += 1
    check(made.run(None, {"a": A, "b": B}), right(A, B))


def unusual() -> dict[str, Any]:
    spread = np.zeros((3, 16), np.float32)
    spread[:, ::2] = A
    room = np.zeros(A.nbytes + 1, np.uint8)
    shifted = room[1:].view(np.float32).reshape(A.shape)
    shifted[...] = A
    frozen = A.copy()
    frozen.flags.writeable = False
    return {
        "strided": spread[:, ::2],
        "Fortran": np.asfortranarray(A),
        "misaligned": shifted,
        "frozen": frozen,
        "big endian": A.astype(">f4"),
        "a list": A.tolist(),
        "a subclass": A.view(np.matrix),
        "backwards": A[::-1].copy()[::-1],
    }


@pytest.mark.parametrize("kind", sorted(unusual()))
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_arrays_of_other_kinds(kind: str) -> None:
    """After a prepared run, and twice."""
    made = session()
    made.run(None, {"a": A, "b": B})
    for _ in range(2):
        check(made.run(None, {"a": unusual()[kind], "b": B}), right(A, B))


def test_mistakes_are_still_found() -> None:
    made = session()
    for _ in range(2):
        made.run(None, {"a": A, "b": B})
    for names, feed in (
        (None, {"a": A}),
        (None, {"a": A, "b": B, "c": B}),
        (None, {"a": A.astype(np.float64), "b": B}),
        (None, {"a": A[0], "b": B}),
        (None, {"a": A, "b": B[:, :7]}),
        (None, {"a": A, "b": None}),
        (["z"], {"a": A, "b": B}),
    ):
        with pytest.raises(InvalidInput):
            made.run(names, feed)
    with pytest.raises(TypeError, match="list of strings"):
        made.run("ys", {"a": A, "b": B})  # type: ignore[arg-type]


def test_options_of_a_run_are_heeded() -> None:
    made = session()
    for _ in range(2):
        made.run(None, {"a": A, "b": B})
    stopped = RunOptions()
    stopped.terminate = True
    with pytest.raises(InvalidInput, match="terminate"):
        made.run(None, {"a": A, "b": B}, stopped)


def test_runs_are_profiled(tmp_path: Any) -> None:
    made = session(enable_profiling=True, profile_file_prefix=str(tmp_path / "p"))
    for _ in range(3):
        made.run(None, {"a": A, "b": B})
    with open(made.end_profiling(), encoding="utf-8") as file:
        assert file.read().count('"model_run"') == 3


def test_few_kinds_of_arguments_are_remembered() -> None:
    made = session()
    for n in range(1, 40):
        a, b = np.ones((n, 8), np.float32), np.ones((n, 8), np.float32)
        for _ in range(2):
            check(made.run(None, {"a": a, "b": b}), right(a, b))
    assert len(made._prepared) <= 16


def test_the_arrays_engine_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    options = SessionOptions()
    options.add_session_config_entry("striate.engine", "arrays")
    model = parser.parse_model(MODEL)
    model.graph.initializer.append(numpy_helper.from_array(W, "w"))
    feeds = {"a": A, "b": B}

    def operators(made: InferenceSession) -> list[str]:
        return [step.op_type for step in made._executor.plan_for(feeds).steps]

    assert operators(InferenceSession(model.SerializeToString(), options)) == ["Add", "MatMul"]
    assert operators(session()) == ["Stretch"]
    monkeypatch.setenv("STRIATE_ENGINE", "arrays")
    assert operators(session()) == ["Add", "MatMul"]
