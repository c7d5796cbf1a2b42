"""How pictures look: text as large as promised, inside page and box; graphs cut into boxes and blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx_ir as ir
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from onnx import helper
from PIL import Image

from striate import models
from striate.pictures import style
from striate.pictures.architecture import draw_architecture
from striate.pictures.blocks import blocks, boxes, repeated
from striate.pictures.confusion import confusion
from striate.pictures.curves import Course, draw_curves
from striate.pictures.features import draw_features, feature_maps
from striate.pictures.graphs import convolutions, inference_graph
from striate.pictures.kernels import draw_kernels
from striate.pictures.layers import isotonic, place
from striate.pictures.receptive import draw_receptive, regions
from striate.pictures.saliency import Scores, draw_saliency, saliency
from striate.runtime.errors import InvalidInput

from .conftest import Make, graph_of

node = helper.make_node


def _all_kinds(model: ir.Model, path: Path) -> None:
    """One picture of each kind."""
    rng = np.random.default_rng(0)
    x = rng.random((1, 3, 14, 18), np.float32)
    image = x[0].transpose(1, 2, 0)
    layers = convolutions(model)
    for layer in layers:
        draw_kernels(path, layer, "a model", colour=layer is layers[0])
    maps = feature_maps(model, layers, {"x": x})
    draw_features(path, "a model", image, layers, maps, 2)
    draw_features(path, "a model", image, layers[:1], maps, 2)
    draw_receptive(path, "a model", image, regions(model, "a model"))
    draw_architecture(path, model, "a model")
    history = {"loss": [1.0, 0.5], "val_loss": [1.1, 0.7], "accuracy": [0.1, 0.9], "learning_rate": [0.1, 0.01]}
    draw_curves(path, [Course("one", history)])
    draw_curves(path, [Course("one", history), Course("two", history, 3)])
    truth = rng.integers(0, 5, 60)
    confusion(path, truth, np.where(rng.random(60) < 0.8, truth, 0), ["a class with a long name", *"bcde"], "m")
    scores = Scores(model, "a model")
    draw_saliency(path, "a model", image, saliency(scores, x, True), list("abcde"), "gradient", True)


def test_text_is_large_enough_and_on_the_page(small: Make, kept: list[Any], nowhere: Path) -> None:
    _all_kinds(small(), nowhere)
    assert len(kept) == 10
    for figure in kept:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        page = figure.bbox
        for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")):
            if not text.get_visible() or not text.get_text().strip():
                continue
            if text.axes is not None and not text.axes.get_visible():
                continue
            assert text.get_fontsize() >= style.SMALL, text
            box = text.get_window_extent(canvas.get_renderer())
            if text in _unused_ticks(figure):
                continue
            assert box.x0 >= page.x0 - 1, (figure, text)
            assert box.x1 <= page.x1 + 1, (figure, text)
            assert box.y0 >= page.y0 - 1, (figure, text)
            assert box.y1 <= page.y1 + 1, (figure, text)


def _unused_ticks(figure: Any) -> set[Any]:
    """Labels of ticks outside an axis's limits, and of axes switched off, which are not drawn."""
    found: set[Any] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not axes.axison or not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    found |= {tick.label1, tick.label2}
    return found


def test_text_of_boxes_is_inside_them_and_boxes_lie_apart(kept: list[Any], nowhere: Path) -> None:
    draw_architecture(nowhere, inference_graph(models.get("resnet18")), "resnet18")
    (figure,) = kept
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    patches = [p.get_window_extent() for p in axes.patches if hasattr(p, "get_boxstyle") and p.get_zorder() == 4]
    drawn = [p for p in patches if p.height > 20 * figure.dpi / 72 * 0.8]
    texts = [t.get_window_extent(canvas.get_renderer()) for t in axes.texts if t.get_zorder() == 5]
    assert len(drawn) >= 15
    assert len(texts) > 2 * len(drawn)
    for text in texts:
        holders = [p for p in drawn if p.x0 <= text.x0 and text.x1 <= p.x1 and p.y0 <= text.y0 and text.y1 <= p.y1]
        assert len(holders) == 1
    for i, a in enumerate(drawn):
        assert not any(a.overlaps(b) for b in drawn[:i])


# --- Boxes and blocks ---


def test_small_things_stand_in_the_box_of_what_they_belong_to() -> None:
    rng = np.random.default_rng(0)
    w = {
        "w": rng.random((4, 3, 3, 3), np.float32), "v": rng.random((4, 4, 1, 1), np.float32),
        **{n: np.ones(4, np.float32) for n in "sbmt"}, "three": np.asarray(3.0, np.float32),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "s", "b", "m", "t"], ["n"], "bn"),
        node("Sigmoid", ["n"], ["g"], "gate"),
        node("Mul", ["n", "g"], ["a"], "product"),
        node("Transpose", ["a"], ["a2"], "turn", perm=[0, 1, 3, 2]),
        node("Conv", ["a", "v"], ["d"], "inner"),
        node("Mul", ["d", "three"], ["d3"], "times"),
        node("Transpose", ["a2"], ["a3"], "back", perm=[0, 1, 3, 2]),
        node("Add", ["d3", "a3"], ["e"], "add"),
        node("Relu", ["e"], ["y"], "relu"),
    ]
    model = graph_of(nodes, w, (1, 3, 8, 8), (1, 4, 4, 4))
    found = boxes(model)
    assert [(b.title, b.behind) for b in found] == [
        ("Input", ""), ("Conv 3×3 / 2", "+ BatchNorm + SiLU"), ("Conv 1×1", "+ scale"), ("Add", "+ Relu"),
    ]  # fmt: skip
    assert [[found.index(s) for s in b.sources] for b in found] == [[], [0], [1], [2, 1]]
    assert [b.shape for b in found] == ["3×8×8", "4×4×4", "4×4×4", "4×4×4"]
    assert found[1].parameters == 4 * 27 + 8
    assert [len(b.boxes) for b in blocks(found)] == [1, 1, 2]


