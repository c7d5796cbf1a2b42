"""Initial weights: Keras's distributions, and the same bits for the same seed and name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput
from striate.trainer import Input, Model, Sequential, initializers, layers, regularizers, seeding, set_seed
from striate.trainer.initializers import fans

I = initializers  # noqa: E741
SHAPE = (5, 5, 60, 80)
FAN_IN, FAN_OUT = 25 * 60, 25 * 80


def test_fans_count_what_a_kernel_sees() -> None:
    assert fans(SHAPE) == (FAN_IN, FAN_OUT)
    assert fans((7, 3)) == (7, 3)
    assert fans((7,)) == (7, 7)
    assert fans(()) == (1, 1)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("glorot_uniform", math.sqrt(6 / (FAN_IN + FAN_OUT))),
        ("he_uniform", math.sqrt(6 / FAN_IN)),
        ("lecun_uniform", math.sqrt(3 / FAN_IN)),
        ("random_uniform", 0.05),
        ("uniform", 0.05),
    ],
)
def test_uniform(name: str, limit: float) -> None:
    values = I.get(name)(SHAPE, name=name)
    assert values.dtype == np.float32
    assert values.shape == SHAPE
    assert 0.999 * limit < abs(values).max() <= limit
    assert values.mean() == pytest.approx(0, abs=0.01 * limit)
    assert values.std() == pytest.approx(limit / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    ("name", "stddev", "truncated"),
    [
        ("glorot_normal", math.sqrt(2 / (FAN_IN + FAN_OUT)), True),
        ("he_normal", math.sqrt(2 / FAN_IN), True),
        ("lecun_normal", math.sqrt(1 / FAN_IN), True),
        ("variance_scaling", math.sqrt(1 / FAN_IN), True),
        ("random_normal", 0.05, False),
        ("normal", 0.05, False),
        ("truncated_normal", 0.05 * 0.87962566, True),
    ],
)
def test_normal(name: str, stddev: float, truncated: bool) -> None:
    values = I.get(name)(SHAPE, name=name)
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=0.02 * stddev)
    assert values.std() == pytest.approx(stddev, rel=0.01)
    cut = 2 * stddev / 0.87962566
    assert abs(values).max() <= cut * 1.0001 if truncated else abs(values).max() > 3 * stddev


def test_variance_scaling() -> None:
    wide = I.VarianceScaling(3.0, "fan_out", "untruncated_normal")(SHAPE)
    assert wide.std() == pytest.approx(math.sqrt(3 / FAN_OUT), rel=0.01)
    even = I.VarianceScaling(3.0, "fan_avg", "uniform")(SHAPE)
    assert abs(even).max() <= math.sqrt(18 / (FAN_IN + FAN_OUT)) * 1.0001
    for wrong in ({"scale": 0}, {"mode": "fan"}, {"distribution": "normal"}):
        with pytest.raises(InvalidInput, match=f"VarianceScaling: {next(iter(wrong))}"):
            I.VarianceScaling(**wrong)


def test_fixed_values() -> None:
    np.testing.assert_array_equal(I.get("zeros")((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(I.get("ones")((2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(I.Constant(0.5)((2, 3)), np.full((2, 3), 0.5))
    np.testing.assert_array_equal(I.Identity(2.0)((2, 3)), 2 * np.eye(2, 3))
    with pytest.raises(InvalidInput, match="matrices only"):
        I.Identity()((2, 3, 4))


@pytest.mark.parametrize("shape", [(6, 6), (3, 3, 2, 7), (2, 9)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    values = I.Orthogonal(gain=2.0)(shape).reshape(-1, shape[-1])
    small = values @ values.T if values.shape[0] < values.shape[1] else values.T @ values
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)
    with pytest.raises(InvalidInput, match="at least 2 dimensions"):
        I.Orthogonal()((3,))


@pytest.mark.parametrize("name", sorted(I._TABLE))
def test_seed_and_name_decide(name: str) -> None:
    made = I.get(name)
    first = made((4, 4), seed=1, name="a/kernel")
    np.testing.assert_array_equal(first, I.get(name)((4, 4), seed=1, name="a/kernel"))
    if name not in ("zeros", "ones", "constant", "identity"):
        assert (first != made((4, 4), seed=2, name="a/kernel")).any()
        assert (first != made((4, 4), seed=1, name="b/kernel")).any()
    assert I.get(I.serialize(made)) == made


def test_an_initializer_with_a_seed_of_its_own_ignores_the_name() -> None:
    made = I.GlorotUniform(seed=5)
    np.testing.assert_array_equal(made((3, 3), seed=1, name="a"), made((3, 3), seed=2, name="b"))


@pytest.mark.parametrize("identifier", ["HeNormal", I.HeNormal, {"class_name": "HeNormal", "config": {"seed": None}}])
def test_get(identifier: Any) -> None:
    assert I.get(identifier) == I.HeNormal()


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("he", "initializer 'he' is unknown; expected one of: zeros, ones"),
        (3, "initializer 3 does not fit"),
        ({"class_name": "HeNormal", "config": {"sead": 1}}, "initializer 'HeNormal' does not take these arguments"),
        ({"class_name": 3}, "does not fit; expected"),
    ],
)
def test_get_refuses(identifier: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        I.get(identifier)


def test_functions_of_the_user() -> None:
    model = Sequential([Input((3,)), layers.Dense(2, kernel_initializer=lambda shape: np.arange(6).reshape(shape))])
    np.testing.assert_array_equal(model.get_weights()[0], np.arange(6).reshape(3, 2))
    with pytest.raises(InvalidInput, match=r"made shape \(2,\), expected \(3, 3\)"):
        I.get(lambda shape: np.zeros(2))((3, 3))
    with pytest.raises(InvalidInput, match="cannot be saved"):
        model.get_config()


def weights(model: Model) -> list[np.ndarray]:
    return model.get_weights()


def network(seed: int | None = None) -> Sequential:
    return Sequential([Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)], seed=seed)


def test_the_same_seed_gives_the_same_weights_in_any_order() -> None:
    first, second = network(seed=3), network(seed=3)
    later = [p.value for p in reversed(second.parameters)]
    for a, b in zip((p.value for p in first.parameters), reversed(later), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (weights(network(seed=4))[0] != weights(first)[0]).any()


def test_the_global_seed_is_read_when_a_model_is_made() -> None:
    before = seeding.get_seed()
    try:
        set_seed(11)
        model = network()
        set_seed(12)
        np.testing.assert_array_equal(weights(model)[0], weights(network(seed=11))[0])
        np.testing.assert_array_equal(weights(network())[0], weights(network(seed=12))[0])
    finally:
        set_seed(before)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 1 << 63])
def test_seeds_that_do_not_fit(seed: Any) -> None:
    with pytest.raises(InvalidInput, match=r"seed .* does not fit"):
        set_seed(seed)
    with pytest.raises(InvalidInput, match=r"seed .* does not fit"):
        Sequential(seed=seed)


@pytest.mark.parametrize("identifier", ["l1", "l2", "l1_l2", regularizers.L2(0.3), regularizers.l1_l2(0.1, 0.2)])
def test_regularizers_round_trip(identifier: Any) -> None:
    made = regularizers.get(identifier)
    assert regularizers.get(regularizers.serialize(made)) == made


def test_regularizers_refuse() -> None:
    assert regularizers.get(None) is None
    assert regularizers.serialize(None) is None
    with pytest.raises(InvalidInput, match="regularizer 'l3' is unknown"):
        regularizers.get("l3")
    with pytest.raises(InvalidInput, match=r"regularizer 0\.1 does not fit"):
        regularizers.get(0.1)
