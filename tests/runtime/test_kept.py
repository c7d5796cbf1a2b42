"""Plans on disk: found by the next process, never by a model, options or inputs that they were not made for."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from striate import models, trainer
from striate.runtime import InferenceSession, SessionOptions, kept
from striate.runtime.errors import InvalidModel
from striate.runtime.profile import profile

X = np.random.default_rng(3).standard_normal((2, 32, 32, 1), np.float32)


def lenet(seed: int) -> bytes:
    trainer.set_seed(seed)
    return ir.to_proto(models.lenet5().to_ir()).SerializeToString()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that takes every plan."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRIATE_PLAN_CACHE", "1")
    monkeypatch.setattr(kept, "WORTH", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "lenet.onnx"
    path.write_bytes(lenet(5))
    return path


def session(source: Path | bytes, **options: Any) -> InferenceSession:
    made = SessionOptions()
    for name, value in options.items():
        setattr(made, name, value)
    return InferenceSession(source if isinstance(source, bytes) else str(source), made)


def run(made: InferenceSession, x: np.ndarray = X) -> np.ndarray:
    y = made.run(None, {made.get_inputs()[0].name: x})[0]
    kept.written()
    return y


def prepared(made: InferenceSession) -> bool:
    """Did the session have to read its model?"""
    return made._read is not None


def plans(cache: Path) -> list[Path]:
    return sorted(cache.glob("plans/*/*.plan"))


ANOTHER_PROCESS = """
import json, sys
import numpy as np
from striate.runtime import InferenceSession
session = InferenceSession(sys.argv[1])
x = np.load(sys.argv[2])
y = session.run(None, {session.get_inputs()[0].name: x})[0]
again = session.run(None, {session.get_inputs()[0].name: x})[0]
print(json.dumps({"y": y.tobytes().hex(), "same": bool((y == again).all()), "onnx_ir": "onnx_ir" in sys.modules}))
"""


def test_the_next_process_does_not_read_the_graph(cache: Path, model: Path, tmp_path: Path) -> None:
    expected = run(session(model))
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(model), str(tmp_path / "x.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == {"y": expected.tobytes().hex(), "same": True, "onnx_ir": False}


@pytest.mark.parametrize("source", [lambda path: path, Path.read_bytes], ids=["path", "bytes"])
def test_both_sessions_are_alike(cache: Path, model: Path, source: Callable[[Path], Any]) -> None:
    first = session(source(model))
    expected = run(first)
    second = session(source(model))
    np.testing.assert_array_equal(run(second), expected)
    assert not prepared(second)
    for name in ("get_inputs", "get_outputs", "get_overridable_initializers", "get_modelmeta"):
        assert str(getattr(second, name)()) == str(getattr(first, name)())
    odd = np.asfortranarray(X)[:, ::-1]
    np.testing.assert_array_equal(run(second, odd), run(first, odd))
    assert not prepared(second)
    with pytest.raises(Exception, match="invalid dimensions"):
        run(second, X[:, 1:])


def test_shapes_have_plans_of_their_own(cache: Path, model: Path) -> None:
    run(session(model))
    second = session(model)
    expected = run(session(model, numerics="strict"), X[:1])
    np.testing.assert_allclose(run(second, X[:1]), expected, rtol=1e-5, atol=1e-7)
    assert prepared(second)
    third = session(model)
    run(third, X[:1])
    run(third)
    assert not prepared(third)
    assert len(plans(cache)) == 3


CHANGES = {
    "strict": {"numerics": "strict"},
    "threads": {"intra_op_num_threads": 3},
    "tune": {"tune": True},
}


@pytest.mark.parametrize("options", CHANGES.values(), ids=CHANGES)
def test_options_have_plans_of_their_own(cache: Path, model: Path, options: dict[str, Any]) -> None:
    run(session(model))
    other = session(model, **options)
    run(other)
    assert prepared(other)
    assert len(plans(cache)) == 2


def test_another_file_of_the_same_name_is_another_model(cache: Path, model: Path) -> None:
    before = run(session(model))
    model.write_bytes(lenet(6))
    other = session(model)
    assert np.abs(run(other) - before).max() > 0.01
    assert prepared(other)


def test_a_file_that_changed_is_not_read_for_the_rest(cache: Path, model: Path) -> None:
    run(session(model))
    second = session(model)
    model.write_bytes(lenet(6))
    run(second)  # all it needs was kept
    with pytest.raises(InvalidModel, match="was changed or removed after the session was made"):
        run(second, X[:1])


@pytest.mark.skipif(os.name != "posix", reason="the file of a session can be deleted while it is open")
@pytest.mark.parametrize(
    "gone", [Path.unlink, lambda path: (path.unlink(), path.write_bytes(lenet(6)))], ids=["no", "new"]
)
def test_a_file_that_was_deleted_or_replaced_is_still_there(
    cache: Path, model: Path, gone: Callable[[Path], object]
) -> None:
    expected = run(session(model), X[:1])
    run(session(model))
    second = session(model)
    gone(model)
    shorter = run(second, np.concatenate([X, X[:1]]))
    assert prepared(second)
    np.testing.assert_allclose(shorter[2:], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list open files")
def test_no_file_stays_open(cache: Path, model: Path) -> None:
    run(session(model))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        made = session(model)
        run(made)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del made
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_relative_path_means_the_same_file_later(
    cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(session(Path("lenet.onnx")))
    second = session(Path("lenet.onnx"))
    monkeypatch.chdir("/")
    assert run(second, X[:1]).shape == (1, 10)


@pytest.mark.parametrize("place", [3, 20, 200, 0.02, 0.5, 0.99], ids=str)
@pytest.mark.parametrize("harm", ["flip", "cut", "zeros"])
def test_damage_costs_time_only(cache: Path, model: Path, place: float, harm: str) -> None:
    expected = run(session(model))
    (path,) = plans(cache)
    content = bytearray(path.read_bytes())
    at = int(place if place >= 1 else place * len(content))
    if harm == "flip":
        content[at] ^= 4
    elif harm == "cut":
        del content[at:]
    else:
        content[at : at + 4096] = bytes(len(content[at : at + 4096]))
    path.write_bytes(content)
    second = session(model)
    np.testing.assert_array_equal(run(second), expected)
    third = session(model)
    np.testing.assert_array_equal(run(third), expected)
    assert prepared(second) or harm == "zeros"  # that may have been padding
    assert not prepared(third)


@pytest.mark.parametrize("harm", [lambda _: b"{}", lambda content: content.replace(b"32", b"33")], ids=["new", "flip"])
def test_a_damaged_face(cache: Path, model: Path, harm: Callable[[bytes], bytes]) -> None:
    expected = run(session(model))
    (face,) = cache.glob("plans/*/face")
    content = face.read_bytes()
    assert harm(content) != content
    face.write_bytes(harm(content))
    second = session(model)
    np.testing.assert_array_equal(run(second), expected)
    assert prepared(second)


def test_external_data_is_not_known_by_its_name(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    w = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4, 4])],
        [w],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    x = np.eye(4, dtype=np.float32)
    assert (run(session(path), x) == 1).all()
    assert not plans(cache)
    (tmp_path / "weights").write_bytes(np.full((4, 4), 2, np.float32).tobytes())
    assert (run(session(path), x) == 2).all()


@pytest.mark.parametrize("way", ["option", "environment", "no cache"])
def test_it_can_be_switched_off(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    run(session(model))
    options = SessionOptions()
    if way == "option":
        options.add_session_config_entry("striate.plan_cache", "0")
    elif way == "environment":
        monkeypatch.setenv("STRIATE_PLAN_CACHE", "0")
    else:
        monkeypatch.setenv("STRIATE_CACHE", "")
    made = InferenceSession(str(model), options)
    run(made)
    assert prepared(made)


def test_only_what_took_time_is_kept(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "WORTH", 1e9)
    run(session(model))
    assert not plans(cache)


def test_there_is_an_end_of_plans(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(model)
    for n in range(1, kept.PLANS + 3):
        run(made, np.repeat(X[:1], n, 0))
    assert len(plans(cache)) == kept.PLANS
    size = sum(p.stat().st_size for p in plans(cache))
    monkeypatch.setattr(kept, "ROOM", size // 2)
    other = model.with_name("other.onnx")
    other.write_bytes(lenet(6))
    run(session(other))
    (left,) = plans(cache)
    again = session(other)
    run(again)
    assert not prepared(again)
    assert left.exists()


def test_plans_of_one_model_that_need_more_room_than_there_is(
    cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(session(model))
    (first,) = plans(cache)
    (cache / "plans" / ".DS_Store").write_text("macOS was here")
    monkeypatch.setattr(kept, "ROOM", int(2.5 * first.stat().st_size))
    made = session(model)
    for n in range(3, 6):
        run(made, np.repeat(X[:1], n, 0))
    assert len(plans(cache)) == 2
    again = session(model)
    run(again, np.repeat(X[:1], 5, 0))
    assert not prepared(again)


def test_a_folder_that_cannot_be_written(cache: Path, model: Path) -> None:
    cache.write_text("a file where a folder should be")
    expected = run(session(model))
    np.testing.assert_array_equal(run(session(model)), expected)


def test_a_cache_that_can_only_be_read(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(session(model))

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    second = session(model)
    np.testing.assert_array_equal(run(second), expected)
    assert not prepared(second)


def test_what_is_no_file_is_not_read_twice(cache: Path, tmp_path: Path) -> None:
    """A pipe would wait for ever, as the null device's sister never ends."""
    assert kept.shelf(os.devnull, SessionOptions(), {"threads": 1}) is None
    with pytest.raises(TypeError, match="Unable to load from type"):
        InferenceSession(5)  # type: ignore[arg-type]


