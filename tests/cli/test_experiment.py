"""The experiments, shortened, through the command as a process of its own; and what they are made of."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.experiments import depth, pooling
from striate.experiments.placing import at_positions, placed
from striate.experiments.trials import Result, Trial, run_trials, write_csv
from striate.models import lecun1989_net2
from striate.trainer import Model, data, get_seed, set_seed

from .conftest import Run


def _striate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "striate", "experiment", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_a_picture(path: Path) -> None:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 400
    assert pixels.std() > 10


def test_sharing(tmp_path: Path) -> None:
    done = _striate("sharing", "--epochs", 1, "--seeds", 1, "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "prints" in done.stdout
    assert "3240" in done.stdout
    rows = _rows(tmp_path / "new" / "sharing.csv")
    assert [int(row["parameters"]) for row in rows[::2]] == [2_570, 3_214, 1_226, 1_132, 1_060]
    assert [float(row["accuracy_1989"]) for row in rows[::2]] == [0.8, 0.87, 0.885, 0.94, 0.984]
    centred = {row["model"]: float(row["accuracy"]) for row in rows if row["digits"] == "centred"}
    assert min(centred.values()) > 0.8
    assert f"{100 * centred['lecun1989_net1']:.1f} ± 0.0" in done.stdout
    assert all(row["seed_0"] == row["accuracy"] for row in rows)
    assert not done.stderr
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["sharing.csv", "sharing.png"]
    _is_a_picture(tmp_path / "new" / "sharing.png")


def test_depth(tmp_path: Path) -> None:
    done = _striate("depth", "--epochs", 1, "--seeds", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = _rows(tmp_path / "depth.csv")
    at_equal = [row for row in rows if row["family"] == "conv" and int(row["parameters"]) <= depth.BUDGET]
    assert {int(row["layers"]) for row in at_equal} == set(depth.DEPTHS)
    for row in rows:
        gap = float(row["train_accuracy"]) - float(row["test_accuracy"])
        assert float(row["gap"]) == pytest.approx(gap, abs=1e-5)
    _is_a_picture(tmp_path / "depth.png")


def test_pooling(tmp_path: Path) -> None:
    done = _striate("pooling", "--image", "flower", "--window", 4, "--window", 32, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "106×160×3" in done.stdout
    rows = {(row["pooling"], row["window"]): row for row in _rows(tmp_path / "pooling.csv")}
    assert set(rows) == {("none", "1")} | {(k, w) for k in ("max", "average", "L2") for w in ("4", "32")}
    means = [float(rows[kind, "32"]["mean"]) for kind in ("average", "L2", "max")]
    assert means == sorted(means)
    assert rows["max", "32"]["height"] == "13"
    _is_a_picture(tmp_path / "pooling.png")


def test_pooling_is_what_numpy_says() -> None:
    x = np.random.default_rng(0).random((6, 9, 3), np.float32)
    found = {p.kind: p.image for p in pooling.run(x, (3,))}
    windows = x.reshape(2, 3, 3, 3, 3).swapaxes(1, 2).reshape(2, 3, 9, 3)
    np.testing.assert_array_equal(found["max"], windows.max(2))
    np.testing.assert_allclose(found["average"], windows.mean(2), rtol=1e-6)
    np.testing.assert_allclose(found["L2"], np.sqrt((windows**2).mean(2)), rtol=1e-6)


def test_faults_are_one_line(striate: Run, tmp_path: Path) -> None:
    done = striate("experiment", "pooling", "--image", tmp_path / "none.jpg", "--out", tmp_path / "out")
    assert done.code == 1
    assert "neither china nor flower nor a file that exists" in done.err
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    done = striate("experiment", "pooling", "--image", broken, "--out", tmp_path / "out")
    assert done.code == 1
    assert "broken.jpg" in done.err
    done = striate("experiment", "pooling", "--window", 500, "--out", tmp_path / "out")
    assert done.code == 1
    assert "500" in done.err
    assert not list((tmp_path / "out").iterdir())
    done = striate("experiment", "depth", "--out", broken)
    assert done.code == 1
    assert "expected a folder" in done.err
    assert striate("experiment", "sharing", "--seeds", 0).code == 2


def test_help_has_examples(striate: Run) -> None:
    for name in ("sharing", "depth", "pooling"):
        said = striate("experiment", name, "--help").out
        assert f"striate experiment {name} --" in said


def test_seeds_give_the_same_again_and_differ() -> None:
    few = data.load("digits", 16, 1, "train").select(slice(0, 100))
    made: list[int] = []

    def make() -> Model:
        made.append(get_seed())
        return lecun1989_net2()

    trials = [Trial("net2", make, few, few)]
    set_seed(77)
    told: list[tuple[int, int]] = []
    runs = [
        run_trials(trials, seeds=3, epochs=2, batch_size=20, learning_rate=0.003, tell=lambda *done: told.append(done))
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0][0].test)) > 1
    assert told[:6] == [(i, 6) for i in range(1, 7)]
    assert made == [0, 1, 2] * 2
    assert get_seed() == 77


def test_results() -> None:
    result = Result("x", 3, (1.0, 0.8), (0.7, 0.5))
    assert result.mean == pytest.approx(0.6)
    assert result.spread == pytest.approx(np.std([0.7, 0.5], ddof=1))
    assert result.gap == pytest.approx(0.3)
    assert Result("x", 3, (1.0,), (0.7,)).spread == 0


def test_table_is_whole_or_not_there(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [{"a": 1, "b": 0.5}, {"a": 2, "b": 1 / 3}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,0.5\n2,0.333333\n"
    with pytest.raises(ValueError, match="fields"):
        write_csv(tmp_path / "t.csv", [{"a": 1}, {"c": 2}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,0.5\n2,0.333333\n"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_digits_are_moved_as_said() -> None:
    few = data.load("digits", 16, 1, "train").select(slice(0, 5))
    moved = at_positions(few, (-3, 0, 2))
    assert len(moved) == 15
    assert moved.y.tolist() == few.y.tolist() * 3
    assert np.array_equal(moved.x[5:10], few.x)
    assert np.array_equal(moved.x[:5, :, :-3], few.x[:, :, 3:])
    assert not moved.x[:5, :, -3:].any()
    assert np.array_equal(moved.x[10:, :, 2:], few.x[:, :, :-2])


def test_digits_are_placed_as_said() -> None:
    few = data.load("digits", 8, 1, "train").select(slice(0, 60))
    x = placed(few, 12, 4).x
    assert x.shape == (60, 12, 12, 1)
    np.testing.assert_allclose(x.sum((1, 2, 3)), few.x.sum((1, 2, 3)), rtol=1e-6)
    corners = [
        (r, c) for one, digit in zip(x, few.x, strict=True) for r in range(5) for c in range(5)
        if np.array_equal(one[r : r + 8, c : c + 8], digit)
    ]  # fmt: skip
    assert {r for r, _ in corners} == {c for _, c in corners} == set(range(5))
    assert np.array_equal(placed(few, 12, 4).x, x)
    assert not np.array_equal(placed(few, 12, 5).x, x)


def test_widths_fill_the_budget() -> None:
    for family, make in depth.MAKERS.items():
        for layers in (1, 2, 3, 8):
            network = depth.widest(family, layers, 4_000)
            assert make(layers, network.width).count_params() == depth.parameters(network) <= 4_000
            assert make(layers, network.width + 1).count_params() > 4_000
