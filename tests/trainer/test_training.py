"""Training learns, is reproducible, resumes exactly, and stops with an explanation when it cannot go on."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput, NonFiniteLoss
from striate.trainer import Input, Model, Sequential, callbacks, layers, optimizers
from striate.trainer.data import Dataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6, 6, 1)).astype(np.float32)
Y = (X[:, :3].mean(axis=(1, 2, 3)) > X[:, 3:].mean(axis=(1, 2, 3))).astype(np.int64)


def small(*extra: layers.Layer, seed: int = 7, **compiling: Any) -> Sequential:
    """A small convolutional classifier of two classes, compiled."""
    model = Sequential(
        [
            Input((6, 6, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            *extra,
            layers.AveragePooling2D(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ],
        seed=seed,
    )
    settings = {"optimizer": optimizers.Adam(0.01), "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**settings | compiling)
    return model


def weights(model: Model) -> np.ndarray:
    return np.concatenate([w.ravel() for w in model.get_weights()])


def test_it_learns() -> None:
    model = small()
    history = model.fit(X, Y, batch_size=16, epochs=40, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.3 * losses[0]
    assert history.history["accuracy"][-1] > 0.95
    assert history.epoch == list(range(40))
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert found["accuracy"] == np.mean(model.predict(X).argmax(axis=1) == Y)


def test_the_gradient_step_is_the_one_of_the_formula() -> None:
    """One step of plain gradient descent on softmax regression: W − rate · Xᵀ(p − onehot)/N."""
    x, y = X[:8].reshape(8, 36), Y[:8]
    model = Sequential([Input((36,)), layers.Dense(2, activation="softmax")])
    model.compile(optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    kernel, bias = model.get_weights()
    error = model.predict(x) - np.eye(2)[y]
    model.fit(x, y, batch_size=8, verbose=0)
    new_kernel, new_bias = model.get_weights()
    np.testing.assert_allclose(new_kernel, kernel - 0.5 * x.T @ error / 8, atol=1e-6)
    np.testing.assert_allclose(new_bias, bias - 0.5 * error.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "extra", [(), (layers.Dropout(0.3),), (layers.BatchNormalization(),)], ids=["plain", "dropout", "batchnorm"]
)
def test_the_same_seed_gives_the_same_bits(extra: tuple[layers.Layer, ...]) -> None:
    def run(seed: int) -> np.ndarray:
        fresh = [type(layer).from_config(layer.get_config()) for layer in extra]
        model = small(*fresh, seed=seed)
        model.fit(X, Y, batch_size=20, epochs=3, verbose=0)
        return weights(model)

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


@pytest.mark.parametrize(
    "extra", [(), (layers.Dropout(0.3), layers.BatchNormalization())], ids=["plain", "dropout-batchnorm"]
)
def test_saving_and_going_on_gives_the_same_bits_as_not_stopping(
    tmp_path: Path, extra: tuple[layers.Layer, ...]
) -> None:
    def fresh() -> Sequential:
        return small(*[type(layer).from_config(layer.get_config()) for layer in extra])

    whole = fresh()
    whole.fit(X, Y, batch_size=20, epochs=4, verbose=0)
    first = fresh()
    first.fit(X, Y, batch_size=20, epochs=2, verbose=0)
    first.save(tmp_path / "half.striate")
    second = Model.load(tmp_path / "half.striate")
    second.fit(X, Y, batch_size=20, epochs=4, initial_epoch=2, verbose=0)
    np.testing.assert_array_equal(weights(whole), weights(second))


def test_equal_runs_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        model = small(layers.Dropout(0.3))
        model.fit(X, Y, epochs=2, verbose=0)
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_dropout_draws_a_new_mask_each_step_and_none_when_predicting() -> None:
    model = Sequential(
        [Input((1000,)), layers.Dropout(0.25), layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    model.compile(optimizers.SGD(1e-9), "mse")
    ones, zero = np.ones((1, 1000), np.float32), np.zeros((1, 1), np.float32)
    losses = [model.fit(ones, zero, verbose=0).history["loss"][0] for _ in range(5)]
    kept = np.sqrt(losses) * 0.75
    assert len(set(losses)) == 5
    assert np.all(np.abs(kept - 750) < 60)
    np.testing.assert_allclose(model.predict(ones), 1000, rtol=1e-3)


def test_batch_normalization_trains_on_the_batch_and_remembers_running_statistics() -> None:
    x = RNG.normal(3.0, 2.0, (64, 5)).astype(np.float32)
    model = Sequential([Input((5,)), layers.BatchNormalization(momentum=0.9), layers.Dense(1)])
    model.compile(optimizers.SGD(1e-9), "mse")
    model.fit(x, np.zeros((64, 1)), batch_size=64, verbose=0)
    gamma, beta, mean, variance = model.layers[0].get_weights()
    np.testing.assert_allclose(mean, 0.1 * x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(axis=0), rtol=1e-4)
    assert gamma == pytest.approx(1.0, abs=1e-4)
    assert beta == pytest.approx(0.0, abs=1e-4)


def test_a_batch_normalization_called_twice_moves_its_statistics_twice() -> None:
    x = RNG.normal(3.0, 2.0, (64, 5)).astype(np.float32)
    shared, a = layers.BatchNormalization(momentum=0.9), Input((5,))
    twice = shared(layers.Rescaling(2.0)(shared(a)))
    model = Model(a, layers.Dense(1)(twice))
    model.compile(optimizers.SGD(1e-9), "mse")
    model.fit(x, np.zeros((64, 1)), batch_size=64, verbose=0)
    mean, variance = shared.get_weights()[2:]
    np.testing.assert_allclose(mean, 0.9 * 0.1 * x.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(variance, 0.9 * (0.9 + 0.1 * x.var(axis=0)) + 0.1 * 4, rtol=1e-2)


def test_a_weight_that_its_layer_does_not_use_is_no_obstacle(tmp_path: Path) -> None:
    class Half(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.used, self.unused = self.add_weight("used", (3,)), self.add_weight("unused", (2,))

        def emit(self, g: Any, *inputs: Any) -> Any:
            return g.Mul(inputs[0], self.used)

    model = Sequential([Input((3,)), Half(), layers.Dense(1)])
    model.compile("adam", "mse")
    before = model.layers[0].get_weights()
    x = X[:, 0, :3, 0]
    model.fit(x, x[:, :1], verbose=0)
    after = model.layers[0].get_weights()
    assert model.predict(x).shape == (96, 1)
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [False, True]
    model.export(tmp_path / "m.onnx")


def test_weights_set_while_an_epoch_runs_are_trained_on() -> None:
    model = small(optimizer=optimizers.SGD(0.1))
    zeros = [np.zeros_like(w) for w in model.get_weights()]
    reset = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch or model.set_weights(zeros))
    model.fit(X, Y, batch_size=48, verbose=0, callbacks=[reset])
    assert weights(model).any()


def test_hinge_takes_labels_of_zeros_and_ones_for_signs() -> None:
    model = Sequential([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "hinge")
    x, y = X[:, 0, :3, 0], Y[:, None]
    expected = np.maximum(1 - (2 * y - 1) * model.predict(x), 0).mean()
    assert model.evaluate(x, y, batch_size=96) == pytest.approx(expected, rel=1e-5)
    assert model.evaluate(x, 2 * y - 1, batch_size=96) == pytest.approx(expected, rel=1e-5)


def test_predicting_nothing_gives_nothing() -> None:
    assert small().predict(X[:0]).shape == (0, 2)


def test_frozen_layers_keep_weights_and_running_statistics() -> None:
    model = small(layers.BatchNormalization())
    model.layers[0].trainable = model.layers[1].trainable = False
    model.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = [w.copy() for layer in model.layers for w in layer.get_weights()]
    model.fit(X, Y, verbose=0)
    after = [w for layer in model.layers for w in layer.get_weights()]
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [False] * 6 + [True] * 2


def test_regularizers_add_to_the_loss_and_pull_weights_to_zero() -> None:
    x, y = np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32)
    model = Sequential([Input((3,)), layers.Dense(1, kernel_regularizer="l2", use_bias=False)])
    model.compile(optimizers.SGD(0.1), "mse")
    (kernel,) = model.get_weights()
    assert model.evaluate(x, y) == pytest.approx(0.01 * (kernel**2).sum(), rel=1e-5)
    history = model.fit(x, y, verbose=0)
    assert history.history["loss"][0] == pytest.approx(0.01 * (kernel**2).sum(), rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], kernel * (1 - 0.1 * 0.02), rtol=1e-6)


def test_two_inputs_two_outputs() -> None:
    a, b = Input((3,), name="a"), Input((2,), name="b")
    joined = layers.Concatenate()([a, b])
    first = layers.Dense(1, name="first")(joined)
    second = layers.Dense(2, activation="softmax", name="second")(joined)
    model = Model([a, b], [first, second])
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"])
    xs = [X[:, :3, 0, 0], X[:, :2, 1, 0]]
    before = model.evaluate(xs, [xs[0][:, :1], Y], verbose=0)
    model.fit(xs, [xs[0][:, :1], Y], epochs=20, verbose=0)
    assert model.evaluate(xs, [xs[0][:, :1], Y], verbose=0) < before
    assert [p.shape for p in model.predict(xs)] == [(96, 1), (96, 2)]
    ys = [xs[0][:, :1], Y]
    for loss, wanted in (
        (["mse", "sparse_categorical_crossentropy"], [["mae"], ["accuracy"]]),
        ({"second": "sparse_categorical_crossentropy", "first": "mse"}, {"second": "accuracy", "first": ["mae"]}),
    ):
        model.compile("adam", loss, wanted)
        assert list(model.evaluate(xs, ys, return_dict=True)) == ["loss", "first_mae", "second_accuracy"]
    with pytest.raises(InvalidInput, match=r"metrics is given for \['third'\]; the model's outputs are"):
        model.compile("adam", ["mse", "mse"], {"third": "mae"})


def test_a_layer_added_after_training_is_trained_from_then_on() -> None:
    model = Sequential([Input((36,)), layers.Dense(4)])
    model.compile("adam", "mse")
    x = X.reshape(96, 36)
    model.fit(x, np.zeros((96, 4)), verbose=0)
    kernel = model.layers[0].get_weights()[0]
    model.add(layers.Dense(1))
    added = model.layers[1].get_weights()[0]
    model.fit(x, np.ones((96, 1)), verbose=0)
    assert (model.layers[0].get_weights()[0] != kernel).any()
    assert (model.layers[1].get_weights()[0] != added).any()


def test_inputs_by_name_data_sets_and_one_callback() -> None:
    data = Dataset(X, Y, ("below", "above"))
    model, same = small(), small()
    stop = callbacks.EarlyStopping("val_loss", patience=9)
    first = model.fit(data, epochs=2, verbose=0, callbacks=stop, validation_data=data)
    second = same.fit({same.input_names[0]: X}, Y, epochs=2, verbose=0, validation_data=(X, Y))
    assert first.history == second.history
    loss, accuracy = model.evaluate(data)
    assert {"loss": loss, "accuracy": accuracy} == model.evaluate(X, Y, return_dict=True)
    np.testing.assert_array_equal(model.predict(X), model.predict({model.input_names[0]: X}))


def test_validation(tmp_path: Path) -> None:
    split = small().fit(X, Y, batch_size=24, epochs=2, validation_split=0.25, shuffle=False, verbose=0)
    given = small().fit(
        X[:72], Y[:72], batch_size=24, epochs=2, validation_data=(X[72:], Y[72:]), shuffle=False, verbose=0
    )
    assert set(split.history) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert split.history == given.history


class TestCallbacks:
    def test_csv_logger(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        small().fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)])
        small().fit(X, Y, epochs=1, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert [r["epoch"] for r in rows] == ["0", "1", "0"]
        assert float(rows[1]["loss"]) < float(rows[0]["loss"])

    def test_early_stopping_restores_the_best_weights(self) -> None:
        model = small(optimizer=optimizers.SGD(1e-12))
        stop = callbacks.EarlyStopping("loss", patience=2, min_delta=1.0, restore_best_weights=True)
        history = model.fit(X, Y, epochs=50, verbose=0, callbacks=[stop])
        assert stop.stopped_epoch == 2
        assert history.epoch == [0, 1, 2]

    def test_model_checkpoint_keeps_the_best(self, tmp_path: Path) -> None:
        keep = callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}.striate", "loss", save_best_only=True)
        small().fit(X, Y, epochs=3, verbose=0, callbacks=[keep])
        assert sorted(p.name for p in tmp_path.iterdir()) == ["01.striate", "02.striate", "03.striate"]
        assert isinstance(Model.load(tmp_path / "02.striate"), Model)

    def test_learning_rate_scheduler(self) -> None:
        schedule = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
        history = small().fit(X, Y, epochs=3, verbose=0, callbacks=[schedule])
        assert history.history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3])

    def test_reduce_on_plateau(self) -> None:
        reduce = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0, min_lr=0.004)
        history = small().fit(X, Y, epochs=4, verbose=0, callbacks=[reduce])
        assert history.history["learning_rate"] == pytest.approx([0.01, 0.01, 0.005, 0.004])

    def test_reduce_on_plateau_without_patience_spares_what_improves(self) -> None:
        reduce = callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=0.0)
        history = small(optimizer=optimizers.SGD(0.01)).fit(X, Y, epochs=3, verbose=0, callbacks=[reduce])
        assert history.history["learning_rate"] == pytest.approx([0.01] * 3)

    def test_a_second_fit_forgets_what_was_best(self) -> None:
        stop = callbacks.EarlyStopping("loss", patience=1)
        stop.best = -1.0
        history = small().fit(X, Y, epochs=4, verbose=0, callbacks=[stop])
        assert history.epoch == [0, 1, 2, 3]

    def test_progress_prints_one_line_per_epoch(self, capsys: pytest.CaptureFixture[str]) -> None:
        small().fit(X, Y, epochs=2)
        lines = capsys.readouterr().out.strip().splitlines()
        assert len(lines) == 2
        for part in ("Epoch 1/2", "loss", "accuracy", "images/s"):
            assert part in lines[0]

    def test_watching_what_is_not_logged(self) -> None:
        with pytest.raises(InvalidInput, match=r"watches 'val_loss', which is not logged; there are: loss, accuracy"):
            small().fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping()])


def test_a_loss_that_is_not_finite_names_the_first_node_and_spares_the_weights() -> None:
    a = Input((2,))
    logs = layers.Activation("exponential", name="blow_up")(a)
    model = Model(a, layers.Dense(1, name="last")(logs))
    model.compile(optimizers.SGD(0.1), "mse")
    x = np.array([[0.0, 0.0], [0.0, 1000.0]], np.float32)
    before = weights(model)
    with pytest.raises(NonFiniteLoss, match=r"step 0 .*from node 'blow_up/Exp' \(Exp\)"):
        model.fit(x, np.zeros((2, 1)), batch_size=2, verbose=0)
    np.testing.assert_array_equal(weights(model), before)


def test_data_that_is_not_finite_is_named() -> None:
    bad = X.copy()
    bad[5] = np.nan
    with pytest.raises(NonFiniteLoss, match=r"input '.*' already holds NaN"):
        small().fit(bad, Y, verbose=0)


BAD: dict[str, tuple[Any, str]] = {
    "labels out of range": (
        lambda: small().fit(X, np.where(np.arange(96) == 3, 2, Y), verbose=0),
        r"label 2 at position 3 .*0 to 1",
    ),
    "negative label": (
        lambda: small().fit(X, np.where(np.arange(96) == 3, -1, Y), verbose=0),
        r"label -1 at position 3",
    ),
    "labels not whole": (lambda: small().fit(X, Y + 0.5, verbose=0), "class numbers"),
    "other lengths": (lambda: small().fit(X, Y[:-1], verbose=0), r"x has \[96\] samples and y \[95\]"),
    "wrong rank": (
        lambda: small().fit(X[..., 0], Y, verbose=0),
        r"shape \(96, 6, 6\) does not fit; expected \(None, 6, 6, 1\)",
    ),
    "wrong size": (lambda: small().predict(X[:, :5]), r"shape \(96, 5, 6, 1\) does not fit; expected"),
    "strings": (lambda: small().predict(X.astype(str)), "expected numbers"),
    "no labels": (lambda: small().fit(X, None), "y is missing"),
    "batch size": (lambda: small().fit(X, Y, batch_size=0), "batch_size is 0"),
    "part of a batch": (lambda: small().fit(X, Y, batch_size=1.5), "batch_size is 1.5"),
    "one-hot labels": (lambda: small().fit(X, np.eye(2)[Y]), "look one-hot"),
    "class numbers": (lambda: small(loss="categorical_crossentropy").fit(X, Y), "look like class numbers"),
    "generator": (lambda: small().fit((x for x in X), Y), "its labels come with it"),
    "names": (lambda: small().fit({"nobody": X}, Y), r"given for \['nobody'\]; expected them for"),
    "validation data": (lambda: small().fit(X, Y, verbose=0, validation_data=X), "validation_data is a ndarray"),
    "no callback": (lambda: small().fit(X, Y, callbacks=[3]), "3 is no Callback"),
    "not compiled": (lambda: Sequential([Input((2,)), layers.Dense(1)]).fit(X, Y), "not compiled"),
    "unknown loss": (lambda: small(loss="crossentropy"), "loss 'crossentropy' is unknown; expected one of"),
    "unknown metric": (lambda: small(metrics=["precisoin"]), "metric 'precisoin' is unknown"),
    "unknown optimizer": (lambda: small(optimizer="sdg"), "optimizer 'sdg' is unknown"),
    "unknown device": (lambda: small(device="tpu"), "device 'tpu' is unknown"),
    "split": (lambda: small().fit(X, Y, validation_split=1.5), "validation_split is 1.5"),
    "nothing to train on": (lambda: small().fit(X[:2], Y[:2], validation_split=0.9), "leaves none of 2 samples"),
    "metrics of one name": (lambda: small(metrics=["acc", "acc"]).evaluate(X, Y), "metrics: the name 'acc' is taken"),
    "monitor mode": (lambda: callbacks.EarlyStopping(mode="up"), "mode is 'up'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_sentence(name: str) -> None:
    act, fragment = BAD[name]
    with pytest.raises(InvalidInput, match=fragment):
        act()
