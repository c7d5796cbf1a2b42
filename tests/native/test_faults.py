"""The cache of machine code when the disk fails, and what callers may give to a session and do with its results."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from striate.runtime import InferenceSession
from striate.runtime.engines.native import compiler
from striate.runtime.engines.native.host import Host, host

from .busy import BUSY, busy, convolution, options
from .guard import posix, survives
from .test_sessions import python, quiet


def answer(number: int) -> str:
    """A module whose function returns a number, as IR."""
    return f"define i64 @answer() {{\n  ret i64 {number}\n}}\n"


def ask(number: int) -> int:
    """Compiled or from the cache, as a new process would find it."""
    import ctypes

    compiler._symbols.pop(compiler._key("answer", answer(number)), None)
    return ctypes.CFUNCTYPE(ctypes.c_int64)(compiler.address("answer", answer(number)))()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    return tmp_path


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_the_cache_has_an_end(cache: Path) -> None:
    """The oldest entries of a folder go when a new one comes into it."""
    folder = cache / compiler._key("answer", answer(81))[:2]
    folder.mkdir()
    for i in range(compiler.MOST + 5):
        (folder / f"old{i}").write_bytes(b"")
        os.utime(folder / f"old{i}", (i + 1, i + 1))
    assert ask(81) == 81
    left = {path.name for path in folder.iterdir()}
    assert len(left) == compiler.MOST
    assert compiler._key("answer", answer(81)) in left
    assert "old5" not in left
    assert f"old{compiler.MOST + 4}" in left


@pytest.mark.parametrize("damage", ["empty", "short", "digest only", "flipped", "folder", "foreign", "dangling link"])
def test_a_damaged_entry_is_made_anew(cache: Path, damage: str) -> None:
    assert ask(41) == 41
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    entry.unlink()
    if damage == "folder":
        entry.mkdir()
    elif damage == "dangling link":
        entry.symlink_to(cache / "nowhere")
    else:
        flipped = bytes([*whole[:60], whole[60] ^ 1, *whole[61:]])
        assert ask(42) == 42
        (foreign,) = entries(cache)
        kinds = {
            "empty": b"",
            "short": whole[:-9],
            "digest only": whole[:20],
            "flipped": flipped,
            "foreign": foreign.read_bytes(),
        }
        entry.write_bytes(kinds[damage])
    assert ask(41) == 41
    assert ask(42) == 42
    if damage not in ("folder", "dangling link"):
        assert entry.read_bytes() == whole


@pytest.mark.parametrize(
    "error", [PermissionError(13, "denied"), OSError(30, "read-only file system"), OSError(28, "no space")]
)
def test_a_folder_that_cannot_be_written_to(cache: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(compiler, "atomic_write", refuse)
        assert ask(51) == 51
        patch.setattr(Path, "mkdir", refuse)
        assert ask(52) == 52
    assert entries(cache) == []
    assert ask(53) == 53
    assert len(entries(cache)) == 1


@posix
@quiet
def test_a_full_disk(cache: Path) -> None:
    """A file may have 64 bytes: entries are not written, nor left in part."""

    def work() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        assert [ask(i) for i in range(60, 65)] == [60, 61, 62, 63, 64]
        assert busy().run(None, {"x": BUSY})[0].shape == BUSY.shape
        assert entries(cache) == []

    assert survives(work)


@posix
@quiet
def test_processes_that_compile_the_same_at_once(cache: Path) -> None:
    want = busy().run(None, {"x": BUSY})[0].tobytes()
    for _ in range(3):
        shutil.rmtree(cache)
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                compiler._symbols.clear()
                os._exit(busy().run(None, {"x": BUSY})[0].tobytes() != want)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert not [path for path in entries(cache) if path.name.endswith(".part")]


CHANGES = [{"features": "-avx512f"}, {"cpu": "x86-64"}]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: next(iter(c)))
def test_other_processors_have_entries_of_their_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    """One cache serves machines that differ in features, as on a shared home folder."""
    here = host()
    assert ask(71) == 71
    other = replace(here, **{k: f"{getattr(here, k)},{v}" if k == "features" else v for k, v in change.items()})

    def elsewhere() -> Host:
        return other

    with monkeypatch.context() as patch:
        patch.setattr(compiler, "host", elsewhere)
        compiler.setting.cache_clear()
        other_key = compiler._key("answer", answer(71))
    compiler.setting.cache_clear()
    assert other_key != compiler._key("answer", answer(71))
    assert not (cache / other_key[:2] / other_key).exists()


def test_without_llvmlite_there_is_one_warning_for_each_session(monkeypatch: pytest.MonkeyPatch) -> None:
    want = busy().run(None, {"x": BUSY})[0]
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = busy()
        got = session.run(None, {"x": BUSY})[0]
        session.run(None, {"x": BUSY[:, :, :5]})
    assert len(caught) == 1
    assert "llvmlite" in str(caught[0].message)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_llvmlite_that_does_not_load() -> None:
    """An installation whose library is missing counts as none."""
    code = """
