"""The generator: published test vectors, independence of shape and device, and the distributions drawn from it."""

from __future__ import annotations

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from striate.runtime import random
from striate.runtime.builder import Builder
from striate.runtime.ops import lookup

from .ops.strict import strict

KNOWN = [
    # Random123's vectors for philox4x32-10: counter, key, result
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
COUNT = 200_000


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    assert random.philox(np, words(counter), words(key)).tolist() == [words(result)]


def test_known_answers_side_by_side():
    counters = np.array([words(counter) for counter, key, _ in KNOWN if key == KNOWN[0][1]] + [[1, 0, 0, 0]], np.uint64)
    got = random.philox(np, list(counters.T), (0, 0))
    assert got[0].tolist() == words(KNOWN[0][2])
    assert got[1].tolist() == random.bits(np, 0, 0, (2, 4))[1].tolist()


def test_position_of_seed_and_stream_in_the_block():
    seed, stream = 0x299F31D0_A4093822, 0x03707344_13198A2E
    want = random.philox(np, (0, 0, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))
    assert random.bits(np, seed, stream, 4).tolist() == want[0].tolist()


@pytest.mark.parametrize("draw", [random.bits, random.uniform, random.normal], ids=lambda draw: draw.__name__)
def test_element_depends_on_its_position_alone(draw, monkeypatch):
    """Not on how many others are drawn, the shape, or how the work is split."""
    whole = draw(np, 5, 9, 1000)
    for count in (0, 1, 3, 5, 998, 999):
        np.testing.assert_array_equal(draw(np, 5, 9, count), whole[:count])
    np.testing.assert_array_equal(draw(np, 5, 9, (10, 25, 4)), whole.reshape(10, 25, 4))
    monkeypatch.setattr(random, "_BLOCKS_IN_CACHE", 7)
    np.testing.assert_array_equal(draw(np, 5, 9, 1000), whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", [random.uniform, random.normal], ids=lambda draw: draw.__name__)
def test_same_bits_on_a_device(draw, dtype):
    np.testing.assert_array_equal(draw(strict, 5, 9, (3, 7), dtype).get(), draw(np, 5, 9, (3, 7), dtype))


def test_scalar_shape():
    assert random.uniform(np, 1, 2, ()).shape == ()
    assert random.normal(np, 1, 2, (), np.float64).shape == ()


def test_seeds_and_streams_differ():
    drawn = [
        random.bits(np, s, t, 8).tobytes() for s in (0, 1, 1 << 40, -1) for t in (0, 1, 1 << 40, "0", "data", "loss")
    ]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_uniform(dtype):
    drawn = random.uniform(np, 1, 2, COUNT, dtype)
    assert drawn.dtype == dtype
    wide = drawn.astype(np.float64)
    assert wide.min() >= 0
    assert wide.max() < 1
    step = 2.0 ** -{2: 8 if dtype is ml_dtypes.bfloat16 else 11, 4: 24, 8: 53}[drawn.dtype.itemsize]
    assert abs(wide.mean() + step / 2 - 0.5) < 0.003
    assert abs(wide.var() - 1 / 12) < 0.001
    counts = np.bincount((wide * 16).astype(int), minlength=16)
    assert ((counts - COUNT / 16) ** 2 / (COUNT / 16)).sum() < 45  # chi squared, 15 degrees of freedom: p ≈ 1e-4


def test_uniform_refuses_integers():
    with pytest.raises(ValueError, match="int32"):
        random.uniform(np, 1, 2, 3, np.int32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normal(dtype):
    drawn = random.normal(np, 1, 2, COUNT + 1, dtype)
    assert drawn.dtype == dtype
    wide = drawn.astype(np.float64)
    assert np.isfinite(wide).all()
    assert abs(wide.mean()) < 0.01
    assert abs(wide.var() - 1) < 0.015
    assert abs((wide**3).mean()) < 0.03
    assert abs((wide**4).mean() - 3) < 0.1
    assert abs((wide[:-1:2] * wide[1::2]).mean()) < 0.015
    assert abs((np.abs(wide) > 1.959964).mean() - 0.05) < 0.003


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutation(n):
    drawn = random.permutation(1, "order", n)
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(n))
    np.testing.assert_array_equal(drawn, random.permutation(1, "order", n))
    if n > 2:
        assert drawn.tolist() != random.permutation(1, "other", n).tolist()
        assert drawn.tolist() != random.permutation(2, "order", n).tolist()


def test_all_permutations_are_equally_likely():
    seen = np.zeros((3, 3, 3), int)
    for stream in range(3000):
        seen[tuple(random.permutation(1, stream, 3))] += 1
    counts = seen[seen > 0]
    assert len(counts) == 6
    assert ((counts - 500) ** 2 / 500).sum() < 26  # chi squared, 5 degrees of freedom: p ≈ 1e-4


def test_derive_tells_names_apart():
    names = [(), ("a",), ("ab",), ("a", "b"), ("", "ab"), ("1",), (1,), (1, 1), (11,), ("é",)]
    derived = [random.derive(seed, *name) for seed in (0, 1, 1 << 63) for name in names]
    assert len(set(derived)) == len(derived)
    assert all(0 <= seed < 1 << 63 for seed in derived)


def test_derive_is_the_same_in_every_process():
    code = "from striate.runtime.random import derive; print(derive(7, 'dropout', 3))"
    got = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(got) == random.derive(7, "dropout", 3)


# ------------------------------------------------------------------------------------------------- operators that draw


def kernel(name, version, *inputs, **attributes):
    operator = lookup("" if name != "Uniform" else "striate.grad", name, version)
    return operator(np, *inputs, **operator.bind(attributes))


WITHOUT_SEED = [
    ("RandomUniform", 22, (), {"shape": (50,)}),
    ("RandomUniformLike", 22, (np.zeros(50),), {}),
    ("RandomNormal", 22, (), {"shape": (50,)}),
    ("RandomNormalLike", 22, (np.zeros(50),), {}),
    ("Bernoulli", 22, (np.full(50, 0.5),), {}),
    ("Multinomial", 22, (np.zeros((1, 9)),), {"sample_size": 50}),
    ("Dropout", 22, (np.ones(50), np.array(0.5), np.array(True)), {}),
    ("Dropout", 6, (np.ones(50),), {}),
]


@pytest.mark.parametrize(("name", "version", "inputs", "attributes"), WITHOUT_SEED, ids=lambda x: str(x)[:16])
def test_new_values_in_every_run_unless_there_is_a_seed(name, version, inputs, attributes):
    first, second = (kernel(name, version, *inputs, **attributes) for _ in range(2))
    assert not np.array_equal(first, second)
    if version > 6:
        first, second = (kernel(name, version, *inputs, seed=1, **attributes) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_bernoulli():
    p = np.repeat([0.0, 0.3, 1.0], 20000).astype(np.float32)
    drawn = kernel("Bernoulli", 15, p, dtype=7, seed=1.0)
    assert drawn.dtype == np.int64
    means = drawn.reshape(3, -1).mean(1)
    assert means[[0, 2]].tolist() == [0, 1]
    assert abs(means[1] - 0.3) < 0.015


@pytest.mark.parametrize("rows", [1, 3])
def test_multinomial(rows):
    p = np.array([[0.5, 0.0, 0.2, 0.3, 0.0]])
    with np.errstate(divide="ignore"):
        scores = np.log(p).repeat(rows, 0) + 5 * np.arange(rows)[:, None]
    drawn = kernel("Multinomial", 7, scores, sample_size=20000, seed=1.0, dtype=7)
    assert drawn.shape == (rows, 20000)
    for row in drawn:
        np.testing.assert_allclose(np.bincount(row, minlength=5) / 20000, p[0], atol=0.015)


def test_dropout():
    data = np.ones(20000, np.float32)
    output = kernel("Dropout", 13, data, np.float32(0.2), np.array(True), seed=3)
    assert set(np.unique(output).tolist()) == {0.0, 1.25}
    assert abs((output == 0).mean() - 0.2) < 0.015


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 2.0, np.nan])
def test_dropout_refuses_other_ratios(ratio):
    with pytest.raises(ValueError, match="ratio"):
        kernel("Dropout", 13, np.ones(3, np.float32), np.array(ratio), np.array(True))


def test_uniform_operator_draws_anew_in_each_step():
    shape = np.array([4, 5])
    first, again, second = (kernel("Uniform", 1, shape, np.array(step), seed=7) for step in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, kernel("Uniform", 1, shape, np.array(1), seed=8))
    assert kernel("Uniform", 1, shape, np.array(1), seed=7, dtype=11).dtype == np.float64


def test_uniform_operator_knows_the_shape_of_what_it_is_shaped_by():
    """Gradients need spatial dimensions even where the batch size is open."""
    import onnx_ir as ir

    x = ir.Value(name="x", shape=ir.Shape(["N", 3, 4]), type=ir.TensorType(ir.DataType.FLOAT))
    step = ir.Value(name="step", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
    g = Builder(ir.Graph([x, step], [], nodes=[], opset_imports={"": 21}))
    drawn = g.Uniform(g.shape_of(x), step, seed=1, dtype=11)
    assert drawn.dtype == ir.DataType.DOUBLE
    assert [d if isinstance(d, int) else d.value for d in drawn.shape] == ["N", 3, 4]
    assert tuple(g.Uniform([2, 3], step, seed=1).shape) == (2, 3)