def test_a_plan_is_written_once(cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by each run that is profiled, nor by each list of outputs, nor for shapes without end."""
    seen: list[Any] = []
    keep = kept.Shelf.keep
    monkeypatch.setattr(kept.Shelf, "keep", lambda *given: (seen.append(given), keep(*given)))
    made = session(model, enable_profiling=True, profile_file_prefix=str(tmp_path / "profile"))
    name, output = made.get_inputs()[0].name, made.get_outputs()[0].name
    for names in (None, [output], [], None):
        made.run(names, {name: X})
    assert len(seen) == 1
    kept.written()
    written: list[str] = []
    write = kept.atomic_write
    monkeypatch.setattr(kept, "atomic_write", lambda path, *a, **k: (written.append(str(path)), write(path, *a, **k)))
    other = session(model, numerics="strict")
    for n in [*range(1, kept.PLANS + 4)] * 2:
        run(other, np.repeat(X[:1], n, 0))
    assert sum(path.endswith(".plan") for path in written) == kept.PLANS


def test_source_that_is_missing(cache: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors leave links to nowhere; in an archive nothing tells one version from another, and nothing is kept."""
    monkeypatch.setattr(kept, "__file__", str(tmp_path / "source" / "kept.py"))
    try:
        kept._code.cache_clear()
        run(session(model))
        assert not plans(cache)
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "a.py").write_text("")
        (tmp_path / "source" / ".#a.py").symlink_to("somebody@somewhere.1")
        kept._code.cache_clear()
        run(session(model))
        assert len(plans(cache)) == 1
    finally:
        kept._code.cache_clear()


