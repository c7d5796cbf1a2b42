"""Random tests on inputs large enough to measure probabilities, and that `check_draws` refuses wrong draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from striate.runtime import backend

from .draws import check_draws, distribution, ones
from .suites import RANDOM, BackendCase, all_tests

N = 20_000
SIGMAS = 6
LEVELS = np.linspace(0, 1, 11)

TESTS = [test for test in all_tests("node") if test.name in RANDOM]
every_random_test = pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)


def _large(test: BackendCase) -> tuple[onnx.ModelProto, list[Any]]:
    """The test's model for N elements for each of the levels; Bernoulli's input is the level."""
    model, inputs = test.model, next(test.data_sets())[0]
    shape = (len(LEVELS), N) if inputs[0].ndim == 1 else (len(LEVELS), 100, N // 100)
    for value in (model.graph.input[0], *model.graph.output):
        value.type.CopyFrom(onnx.helper.make_tensor_type_proto(value.type.tensor_type.elem_type, shape))
    x = np.broadcast_to(LEVELS.reshape((-1,) + (1,) * (len(shape) - 1)), shape).astype(inputs[0].dtype)
    return model, [x if _is_bernoulli(test) else np.ones_like(x), *inputs[1:]]


def _is_bernoulli(test: BackendCase) -> bool:
    return "bernoulli" in test.name


def _drawn(test: BackendCase) -> np.ndarray:
    """levels × N, true where a one was drawn or an element kept."""
    model, inputs = _large(test)
    return np.asarray(backend.prepare(model, "CPU").run(inputs)[0]).reshape(len(LEVELS), N) != 0


@every_random_test
def test_rates(test: BackendCase) -> None:
    model, inputs = _large(test)
    p = ones(model, LEVELS) if _is_bernoulli(test) else np.full(len(LEVELS), 1 - float(inputs[1]))
    off = np.abs(_drawn(test).mean(axis=1) - p)
    assert (off <= SIGMAS * np.sqrt(p * (1 - p) / N)).all()


@every_random_test
def test_neighbours_are_independent(test: BackendCase) -> None:
    for row in _drawn(test)[1:-1]:
        assert abs(np.corrcoef(row[1:], row[:-1])[0, 1]) < SIGMAS / np.sqrt(N)


@every_random_test
def test_a_seed_repeats(test: BackendCase) -> None:
    seeded = any(attribute.name == "seed" for node in test.model.graph.node for attribute in node.attribute)
    assert np.array_equal(_drawn(test), _drawn(test)) == seeded


@pytest.mark.parametrize(
    "change",
    [
        lambda y: [np.full_like(y, 0.5)],
        lambda y: [y.astype(np.float16)],
        lambda y: [y[:-1]],
        lambda y: [np.zeros_like(y)],
    ],
    ids=["between", "dtype", "shape", "no ones"],
)
def test_wrong_bernoulli_is_refused(change: Any) -> None:
    test = next(test for test in TESTS if test.name == "test_bernoulli_seed")
    model, p = test.model, np.full(40, 0.5, np.float32)
    y = (np.arange(40) % 2).astype(np.float32)
    check_draws(model, [p], [y], [y])
    with pytest.raises(AssertionError):
        check_draws(model, [p], change(y), [y])


@pytest.mark.parametrize(
    "change",
    [
        lambda y, mask: [y, ~mask],
        lambda y, mask: [y * 4, mask],
        lambda y, mask: [np.zeros_like(y), np.zeros_like(mask)],
        lambda y, mask: [y, mask.astype(np.uint8)],
    ],
    ids=["mask", "scale", "rate", "dtype"],
)
def test_wrong_dropout_is_refused(change: Any) -> None:
    test = next(test for test in TESTS if test.name == "test_training_dropout_default_mask")
    inputs, right = next(test.data_sets())
    check_draws(test.model, inputs, right, right)
    with pytest.raises(AssertionError):
        check_draws(test.model, inputs, change(*right), right)


def test_distribution() -> None:
    np.testing.assert_allclose(distribution(np.array([0.5, 0.5])), [0.25, 0.5, 0.25])
    np.testing.assert_allclose(distribution(np.array([0.25, 1.0])), [0, 0.75, 0.25])
