"""What is drawn: kernels are weights, maps the executor's values, regions what a unit sees, saliency a slope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from striate.pictures.confusion import confusion, counted
from striate.pictures.features import draw_features, feature_maps, spread
from striate.pictures.graphs import convolutions, find
from striate.pictures.kernels import draw_kernels, shown
from striate.pictures.mosaic import energy_order, grid_of, magnified, mosaic
from striate.pictures.receptive import growing, regions
from striate.pictures.saliency import Scores, saliency
from striate.runtime.cost import analyse
from striate.runtime.errors import InvalidInput
from striate.runtime.executor import Executor

from .conftest import Make, graph_of, small_weights


def _convolved(x: np.ndarray, w: np.ndarray, stride: int = 1) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.einsum("cijhw,fchw->fij", windows, w)


# --- Mosaics ---


def test_mosaic_puts_every_tile_where_it_belongs() -> None:
    tiles = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    whole = mosaic(tiles, 2, gap=1)
    assert whole.shape == (3 * 3 - 1, 2 * 4 - 1)
    for i, tile in enumerate(tiles):
        top, left = 3 * (i // 2), 4 * (i % 2)
        np.testing.assert_array_equal(whole[top : top + 2, left : left + 3], tile)
    assert np.isnan(whole).sum() == whole.size - tiles.size


def test_tiles_with_most_energy_in_order_of_index() -> None:
    tiles = np.stack([np.full((2, 2), v) for v in (1.0, -5.0, 0.0, 3.0)])
    assert energy_order(tiles, 2).tolist() == [1, 3]
    assert energy_order(tiles, 9).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [1, 2, 6, 16, 31, 64, 96])
def test_a_block_of_tiles_is_not_mostly_empty(count: int) -> None:
    columns = grid_of(count)
    rows = -(-count // columns)
    assert 0 <= rows * columns - count < columns
    assert count < 4 or 0.5 < columns / rows < 6


# --- Kernels ---


def test_kernels_in_the_picture_are_the_weights(small: Make, kept: list[Any], nowhere: Path) -> None:
    layers = convolutions(small())
    weights = small_weights()
    assert [layer.name for layer in layers] == ["first", "second"]
    draw_kernels(nowhere, layers[1], "small", colour=False)
    picture = np.asarray(kept[0].axes[0].images[0].get_array())
    low, high = kept[0].axes[0].images[0].get_clim()
    assert (low, high) == (-np.abs(weights["w2"]).max(), np.abs(weights["w2"]).max())
    step = 48 + round(48 / 14)
    for i in range(6):
        for j in range(4):
            tile = picture[i * step + 8 : i * step + 48 : 16, j * step + 8 : j * step + 48 : 16]
            np.testing.assert_array_equal(tile, weights["w2"][i, j])


def test_kernels_over_colours_are_shown_in_them(small: Make, kept: list[Any], nowhere: Path) -> None:
    first = convolutions(small())[0]
    found = draw_kernels(nowhere, first, "small", colour=True)
    assert found.kind == "colour"
    w = small_weights()["w1"]
    picture = np.asarray(kept[0].axes[0].images[0].get_array())
    np.testing.assert_allclose(
        picture[8:48:16, 8:48:16], 0.5 + w[0].transpose(1, 2, 0) / (2 * np.abs(w).max()), atol=1e-6
    )
    assert shown(first, colour=False).kind == "pairs"


def test_the_largest_of_many_kernels(small: Make) -> None:
    layer = convolutions(small())[0]
    w = np.random.default_rng(0).standard_normal((200, 1, 5, 5)).astype(np.float32)
    w[[7, 150]] *= 9
    found = shown(_with(layer, w), colour=False)
    assert len(found.filters) == 96
    assert {7, 150} <= set(found.filters.tolist())
    np.testing.assert_array_equal(found.weights, w[found.filters])
    wide = shown(_with(layer, w.reshape(8, 25, 5, 5)), colour=False)
    assert wide.weights.shape == (8, 24, 5, 5)
    assert shown(_with(layer, w[..., :1, :1].reshape(20, 10, 1, 1)), colour=False).kind == "matrix"
    with pytest.raises(InvalidInput, match="3 dimensions"):
        shown(_with(layer, w[None]), colour=False)


def _with(layer: Any, weights: np.ndarray) -> Any:
    from dataclasses import replace

    return replace(layer, weights=weights)


def test_kernels_of_a_transposed_convolution_stand_by_filter() -> None:
    w = np.random.default_rng(1).standard_normal((4, 3, 2, 2)).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "up", group=2)
    (layer,) = convolutions(graph_of([node], {"w": w}, (1, 4, 5, 5), (1, 6, 6, 6)))
    assert layer.weights is not None
    assert layer.weights.shape == (6, 2, 2, 2)
    for group in range(2):
        for i in range(2):
            for o in range(3):
                np.testing.assert_array_equal(layer.weights[group * 3 + o, i], w[group * 2 + i, o])


def test_layers_by_name(small: Make) -> None:
    layers = convolutions(small())
    for name in ("first", "first/Conv", "c1"):
        assert find(layers, name, "m") == [layers[0]]
    with pytest.raises(InvalidInput, match="no convolution 'third'; its convolutions are first, second"):
        find(layers, "third", "m")
    with pytest.raises(InvalidInput, match="has no convolution"):
        find([], None, "m")


# --- Feature maps ---


def test_feature_maps_are_what_leaves_the_layers(small: Make, kept: list[Any], nowhere: Path) -> None:
    model, weights = small(), small_weights()
    x = np.random.default_rng(5).random((1, 3, 14, 18), np.float32)
    layers = convolutions(model)
    found = feature_maps(model, layers, {"x": x})
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    first = np.maximum(_convolved(padded, weights["w1"]) + weights["b1"][:, None, None], 0)
    np.testing.assert_allclose(found["first"], first, atol=1e-5)
    pooled = first.reshape(4, 7, 2, 9, 2).max((2, 4))
    np.testing.assert_allclose(found["second"], np.tanh(_convolved(pooled, weights["w2"], 2)), atol=1e-5)
    assert [v.name for v in model.graph.outputs] == ["y"]

    draw_features(nowhere, "small", x[0].transpose(1, 2, 0), layers, found, 2, most=2)
    images = [np.asarray(a.images[0].get_array()) for a in kept[0].axes if a.images]
    tiles = magnified(found["first"][energy_order(found["first"], 2)])
    np.testing.assert_array_equal(images[1], mosaic(tiles, 2))


def test_layers_are_chosen_evenly(small: Make) -> None:
    layers = convolutions(small()) * 5
    chosen = spread(layers, 4)
    assert [id(c) for c in chosen] == [id(layers[i]) for i in (0, 3, 6, 9)]
    assert spread(layers, 20) == layers


# --- Receptive fields ---


def test_regions_are_those_of_the_analysis(small: Make) -> None:
    model = small()
    rows = {n.name: n for n in analyse(model).nodes}
    found = regions(model, "small")
    assert [r.name for r in found] == ["first", "pool", "second"]
    for region, name in zip(found, ("first/Conv", "pool", "second"), strict=True):
        assert region.size == rows[name].field
        assert region.stride == rows[name].stride
        centres = [o + (s - 1) / 2 for o, s in zip(region.offset, region.size, strict=True)]
        assert tuple(centres) == rows[name].start


@pytest.mark.parametrize("name", ["first", "pool", "second"])
def test_a_box_holds_the_pixels_that_its_unit_depends_on(small: Make, name: str) -> None:
    """Every pixel is changed once; that unit's maps change for those in the box, and for no other."""
    model = small()
    region = next(r for r in regions(model, "small") if r.name == name)
    value = {"first": "c1", "pool": "p1", "second": "c2"}[name]
    exposed = model.clone()
    for node in exposed.graph:
        if node.op_type == "MaxPool":  # a mean depends on all that it sees, a maximum only on one
            node.op_type = "AveragePool"
        if node.op_type == "Relu":
            node.op_type = "Softplus"
    exposed.graph.outputs.append(next(v for n in exposed.graph for v in n.outputs if v.name == value))
    run = Executor(exposed, owned=True)
    x = np.random.default_rng(2).random((1, 3, 14, 18), np.float32)
    row, column = region.middle
    before = run.run({"x": x}, [value])[0][0, :, row, column]
    changed = np.zeros(x.shape[2:], bool)
    for i in range(14):
        for j in range(18):
            other = x.copy()
            other[0, :, i, j] += 1
            changed[i, j] = np.abs(run.run({"x": other}, [value])[0][0, :, row, column] - before).max() > 1e-6
    box = region.box()
    assert box is not None
    expected = np.zeros_like(changed)
    (top, bottom), (left, right) = ((max(int(a), 0), int(b)) for a, b in box)
    expected[top:bottom, left:right] = True
    np.testing.assert_array_equal(changed, expected)


