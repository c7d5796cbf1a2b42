"""Every architecture: parameters as published, MACs as documented, shapes, and the same outputs as onnxruntime."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from striate import models
from striate.exporter import exported
from striate.models.published import PUBLISHED
from striate.runtime import InferenceSession, cost
from striate.runtime.errors import InvalidInput
from striate.trainer import Model, layers

FEATURES = {
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "googlenet": 1024,
    "inception_v2": 1024,
    "inception_v3": 2048,
    "mobilenet_v1": 1024,
    "mobilenet_v2": 1280,
    "mobilenet_v3_large": 1280,
    "mobilenet_v3_small": 1024,
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "shufflenet_v1": 960,
    "shufflenet_v2": 1024,
    "squeezenet": 512,
    "unet": 64,
    "vgg11": 4096,
    "vgg16": 4096,
    "vgg19": 4096,
    "zfnet": 4096,
}
"""What a class is decided from: each class more or less is so many weights, and a bias."""

VARIANTS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("alexnet", {"input_shape": (67, 67, 3)}, 60_965_224 - (9216 - 256) * 4096),
    ("zfnet", {"input_shape": (224, 224, 1)}, 62_357_608 - 2 * 49 * 96),
    ("vgg11", {"input_shape": (32, 32, 3)}, 132_863_336 - (49 - 1) * 512 * 4096),
    ("vgg16", {"input_shape": (64, 32, 3)}, 138_357_544 - (49 - 2) * 512 * 4096),
    ("vgg19", {"input_shape": (32, 32, 1)}, 143_667_240 - (49 - 1) * 512 * 4096 - 2 * 9 * 64),
    ("googlenet", {"auxiliary": True}, 13_378_280),
    ("inception_v3", {"auxiliary": True}, 27_161_264),
    ("squeezenet", {"version": "1.1"}, 1_235_496),
    ("shufflenet_v1", {"groups": 1}, 1_531_936),
    ("shufflenet_v1", {"groups": 2}, 1_733_848),
    ("shufflenet_v1", {"groups": 4}, 1_968_344),
    ("shufflenet_v1", {"groups": 8}, 2_434_768),
    ("unet", {"input_shape": (188, 188, 3)}, 31_030_658 + 2 * 9 * 64),
)
"""Trainable parameters with other arguments: published ones, or the difference by hand."""

LAYERS = {
    "alexnet": (8, 0, 0, 0, 0),
    "convnext_tiny": (4 + 18 * 3 + 1, 18, 0, 0, 0),
    "densenet121": (121, 0, 58, 0, 0),
    "efficientnet_b0": (2 + 15 + 16 * 4 + 1, 9, 0, 16, 0),
    "googlenet": (3 + 9 * 6 + 1, 0, 9, 0, 0),
    "inception_v2": (3 + 8 * 7 + 2 * 5 + 1, 0, 10, 0, 0),
    "inception_v3": (5 + 3 * 7 + 4 + 4 * 10 + 6 + 2 * 9 + 1, 0, 11, 0, 0),
    "mobilenet_v1": (28, 0, 0, 0, 0),
    "mobilenet_v2": (53, 10, 0, 0, 0),
    "mobilenet_v3_large": (2 + 14 + 15 * 2 + 8 * 2 + 2, 10, 0, 8, 0),
    "mobilenet_v3_small": (2 + 10 + 11 * 2 + 9 * 2 + 2, 6, 0, 9, 0),
    "resnet18": (18 + 3, 8, 0, 0, 0),
    "resnet34": (34 + 3, 16, 0, 0, 0),
    "resnet50": (50 + 4, 16, 0, 0, 0),
    "shufflenet_v1": (50, 13, 3, 0, 16),
    "shufflenet_v2": (2 + 3 * 5 + 13 * 3 + 1, 0, 16, 0, 16),
    "squeezenet": (2 + 8 * 3, 0, 8, 0, 0),
    "unet": (23, 0, 4, 0, 0),
    "vgg11": (11, 0, 0, 0, 0),
    "vgg16": (16, 0, 0, 0, 0),
    "vgg19": (19, 0, 0, 0, 0),
    "zfnet": (8, 0, 0, 0, 0),
}
"""Convolutions and dense layers, additions, concatenations, gates, shuffles, counted in the papers' tables."""

SMALL = dict.fromkeys(FEATURES, 32) | {"alexnet": 67, "zfnet": 53, "inception_v3": 75, "squeezenet": 51, "unet": 188}
"""Sides of images: small ones that fit and leave something to compare."""


def _trainable(model: Model) -> int:
    return sum(w.size for w in model.trainable_weights)


def _small(name: str, **kwargs: Any) -> Model:
    side, channels = SMALL[name], 1 if name == "unet" else 3
    return models.get(name, num_classes=5, input_shape=(side, side, channels), **kwargs)


@cache
def _default(name: str) -> Model:
    return models.get(name)


def _column_sums(text: str) -> list[int]:
    """The sum of each column of the table in a docstring; cells are numbers, `count: number`, or do not count."""
    rows = [line.strip()[1:-1].split("|") for line in text.splitlines() if line.lstrip().startswith("|")]
    cells = [[re.fullmatch(r"(?:.*:)?\s*([\d,]+)\s*", cell) for cell in column] for column in zip(*rows, strict=True)]
    return [sum(int(found[1].replace(",", "")) for found in column if found) for column in cells]