import types, warnings
broken = types.ModuleType("llvmlite"); broken.__path__ = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "llvmlite.binding": raise OSError("libllvmlite.so: cannot open shared object file")
sys.modules["llvmlite"] = broken
sys.meta_path.insert(0, Finder())
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y = busy().run(None, {"x": BUSY})[0]
print(y.shape == BUSY.shape, len(caught))
"""
    done = python(code)
    assert done.stdout == "True 1\n", done.stderr


# ---- what callers give and get


SESSIONS = {
    "a convolution": lambda: busy(1),
    "whole channels": lambda: InferenceSession(convolution(64, 64, 1), options()),
}


def strange(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers, lying in memory in every way that NumPy knows."""
    n, c, h, w = x.shape
    wide = np.zeros((n, 2 * c, h, 3 * w), np.float32)
    wide[:, ::2, :, ::3] = x
    bytes_ = np.zeros(x.nbytes + 8, np.uint8)
    crooked = bytes_[1 : 1 + x.nbytes].view(np.float32).reshape(x.shape)
    crooked[...] = x
    apart = np.zeros(4 + x.nbytes + 64, np.uint8)[4 : 4 + x.nbytes].view(np.float32).reshape(x.shape)
    apart[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    huge = np.zeros((n, c, 1 << 14), np.float32)[..., : h * w].reshape(n, c, h, w)
    huge[...] = x
    return {
        "steps": wide[:, ::2, :, ::3],
        "backwards": x[:, ::-1, ::-1, ::-1].copy()[:, ::-1, ::-1, ::-1],
        "Fortran": np.asfortranarray(x),
        "transposed": x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        "misaligned": crooked,
        "aligned to 4": apart,
        "read-only": frozen,
        "huge strides": huge,
    }


@pytest.mark.parametrize("name", SESSIONS)
def test_arrays_of_any_layout(name: str) -> None:
    session = SESSIONS[name]()
    want = session.run(None, {"x": BUSY})[0]
    for how, x in strange(BUSY).items():
        before = x.copy()
        for _ in range(2):
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], want, how)
        np.testing.assert_array_equal(x, before, how)


def test_repeated_numbers() -> None:
    """Strides of 0."""
    session = busy(1)
    x = np.broadcast_to(np.float32(0.5), BUSY.shape)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], session.run(None, {"x": x.copy()})[0])


def test_byte_order() -> None:
    """Foreign byte order is read right, or refused with one clear error: never read wrong."""
    session = busy(1)
    want = session.run(None, {"x": BUSY})[0]
    swapped = BUSY.astype(">f4" if sys.byteorder == "little" else "<f4")
    for _ in range(2):
        np.testing.assert_array_equal(session.run(None, {"x": swapped})[0], want)


def test_wrong_types_and_shapes_stay_errors_after_a_good_run() -> None:
    session = busy(1)
    want = session.run(None, {"x": BUSY})[0]
    for wrong in (BUSY.astype(np.float64), BUSY.astype(np.int32), BUSY[0], BUSY[:, :7], np.float32(3), BUSY.tobytes()):
        with pytest.raises(Exception, match="x"):
            session.run(None, {"x": wrong})
    np.testing.assert_array_equal(session.run(None, {"x": BUSY})[0], want)


def test_results_are_the_callers() -> None:
    """Not written to by later runs, nor parts of what a session keeps, nor of each other."""
    session = busy()
    first = session.run(None, {"x": BUSY})[0]
    kept = first.copy()
    for i in range(5):
        other = session.run(None, {"x": BUSY + i + 1})[0]
        assert not np.shares_memory(first, other)
    np.testing.assert_array_equal(first, kept)
    first[...] = np.nan
    assert first.flags.owndata or first.base is not None
    np.testing.assert_array_equal(session.run(None, {"x": BUSY})[0], kept)


def test_an_input_may_change_between_runs() -> None:
    """Arrays are read when a run is asked for, not remembered."""
    session, x = busy(), BUSY.copy()
    session.run(None, {"x": x})
    x *= -1
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], busy().run(None, {"x": -BUSY})[0])


def test_scalars() -> None:
    """0-d arrays through a compiled chain, beside a product."""
    from onnx import parser

    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[2, 3] a, float[3, 2] b, float s) => (float[2, 2] y, float z) {
      m = MatMul (a, b)
      y = Mul (m, s)
      z = ReduceSum <keepdims = 0> (y)
    }""").SerializeToString()
    rng = np.random.default_rng(0)
    feed = {"a": rng.standard_normal((2, 3), np.float32), "b": rng.standard_normal((3, 2), np.float32)}
    feed["s"] = np.array(2.5, np.float32)
    y, z = InferenceSession(model, options()).run(None, feed)
    np.testing.assert_allclose(y, feed["a"] @ feed["b"] * np.float32(2.5), rtol=1e-6)
    assert z.shape == ()
    np.testing.assert_allclose(z, y.sum(), rtol=1e-5)