def test_another_thread_forgets_what_was_just_found(cache: Path, model: Path) -> None:
    class Emptied(dict[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            self.clear()

    expected = run(session(model))
    made = session(model)
    made._plans = Emptied()
    np.testing.assert_array_equal(run(made), expected)
    assert not prepared(made)


def test_the_rest_of_a_session_is_there(cache: Path, model: Path) -> None:
    expected = run(session(model))
    second = session(model)
    found = profile(second, {second.get_inputs()[0].name: X}, runs=2, threads=1)
    assert any("Conv" in node.operator for node in found.nodes)
    second.set_providers(["CPUExecutionProvider"])
    np.testing.assert_array_equal(run(second), expected)


def test_sessions_share_weights(cache: Path, model: Path) -> None:
    run(session(model))
    first, second = session(model), session(model)
    run(first)
    run(second)
    a, b = (
        [w for _, w in sorted(next(iter(s._plans.values())).call.program.constants.items())] for s in (first, second)
    )
    assert all(x is y for x, y in zip(a, b, strict=True) if x.nbytes >= 4096)
    assert max(x.nbytes for x in a) > 4096


def test_two_processes_keep_the_same_plan_at_once(cache: Path, model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(model), str(tmp_path / "x.npy")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)]
    said = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    assert len(plans(cache)) == 1  # a process ends after its plan is written
    assert said[0]["y"] == said[1]["y"] == run(session(model)).tobytes().hex()