def test_of_branches_the_largest_is_listed() -> None:
    w = {f"w{k}": np.ones((2, 2, k, k), np.float32) for k in (1, 3, 5)}
    conv = [helper.make_node("Conv", ["x", f"w{k}"], [f"c{k}"], f"conv{k}", pads=[k // 2] * 4) for k in (1, 3, 5)]
    nodes = [*conv, helper.make_node("Concat", ["c1", "c3", "c5"], ["j"], "join", axis=1),
             helper.make_node("MaxPool", ["j"], ["y"], "pool", kernel_shape=[2, 2], strides=[2, 2])]  # fmt: skip
    found = regions(graph_of(nodes, w, (1, 2, 8, 8), (1, 6, 4, 4)), "branches")
    assert [r.size[0] for r in found] == [1, 3, 5, 6]
    assert [(r.name, r.stride[0]) for r in growing([found[2], found[0], found[1], found[3]])] == [
        ("conv5", 1),
        ("pool", 2),
    ]


def test_models_without_windows_are_refused() -> None:
    model = graph_of([helper.make_node("Relu", ["x"], ["y"], "r")], {}, (1, 3), (1, 3))
    with pytest.raises(InvalidInput, match="no convolution and no pooling"):
        regions(model, "dense")


# --- Saliency ---


@pytest.mark.parametrize("opset", [11, 21])
def test_saliency_is_the_slope_of_the_score(small: Make, opset: int) -> None:
    model = small(np.float64, opset)
    scores = Scores(model, "small")
    x = np.random.default_rng(7).random((1, 3, 14, 18))
    found = saliency(scores, x, channels_first=True, wanted=2)
    step, slopes = 1e-6, np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        slopes[i] = (scores.score(up)[2] - scores.score(down)[2]) / (2 * step)
    np.testing.assert_allclose(found.gradient, slopes, atol=1e-7)
    assert np.abs(slopes).max() > 1e-2
    np.testing.assert_array_equal(found.map, np.abs(found.gradient[0]).max(0))
    y = Executor(model).run({"x": x})[0][0]
    assert scores.before_softmax
    assert found.share == pytest.approx(y[2], rel=1e-9)
    assert saliency(scores, x, channels_first=True).wanted == int(y.argmax())
    with pytest.raises(InvalidInput, match="class 5 does not exist"):
        saliency(scores, x, channels_first=True, wanted=5)


def test_smoothgrad_is_the_mean_over_noisy_copies(small: Make) -> None:
    from striate.runtime.random import normal

    scores = Scores(small(), "small")
    x = np.random.default_rng(7).random((1, 3, 14, 18), np.float32)
    found = saliency(scores, x, True, 1, samples=4, noise=0.2, seed=11)
    sigma = 0.2 * (x.max() - x.min())
    copies = [x + np.float32(sigma) * normal(np, 11, i, x.shape) for i in range(4)]
    expected = np.mean([scores.gradient(c, 1) for c in copies], 0)
    np.testing.assert_allclose(found.gradient, expected, atol=1e-5)
    again = saliency(scores, x, True, 1, samples=4, noise=0.2, seed=11)
    np.testing.assert_array_equal(found.gradient, again.gradient)
    assert np.abs(saliency(scores, x, True, 1, samples=4, noise=0.2, seed=12).gradient - found.gradient).max() > 1e-3


def test_saliency_needs_one_score_per_class() -> None:
    node = helper.make_node("Relu", ["x"], ["y"], "r")
    with pytest.raises(InvalidInput, match="one score for each class"):
        Scores(graph_of([node], {}, (1, 3, 4, 4), (1, 3, 4, 4)), "maps")


# --- Confusion ---


def test_precision_and_recall(kept: list[Any], nowhere: Path) -> None:
    truth = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    guessed = np.array([0, 0, 1, 1, 1, 2, 2, 0, 1])
    found = counted(truth, guessed, 4)
    np.testing.assert_array_equal(found.matrix[:3, :3], [[2, 1, 0], [0, 2, 0], [1, 1, 2]])
    np.testing.assert_allclose(found.precision, [2 / 3, 2 / 4, 1, np.nan])
    np.testing.assert_allclose(found.recall, [2 / 3, 1, 2 / 4, np.nan])
    assert found.accuracy == 6 / 9
    confusion(nowhere, truth, guessed, ["a", "b", "c", "d"], "m on few")
    written = {t.get_text() for t in kept[0].axes[0].texts}
    assert written == {"1", "2"}
    marks = {
        c.get_label(): np.ma.getdata(c.get_offsets())[:3, 0]
        for c in kept[0].axes[1].collections
        if c.get_label()[0] != "_"
    }
    np.testing.assert_allclose(marks["precision"], found.precision[:3])
    np.testing.assert_allclose(marks["recall"], found.recall[:3])