def test_what_others_read_too_keeps_its_activation_apart() -> None:
    w = {"w": np.ones((3, 3, 1, 1), np.float32)}
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Relu", ["c"], ["r"], "relu"),
        node("Add", ["c", "r"], ["y"], "add"),
    ]
    found = boxes(graph_of(nodes, w, (1, 3, 4, 4), (1, 3, 4, 4)))
    assert [b.title for b in found] == ["Input", "Conv 1×1", "Relu", "Add"]


def test_repeated_blocks_are_counted() -> None:
    found = boxes(inference_graph(models.get("resnet34")))
    cut = blocks(found)
    joined = repeated(cut)
    assert [b.count for b in joined if b.count > 1] == [3, 3, 5, 2]
    assert sum(len(b.boxes) * b.count for b in joined) == len(found) == sum(len(b.boxes) for b in cut)
    whole = models.get("resnet34").count_params()
    statistics = sum(b.parameters for b in joined)
    assert 0.99 * whole < statistics <= whole
    first = next(b for b in joined if b.count == 5)
    assert first.boxes[0].shape == "256×14×14"


def test_sizes_that_differ_are_a_range_and_groups_of_blocks_repeat() -> None:
    shapes = {f"w{i}": np.ones((8 + i, 8 if i == 0 else 7 + i, 3, 3), np.float32) for i in range(6)}
    nodes = []
    for i in range(6):
        nodes.append(node("Conv", ["x" if i == 0 else f"p{i - 1}", f"w{i}"], [f"c{i}"], f"conv{i}", pads=[1] * 4))
        nodes.append(node("MaxPool", [f"c{i}"], ["y" if i == 5 else f"p{i}"], f"pool{i}", kernel_shape=[1, 1]))
    (_, joined) = repeated(blocks(boxes(graph_of(nodes, shapes, (1, 8, 4, 4), (1, 13, 4, 4)))))
    assert (joined.count, joined.parts, len(joined.boxes)) == (6, 2, 2)
    assert joined.boxes[0].shape == "8…13×4×4"
    assert joined.parameters == sum(w.size for w in shapes.values())


def test_blocks_too_large_are_one_box() -> None:
    nodes = [node("Relu", ["x"], ["r0"], "r0")]
    nodes += [node("MaxPool", [f"r{i}"], [f"r{i + 1}"], f"m{i}", kernel_shape=[1, 1]) for i in range(90)]
    nodes.append(node("Add", ["r90", "r0"], ["y"], "add"))
    (*_, last) = blocks(boxes(graph_of(nodes, {}, (1, 3, 4, 4), (1, 3, 4, 4))))
    assert len(last.boxes) == 1
    assert last.boxes[0].title == "91 boxes"
    assert last.boxes[0].behind == "90 MaxPool, 1 Add"


# --- Layout ---


def test_isotonic_is_the_nearest_ordered_sequence() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, weights = rng.standard_normal(5), rng.random(5) + 0.1
        found = isotonic(values, weights)
        assert (np.diff(found) >= -1e-12).all()
        cost = (weights * (found - values) ** 2).sum()
        others = np.sort(found + 0.3 * rng.standard_normal((500, 5)), 1)
        assert cost <= (weights * (others - values) ** 2).sum(1).min() + 1e-12


def test_boxes_of_a_block_lie_apart_and_the_last_one_under_the_entry() -> None:
    sizes = [(60.0, 20.0), (30.0, 20.0), (80.0, 30.0), (50.0, 20.0), (40.0, 20.0)]
    placed = place(sizes, [[-1], [-1], [0], [1], [2, 3, -1]], (8.0, 15.0), 15.0)
    assert placed.centres[-1][0] == 0
    for i, ((x, y), (w, h)) in enumerate(zip(placed.centres, sizes, strict=True)):
        for (x2, y2), (w2, h2) in zip(placed.centres[:i], sizes[:i], strict=True):
            assert abs(x - x2) >= (w + w2) / 2 + 7.9 or abs(y - y2) >= (h + h2) / 2
    assert len(placed.paths[-1, 4]) == 4
    assert placed.left <= min(x - w / 2 for (x, _), (w, _) in zip(placed.centres, sizes, strict=True))


def test_long_models_are_broken_into_columns(kept: list[Any], nowhere: Path) -> None:
    draw_architecture(nowhere, inference_graph(models.get("mobilenet_v1")), "mobilenet_v1", expand=True)
    width, height = kept[0].get_size_inches()
    (axes,) = kept[0].axes
    firsts = [t for t in axes.texts if t.get_text().startswith("Conv")]
    assert len(firsts) == 27
    assert len({round(t.get_position()[0]) for t in firsts}) > 1
    assert max(width / 7, height / 9.5) < 1.4


# --- Files ---


def test_files_are_the_same_bytes_each_time(small: Make, tmp_path: Path) -> None:
    model = small()
    for suffix in (".png", ".svg"):
        for name in ("a", "b"):
            draw_architecture(tmp_path / f"{name}{suffix}", model, "a $model$ & <b>")
        first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    with pytest.raises(InvalidInput, match=r"suffix '\.gif'"):
        draw_architecture(tmp_path / "a.gif", model, "m")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]
