"""Building models: names, connections, graphs, summaries."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from striate.runtime.errors import InvalidInput
from striate.trainer import Input, Model, Sequential, layers
from striate.trainer.architecture import model_from_config, serialize

from .reference import outputs

L = layers
LENET = [
    ("conv2d (Conv2D)", "(None, 28, 28, 6)", "156"),
    ("average_pooling2d (AveragePooling2D)", "(None, 14, 14, 6)", "0"),
    ("conv2d_1 (Conv2D)", "(None, 10, 10, 16)", "2,416"),
    ("average_pooling2d_1 (AveragePooling2D)", "(None, 5, 5, 16)", "0"),
    ("flatten (Flatten)", "(None, 400)", "0"),
    ("dense (Dense)", "(None, 120)", "48,120"),
    ("dense_1 (Dense)", "(None, 84)", "10,164"),
    ("dense_2 (Dense)", "(None, 10)", "850"),
]


def lenet() -> Sequential:
    model = Sequential()
    model.add(L.Conv2D(filters=6, kernel_size=(5, 5), activation="relu", input_shape=(32, 32, 1)))
    model.add(L.AveragePooling2D())
    model.add(L.Conv2D(filters=16, kernel_size=(5, 5), activation="relu"))
    model.add(L.AveragePooling2D())
    model.add(L.Flatten())
    model.add(L.Dense(units=120, activation="relu"))
    model.add(L.Dense(units=84, activation="relu"))
    model.add(L.Dense(units=10, activation="softmax"))
    return model


def residual(**names: str) -> Model:
    x = Input((8, 8, 3))
    y = L.Conv2D(4, 3, padding="same")(x)
    z = L.BatchNormalization()(y)
    z = L.Add()([y, L.ReLU()(z)])
    return Model(x, L.Dense(2, **names)(L.GlobalAveragePooling2D()(z)))


def summary(model: Model, **arguments: Any) -> str:
    texts: list[str] = []
    model.summary(print_fn=texts.append, **arguments)
    return texts[0]


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_summary_is_the_lecture_s_on_every_fresh_model(attempt: int, capsys: pytest.CaptureFixture[str]) -> None:
    lenet().summary()
    printed = capsys.readouterr().out
    lines = [tuple(part.strip() for part in line.split("  ") if part.strip()) for line in printed.splitlines()]
    assert lines[0] == ('Model: "sequential"',)
    assert lines[1] == ("Layer (type)", "Output Shape", "Param #")
    assert lines[3:11] == LENET
    assert [line.strip() for line in printed.splitlines()[11:]] == [
        "Total params: 61,706 (241.04 KB)",
        "Trainable params: 61,706 (241.04 KB)",
        "Non-trainable params: 0 (0.00 B)",
    ]
    assert printed.isascii()


def test_a_functional_summary_shows_connections() -> None:
    model = residual()
    text = summary(model, show_trainable=True)
    assert "Connected to" in text
    add = next(line for line in text.splitlines() if "(Add)" in line)
    assert "conv2d, re_lu" in add
    assert "Non-trainable params: 8 (32.00 B)" in text
    model.trainable = False
    assert "Trainable params: 0 (0.00 B)" in summary(model)
    assert max(map(len, summary(model, line_length=60).splitlines())) <= 60


def test_the_summary_of_a_model_without_input_shape() -> None:
    text = summary(Sequential([L.Dense(3)]))
    assert "dense (Dense)" in text
    assert "0 (unbuilt)" in text


def test_names_are_given_once_and_explicit_ones_are_kept() -> None:
    model = Sequential(
        [Input((9, 9, 1), name="image"), L.Conv2D(2, 3), L.Conv2D(2, 3, name="conv2d_1"), L.Conv2D(2, 3)]
    )
    assert [model.name_of(layer) for layer in model.layers] == ["conv2d", "conv2d_1", "conv2d_2"]
    assert [layer.name for layer in model.layers] == ["conv2d", "conv2d_1", "conv2d_2"]
    assert model.input_names == ["image"]
    assert model.output_names == ["conv2d_2"]
    assert [p.name for p in model.parameters][:2] == ["conv2d/kernel", "conv2d/bias"]


def test_explicit_names_must_differ() -> None:
    with pytest.raises(InvalidInput, match="model 'sequential': two layers are called 'a' \\(Dense and Flatten\\)"):
        Sequential([Input((3,)), L.Dense(2, name="a"), L.Flatten(name="a")])
    x = Input((3,))
    with pytest.raises(InvalidInput, match="two layers are called 'a'"):
        Model(x, L.Dense(2, name="a")(L.Dense(2, name="a")(x)))


def test_models_whose_own_names_meet_can_be_joined() -> None:
    first, second = residual(), residual()
    x = Input((8, 8, 3))
    both = Model(x, L.Concatenate()([first(x), second(x)]))
    names = [p.name for p in both.parameters]
    assert len(set(names)) == len(names) == 16
    assert {"conv2d/kernel", "conv2d_1/kernel"} <= set(names)
    assert second.parameters[0].name == "conv2d/kernel"
    image = sample(2, 8, 8, 3)
    for renamed in both.parameters:
        renamed.value = renamed.value + 0.25
    expected = np.concatenate([outputs(first, image)[0], outputs(second, image)[0]], axis=1)
    np.testing.assert_allclose(outputs(both, image)[0], expected, rtol=1e-6)
    again = Model.from_config(both.get_config())
    assert [p.name for p in again.parameters] == names


def test_a_layer_called_twice_has_one_set_of_weights() -> None:
    a, b = Input((4,), name="a"), Input((4,), name="b")
    shared = L.Dense(3, use_bias=False)
    model = Model([a, b], L.Subtract()([shared(a), shared(b)]))
    assert model.count_params() == 12
    x, y = sample(2, 4), sample(2, 4) + 1
    np.testing.assert_allclose(outputs(model, x, y)[0], (x - y) @ model.get_weights()[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(InvalidInput, match=r"layer 'dense' .* was called 2 times"):
        _ = shared.output
    assert Model.from_config(model.get_config()).get_config() == model.get_config()


def test_several_outputs_one_of_them_twice_and_one_an_input() -> None:
    x = Input((3,), name="x")
    y = L.Dense(2)(x)
    model = Model(x, [y, y, x])
    names = model.output_names
    assert len(set(names)) == 3
    assert names[0] == "dense"
    assert model.output_specs == list(zip(names, [(None, 2), (None, 2), (None, 3)], strict=True))
    onnx.checker.check_model(ir.to_proto(model.to_ir()), full_check=True)
    value = sample(2, 3)
    first, second, third = outputs(model, value)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(third, value)


def test_a_model_may_begin_and_end_in_the_middle_of_another() -> None:
    whole = residual()
    head = Model(whole.input, whole.get_layer("conv2d").output)
    tail = Model(whole.get_layer("conv2d").output, whole.output)
    assert head.output_shape == tail.input_shape == (None, 8, 8, 4)
    image = sample(2, 8, 8, 3)
    (middle,) = outputs(head, image)
    np.testing.assert_allclose(outputs(tail, middle)[0], outputs(whole, image)[0], rtol=1e-5, atol=1e-6)
    assert Model.from_config(tail.get_config()).input_shape == (None, 8, 8, 4)


def test_models_inside_sequentials() -> None:
    base = residual()
    chain = Sequential([base, Sequential([L.Dense(5), L.ReLU()]), L.Dense(1)])
    assert chain.output_shape == (None, 1)
    assert [chain.name_of(layer) for layer in chain.layers][-3:] == ["dense_1", "re_lu_1", "dense_2"]
    restored = model_from_config(json.loads(json.dumps(serialize(chain))))
    assert [p.name for p in restored.parameters] == [p.name for p in chain.parameters]
    restored.set_weights(chain.get_weights())
    image = sample(2, 8, 8, 3)
    np.testing.assert_array_equal(outputs(chain, image)[0], outputs(restored, image)[0])


def test_inputs_are_where_a_model_begins() -> None:
    a, b = Input((3,)), Input((3,))
    with pytest.raises(InvalidInput, match=r"an output needs .* which is not among the model's inputs"):
        Model(a, L.Add()([a, b]))
    with pytest.raises(InvalidInput, match="the same tensor is listed twice"):
        Model([a, a], L.Dense(1)(a))
    with pytest.raises(InvalidInput, match="outputs must be tensors"):
        Model(a, L.Dense(1))
    with pytest.raises(InvalidInput, match="was called on 2 tensors, it has 1 inputs"):
        Model(a, L.Dense(1)(a))([a, b])


def test_a_sequential_waits_for_its_input_shape() -> None:
    model = Sequential([L.Conv2D(2, 3), L.Flatten(), L.Dense(3)])
    assert not model.built
    assert [layer.name for layer in model.layers] == ["conv2d", "flatten", "dense"]
    with pytest.raises(InvalidInput, match="model 'sequential' is not built: its input shape is not known"):
        model.graph()
    with pytest.raises(InvalidInput, match="kernel 3×3 is larger"):
        model.build((None, 2, 2, 1))
    assert not model.built
    assert model.parameters == []
    model.build((64, 5, 5, 1))
    assert model.built
    assert model.input_shape == (None, 5, 5, 1)
    assert model.output_shape == (None, 3)
    model.build((None, 9, 9, 1))
    assert model.input_shape == (None, 5, 5, 1)
    same = Sequential([Input((5, 5, 1)), L.Conv2D(2, 3), L.Flatten(), L.Dense(3)])
    for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_embedding_first_takes_integers() -> None:
    model = Sequential([L.Embedding(5, 2)])
    model.build((None, 3))
    assert model.input_specs == [("input_layer", (None, 3), np.dtype(np.int64))]


def test_what_does_not_fit_is_not_added() -> None:
    model = lenet()
    with pytest.raises(InvalidInput, match="layer 'conv2d_2'"):
        model.add(L.Conv2D(3, 3))
    assert len(model.layers) == 8
    model.add(L.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.output_names == ["dense_3"]


def test_a_failed_build_forgets_the_weights_made_on_the_way() -> None:
    model = Sequential([L.Conv2D(2, 3), L.MaxPooling2D(4), L.Flatten()])
    with pytest.raises(InvalidInput, match="window 4×4 is larger"):
        model.build((None, 5, 5, 1))
    model.build((None, 9, 9, 3))
    assert model.input_names == ["input_layer"]
    assert [p.shape for p in model.parameters] == [(2, 3, 3, 3), (2,)]
    empty = Sequential()
    with pytest.raises(InvalidInput, match="kernel 5×5 is larger"):
        empty.add(L.Conv2D(2, 5, input_shape=(3, 3, 1)))
    assert not empty.built
    empty.add(L.Conv2D(2, 5, input_shape=(6, 6, 1)))
    assert empty.output_shape == (None, 2, 2, 2)


def test_pop() -> None:
    model = lenet()
    assert model.pop().name == "dense_2"
    assert model.output_shape == (None, 84)
    assert model.count_params() == 61706 - 850
    model.add(L.Dense(3))
    assert model.output_names == ["dense_2"]
    with pytest.raises(InvalidInput, match="has no layers"):
        Sequential().pop()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: m.add("dense"), "'dense' is not a layer"),
        (lambda m: m.add(m.layers[0]), "has layer 'conv2d' already"),
        (lambda m: m.add(Input((3,))), "has an input already"),
        (lambda m: m.get_layer("nope"), "has no layer 'nope'; its layers are"),
        (lambda m: m.get_layer(index=99), "has 8 layers, none with index 99"),
        (lambda m: m.get_layer(), "needs a name or an index"),
        (lambda m: m.set_weights([]), "was given 0 weight arrays, it has 10"),
        (lambda m: m.optimizer, "is not compiled"),
        (lambda m: Sequential().build((None, 3)), "cannot be built: it has no layers"),
        (lambda m: Sequential([L.Dense(1)]).build(), "cannot be built: it has no input shape"),
        (lambda m: Sequential.from_config({"layers": 3}), "the model's configuration is damaged"),
        (lambda m: Model.from_config({"calls": [], "inputs": [{}]}), "class_name"),
        (lambda m: model_from_config({"class_name": "os.system", "config": {}}), "model class 'os.system' is unknown"),
    ],
)
def test_misuse(act: Callable[[Sequential], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        act(lenet())


@pytest.mark.parametrize("make", [lenet, residual])
def test_configurations_round_trip(make: Callable[[], Model]) -> None:
    model = make()
    again = model_from_config(json.loads(json.dumps(serialize(model))))
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_graph_is_readable_and_checked() -> None:
    made = lenet().to_ir()
    graph = made.graph
    assert (made.ir_version, graph.opset_imports[""]) == (10, 21)
    assert [(v.name, str(v.shape)) for v in graph.inputs] == [("input_layer", "[batch,32,32,1]")]
    assert [(v.name, str(v.shape)) for v in graph.outputs] == [("dense_2", "[batch,10]")]
    assert {"conv2d/kernel", "conv2d/bias", "dense_2/kernel"} <= set(graph.initializers)
    assert graph.initializers["conv2d/kernel"].shape == (6, 1, 5, 5)
    assert {str(node.name).split("/")[0] for node in graph} == {name.split(" ")[0] for name, *_ in LENET}
    onnx.checker.check_model(ir.to_proto(made), full_check=True)


def test_graphs_hold_current_weights_and_models_made_from_them_a_copy() -> None:
    model = Sequential([Input((3,)), L.Dense(2)])
    kept = model.to_ir()
    graph = model.graph()
    before = model.get_weights()[0]
    model.parameters[0].value[...] = 7.0
    np.testing.assert_array_equal(kept.graph.initializers["dense/kernel"].const_value.numpy(), before)
    assert (graph.initializers["dense/kernel"].const_value.numpy() == 7.0).all()
    assert model.graph() is graph
    model.add(L.Dense(1))
    assert model.graph() is not graph


def test_a_deep_model() -> None:
    x = y = Input((4,))
    for _ in range(1200):
        y = L.Activation("linear")(y)
    assert len(Model(x, y).calls) == 1200


def test_what_to_ir_gives_is_the_callers_own() -> None:
    model = Sequential([Input((3,)), layers.Dense(2)])
    copy = model.to_ir()
    for value in (*copy.graph.inputs, *copy.graph.outputs, *copy.graph.initializers.values()):
        value.dtype = ir.DataType.DOUBLE
    own = model.graph()
    assert {v.dtype for v in (*own.inputs, *own.outputs, *own.initializers.values())} == {ir.DataType.FLOAT}
