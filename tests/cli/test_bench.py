"""`striate bench`: real processes side by side on a small model; every fault is one sentence and leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.cells import cell_len

from striate.bench.exchange import read_arrays, write_arrays
from striate.bench.feeds import Inputs
from striate.bench.measuring import Measured, _difference
from striate.bench.results import Row, lines
from striate.cli.several import numbers
from striate.runtime.errors import InvalidInput

from .conftest import Run

node = helper.make_node
QUICK = ("--seconds", 0.1, "--no-cold", "--threads", 1)
SCRIPT = """
import os, pathlib
import numpy as np
here = pathlib.Path(__file__).parent
print("what a script prints is not an answer")
with open(here / "seen.txt", "a") as seen:
    print(os.getpid(), os.environ["OMP_NUM_THREADS"], os.environ.get("STRIATE_CACHE", ""), file=seen)
def run(inputs):
    return [np.maximum(inputs["x"] @ np.load(here / "w.npy"), 0) FACTOR]
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """y = max(x·w, 0), with an open batch."""
    w = np.random.default_rng(0).standard_normal((16, 8), np.float32)
    np.save(tmp_path / "w.npy", w)
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(w, "w")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def _script(folder: Path, text: str) -> Path:
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_sides_and_figures(striate: Run, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(net.parent / "users cache"))
    script, file = _script(net.parent, SCRIPT.replace("FACTOR", "* 1.5")), net.parent / "net.json"
    done = striate(
        "bench", net, "--threads", 1, 2, "--batch", 3, "--seconds", 0.1, "--script", script, "--json", file,
        "--png", net.parent / "net.png",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads(file.read_text(encoding="utf-8"))
    rows = found["results"]
    assert [(r["side"], r["threads"]) for r in rows] == [
        (side, n) for n in (1, 2) for side in ("native", "onnxruntime", "script")
    ]
    for row in rows:
        assert row["inputs"] == {"x": [3, 16]}
        assert 0 < row["min"] <= row["p10"] <= row["median"] <= row["p90"] < row["warm"]
        assert row["runs"] > 10
        assert row["cold"] > 0
        assert row["cores"] > 0
        assert row["peak"] is None or 0 <= row["peak"] < 2**30
    ours, peer, theirs = rows[:3]
    assert ours["ratio"] is None
    assert peer["ratio"] == pytest.approx(peer["median"] / ours["median"])
    assert peer["difference"] < 1e-5
    assert theirs["difference"] == pytest.approx(0.5, abs=1e-3)
    assert set(found["figures"]) >= {"median", "ratio", "cold", "warm", "peak", "difference"}
    seen = [line.split(" ", 2) for line in (net.parent / "seen.txt").read_text().splitlines()]
    assert [threads for _, threads, _ in seen] == ["1", "1", "2", "2"]
    assert len({pid for pid, _, _ in seen}) == 4
    assert len({cache for _, _, cache in seen}) == 2
    assert not any(Path(cache).exists() for _, _, cache in seen)
    assert not (net.parent / "users cache").exists()
    with Image.open(net.parent / "net.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 50


@pytest.mark.parametrize("width", [60, 120])
def test_lines_line_up(width: int) -> None:
    ours = Measured("native", [0.0123] * 5, warm=0.25, peak=3 << 20, cores=1.0)
    theirs = Measured("onnxruntime", [0.123456, 0.9], ratio=41.6, cold=2.0, warm=12.0, peak=2000 << 20, difference=1e-6)
    failed = Measured("script", fault="it ended")
    row = Row({"x": (1, 16), "y": ()}, 1, [ours, theirs, failed])
    _, head, rule, title, *sides, _ = lines([row, row], width)
    assert title.strip() == "1×16, scalar, 1 thread"
    assert sides[3] == title
    assert {cell_len(line) for line in (head, rule, *sides[:3])} == {cell_len(rule)}
    assert [side.split()[0] for side in sides[:3]] == ["native", "onnxruntime", "script"]
    assert sides[2].split()[1] == "failed"
    assert ("p10 – p90" in head) == ("cores" in head) == (width >= 90)
    assert "41.60" in sides[1]


WRONG: dict[str, tuple[list[object], str]] = {
    "no file": (["bench", "nothing.onnx"], "nothing.onnx: does not exist"),
    "another input": (["bench", "net.onnx", "--input", "z=2x16"], "no input 'z'"),
    "another size": (["bench", "net.onnx", "--input", "x=2x17"], "dimension 1 is 16"),
    "twice": (["bench", "net.onnx", "--input", "x=2x16", "--input", "x=2x16"], "twice"),
    "no such input file": (["bench", "net.onnx", "--input", "x=x.npy"], "'x.npy' does not exist"),
    "no number": (["bench", "net.onnx", "--threads", "few"], "--threads is 'few'"),
    "no threads": (["bench", "net.onnx", "--threads", "0"], "--threads is '0'"),
    "another engine": (["bench", "net.onnx", "--engine", "gpu"], "--engine is 'gpu'"),
    "no script": (["bench", "net.onnx", "--script", "nothing.py"], "script 'nothing.py' does not exist"),
    "no folder": (["bench", "net.onnx", "--json", "nowhere/b.json"], "no folder 'nowhere'"),
    "no folder for a picture": (["bench", "net.onnx", "--png", "nowhere/b.png"], "no folder 'nowhere'"),
    "fixed batch": (["bench", "fixed.onnx", "--batch", 8], "no input has an open first dimension"),
    "open size": (["bench", "open.onnx"], "--input x=1x?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_measured(striate: Run, net: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(net.parent)
    for file, dims in (("fixed.onnx", [1, 16]), ("open.onnx", ["N", "M"])):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)
        graph = helper.make_graph([node("Relu", ["x"], ["y"])], "g", [x], [y])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), file)
    arguments, match = WRONG[name]
    done = striate(*arguments)
    assert done.code != 0
    assert match in done.err
    assert len(done.err.splitlines()) == 1


BROKEN = {
    "no run": ("x = 1", "defines no function run"),
    "a run that fails": ("def run(inputs):\n    raise KeyError('weights')", "KeyError: 'weights'"),
    "no list": ("def run(inputs):\n    return inputs['x']", "gave a ndarray; expected a list"),
    "another shape": ("def run(inputs):\n    return [inputs['x']]", "an output of shape [1, 16], not [1, 8]"),
    "a crash": ("import os\nos._exit(3)", "ended with exit code 3"),
    "no end": (
        "import os, time\nopen(__file__ + '.pid', 'w').write(str(os.getpid()))\ndef run(inputs):\n    time.sleep(99)",
        "no answer within 4 s",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_scripts(striate: Run, net: Path, name: str) -> None:
    text, match = BROKEN[name]
    script, file = _script(net.parent, text), net.parent / "b.json"
    done = striate(
        "bench", net, "--script", script, "--against", "nothing", "--json", file, "--timeout", 4,
        "--engine", "arrays", *QUICK,
    )  # fmt: skip
    assert done.code == 1
    assert match in done.err
    assert len(done.err.splitlines()) == 1
    ours, theirs = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert ours["median"] > 0
    assert match in theirs["fault"]
    pid = net.parent / "theirs.py.pid"
    if pid.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_differences() -> None:
    nan, inf = np.nan, np.inf

    def apart(a: object, b: object) -> float | None:
        found, fault = _difference({"0": np.asarray(a)}, {"0": np.asarray(b)})
        assert not fault
        return found

    assert apart([0.0, 4.0], [0.0, 5.0]) == 0.25
    assert apart([nan, 0.0, inf, 2.0], [nan, 0.0, inf, 2.0]) == 0
    assert apart([nan, 0.0, 2.0], [1.0, 0.0, 2.0]) == np.inf
    assert apart([3.0, 3.0], [3.0, 6.0]) == 1
    assert apart(["a", "b"], ["a", "c"]) == 1
    assert apart(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert _difference({"0": np.zeros(3)}, {"0": np.zeros(4)})[1]
    assert _difference({"0": np.zeros(3)}, {})[1]


def test_arrays_travel(tmp_path: Path) -> None:
    import ml_dtypes

    arrays = {
        "a/b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.asarray([1.5, -2], ml_dtypes.bfloat16),
        "text": np.asarray([["ä", ""]], object),
        "truth": np.asarray(True),
    }
    write_arrays(tmp_path / "x", arrays)
    found = read_arrays(tmp_path / "x")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert (found[name] == array).all()


def test_random_inputs(net: Path) -> None:
    wanted = Inputs.of(net)
    first, again, other = (wanted.feeds({}, 500, seed)["x"] for seed in (0, 0, 1))
    assert first.shape == (500, 16)
    assert first.dtype == np.float32
    assert (first == again).all()
    assert (first != other).any()
    assert abs(first.mean()) < 0.05
    assert abs(first.std() - 1) < 0.05


def test_several_numbers() -> None:
    assert numbers("--batch", ["1,8", "8", "32"], []) == [1, 8, 32]
    assert numbers("--batch", None, [7]) == [7]
    with pytest.raises(InvalidInput, match="--batch"):
        numbers("--batch", ["1,-2"], [])