def test_every_name_has_a_row() -> None:
    assert set(models.names()) == set(PUBLISHED)
    assert all(getattr(models, name).__name__ == name for name in models.names())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_as_published(name: str) -> None:
    model = _default(name)
    assert (_trainable(model), sum(w.size for w in model.non_trainable_weights)) == PUBLISHED[name][:2]


@pytest.mark.parametrize("name", FEATURES)
def test_other_numbers_of_classes(name: str) -> None:
    default = 2 if name == "unet" else 1000
    model = models.get(name, num_classes=7)
    assert _trainable(model) == PUBLISHED[name].trainable + (7 - default) * (FEATURES[name] + 1)
    assert model.name == name
    assert model.output_shape == ((None, 388, 388, 7) if name == "unet" else (None, 7))


@pytest.mark.parametrize("name", FEATURES)
def test_layers_of_each_kind(name: str) -> None:
    weighted = (layers.Conv2D, layers.Conv2DTranspose, layers.Dense)
    kinds = (weighted, layers.Add, layers.Concatenate, layers.Multiply, layers.ChannelShuffle)
    found = tuple(sum(isinstance(layer, kind) for layer in _default(name).layers) for kind in kinds)
    assert found == LAYERS[name]


@pytest.mark.parametrize(("name", "arguments", "expected"), VARIANTS)
def test_parameters_with_other_arguments(name: str, arguments: dict[str, Any], expected: int) -> None:
    assert _trainable(models.get(name, **arguments)) == expected


@pytest.mark.parametrize("name", FEATURES)
def test_docstrings_hold_what_is_built(name: str) -> None:
    """Parameters, statistics and MACs, and a table whose rows add up."""
    model = _default(name)
    macs = cost.analyse(ir.Model(model.graph().clone(), ir_version=10), batch=1).macs
    text = str(getattr(models, name).__doc__)
    for number in (macs, *filter(None, PUBLISHED[name][:2])):
        assert f"{number:,}" in text
    elsewhere = re.search(r"See `(\w+)`", text)
    table = str(getattr(models, elsewhere[1]).__doc__) if elsewhere else text
    assert PUBLISHED[name].trainable in _column_sums(table)


@pytest.mark.parametrize("name", FEATURES)
def test_the_same_outputs_as_onnxruntime(name: str) -> None:
    """On logits: probabilities of an untrained network are all alike."""
    model = _small(name, classifier_activation=None)
    data = ir.to_proto(exported(model)).SerializeToString()
    onnx.checker.check_model(data, full_check=True)
    ((input_name, shape, _),) = model.input_specs
    batch = 1 if name == "unet" else 2
    x = np.random.default_rng(0).standard_normal((batch, *shape[1:])).astype(np.float32)  # type: ignore[arg-type]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    peer = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (theirs,) = peer.run(None, {input_name: x})
    (ours,) = InferenceSession(data).run(None, {input_name: x})
    assert ours.shape == ((1, 4, 4, 5) if name == "unet" else (2, 5))
    assert np.ptp(theirs) > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * np.ptp(theirs)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet", "resnet18", "mobilenet_v1", "shufflenet_v2"])
def test_training_changes_all_weights(name: str) -> None:
    model = _small(name)
    before = [w.value.copy() for w in model.parameters]
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(1).standard_normal((4, *model.inputs[0].shape[1:])).astype(np.float32)  # type: ignore[arg-type]
    history = model.fit(x, np.arange(4), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all((w.value != old).any() for w, old in zip(model.parameters, before, strict=True))
    probabilities = model.predict(x)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "convnext_tiny", "efficientnet_b0", "googlenet", "shufflenet_v2", "unet"])
def test_configurations_make_the_same_network(name: str) -> None:
    """Every layer and initializer in use can be written down."""
    model = _small(name)
    again = Model.from_config(model.get_config())
    assert [(w.name, w.shape, w.trainable) for w in again.parameters] == [
        (w.name, w.shape, w.trainable) for w in model.parameters
    ]
    assert again.output_shape == model.output_shape


def test_side_classifiers_are_outputs() -> None:
    model = models.googlenet(num_classes=3, input_shape=(65, 65, 3), auxiliary=True)
    assert model.output_names == ["predictions", "auxiliary_4a", "auxiliary_4d"]
    assert model.output_shape == [(None, 3)] * 3
    assert models.inception_v3(auxiliary=True).output_names == ["predictions", "auxiliary"]


def test_unet_with_padding_keeps_the_size() -> None:
    model = models.unet(num_classes=4, input_shape=(48, 32, 3), padding="same")
    assert model.output_shape == (None, 48, 32, 4)
    assert _trainable(model) == 31_030_658 + 2 * 9 * 64 + 2 * 65


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("squeezenet", {"version": "2.0"}, r"version is '2\.0', expected '1\.0' or '1\.1'"),
        ("shufflenet_v1", {"groups": 5}, "groups is 5, expected one of 1, 2, 3, 4, 8"),
        ("unet", {"input_shape": (200, 200, 1)}, r"input shape \(200, 200, 1\) leads to 43×43 maps"),
        ("vgg16", {"input_shape": (16, 16, 3)}, "larger than its input 1×1"),
        ("alexnet", {"input_shape": (63, 63, 3)}, "larger than its input"),
        ("resnet18", {"num_classes": 0}, "'predictions'.*expected an integer of at least 1"),
        ("convnext_tiny", {"input_shape": (64, 3)}, "expected 4 dimensions"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        models.get(name, **arguments)
