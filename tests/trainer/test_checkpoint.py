"""`.striate` files: the same bits come back, and a file that was tampered with is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from striate.runtime.errors import InvalidInput, InvalidModel, ModelNotFound
from striate.runtime.files import atomic_write
from striate.trainer import Input, Model, Sequential, checkpoint, layers, optimizers

from .reference import outputs

L = layers


def network() -> Model:
    x = Input((6, 6, 2))
    y = L.BatchNormalization()(L.Conv2D(3, 3, activation="relu", kernel_regularizer="l2")(x))
    return Model(x, L.Dense(2, activation="softmax")(L.Flatten()(L.Dropout(0.2)(y))))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.striate"
    network().save(path)
    return path


def rewritten(path: Path, change: Callable[[dict[str, np.ndarray], dict[str, str]], None]) -> Path:
    """The file with its tensors and metadata changed."""
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def test_the_same_bits_come_back(tmp_path: Path) -> None:
    model = network()
    rng = np.random.default_rng(1)
    model.set_weights([abs(rng.normal(size=w.shape)) for w in model.get_weights()])
    model.save(tmp_path / "m.striate")
    again = Model.load(tmp_path / "m.striate")
    assert type(again) is Model
    assert again.get_config() == model.get_config()
    for a, b in zip(model.parameters, again.parameters, strict=True):
        assert a.name == b.name
        assert a.trainable == b.trainable
        np.testing.assert_array_equal(a.value, b.value)
    x = rng.normal(size=(2, 6, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(outputs(model, x)[0], outputs(again, x)[0])
    assert again.training is None
    assert [f.name for f in tmp_path.iterdir()] == ["m.striate"]


def test_the_file_is_plain_safetensors(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as file:
        assert sorted(file.keys())[:2] == ["batch_normalization/beta", "batch_normalization/gamma"]
        metadata = file.metadata()
    assert json.loads(metadata["striate"])["architecture"]["class_name"] == "Model"


def test_a_saved_sequential_is_one_again(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), L.Dense(3, name="head")])
    model.layers[0].trainable = False
    model.save(tmp_path / "m.striate")
    again = Model.load(tmp_path / "m.striate")
    assert type(again) is Sequential
    assert again.get_layer("head").trainable is False


def test_extra_tensors_and_training_values_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.striate"
    extra = {"adam/m/dense/kernel": np.arange(6.0), "count": np.array(3, np.int64)}
    model = network()
    checkpoint.save(path, model, extra, {"epoch": 3})
    found = checkpoint.load(path)
    assert found.training == {"epoch": 3}
    assert found.tensors.keys() == extra.keys()
    for name, array in extra.items():
        np.testing.assert_array_equal(found.tensors[name], array)
        assert found.tensors[name].dtype == array.dtype
    with pytest.raises(InvalidInput, match="extra tensor 'dense/kernel' has the name of a weight"):
        checkpoint.save(path, model, {"dense/kernel": np.zeros(2)})
    with pytest.raises(InvalidInput, match="not plain data"):
        checkpoint.save(path, model, None, {"epoch": object()})
    assert checkpoint.load(path).training == {"epoch": 3}


def test_a_compiled_model_comes_back_compiled(tmp_path: Path) -> None:
    model = network()
    model.compile(optimizers.Adam(0.25), "sparse_categorical_crossentropy", ["accuracy"], seed=5)
    model.save(tmp_path / "m.striate")
    again = Model.load(tmp_path / "m.striate")
    assert again.training is not None
    assert again.training.seed == 5
    assert again.step == 0
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert [type(loss) for loss in again.training.losses] == [type(loss) for loss in model.training.losses]
    assert again.training.metrics == [["accuracy"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: t.pop("rmsprop/velocity/dense/bias"), "tensor 'rmsprop/velocity/dense/bias' is missing"),
        (
            lambda t, m: t.update({"rmsprop/velocity/dense/bias": np.zeros(3, np.float32)}),
            r"tensor 'rmsprop/velocity/dense/bias' is float32 \(3,\), expected float32 \(2,\)",
        ),
        (
            lambda t, m: edit_config(lambda c: c["training"]["optimizer"].update(class_name="Adagrad", config={}))(
                t, m
            ),
            "expected state of adagrad",
        ),
        (
            lambda t, m: edit_config(lambda c: c["training"].update(step="x"))(t, m),
            "the training configuration is damaged",
        ),
    ],
)
def test_damaged_optimizer_state_is_named(tmp_path: Path, change: Any, message: str) -> None:
    model = network()
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    assert model.training is not None
    model.training.slots = {f"rmsprop/velocity/{p.name}": np.ones(p.shape, np.float32) for p in model.trainable_weights}
    model.save(tmp_path / "m.striate")
    again = Model.load(tmp_path / "m.striate").training
    assert again is not None
    assert again.pending.keys() == model.training.slots.keys()
    with pytest.raises(InvalidModel, match=message):
        Model.load(rewritten(tmp_path / "m.striate", change))


def test_only_built_models_are_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not built"):
        Sequential([L.Dense(3)]).save(tmp_path / "m.striate")
    assert not list(tmp_path.iterdir())


def edit_config(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, np.ndarray], dict[str, str]], None]:
    def edit(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
        config = json.loads(metadata["striate"])
        change(config)
        metadata["striate"] = json.dumps(config)

    return edit


def first_layer(config: dict[str, Any]) -> dict[str, Any]:
    return config["architecture"]["config"]["layers"][0]


DAMAGE: list[tuple[str, Callable[[dict[str, np.ndarray], dict[str, str]], Any], str]] = [
    ("missing tensor", lambda t, m: t.pop("dense/kernel"), "tensor 'dense/kernel' is missing"),
    ("shape", lambda t, m: t.update({"dense/bias": np.zeros(3, np.float32)}),
     r"tensor 'dense/bias' is F32 \(3,\), expected F32 \(2,\)"),
    ("dtype", lambda t, m: t.update({"dense/bias": np.zeros(2)}),
     r"tensor 'dense/bias' is F64 \(2,\), expected F32 \(2,\)"),
    ("foreign tensor", lambda t, m: t.update(evil=np.zeros(3)), "tensor 'evil' is not one that was saved"),
    ("format", lambda t, m: m.clear(), "was not written by Model.save"),
    ("version", lambda t, m: edit_config(lambda c: c.update(version=2))(t, m),
     "has format version 2, this program reads 1; update it"),
    ("no JSON", lambda t, m: m.update(striate="{"), "its configuration is not JSON"),
    ("deep JSON", lambda t, m: m.update(striate="[" * 100_000), "its configuration is not JSON"),
    ("JSON list", lambda t, m: m.update(striate="[]"), "has format version None"),
    ("no architecture", edit_config(lambda c: c.pop("architecture")), "lacks one of: architecture, training"),
    ("class", edit_config(lambda c: c["architecture"].update(class_name="eval")), "model class 'eval' is unknown"),
    ("layer class", edit_config(lambda c: first_layer(c).update(class_name="Lambda")), "class 'Lambda' is unknown"),
    ("argument", edit_config(lambda c: first_layer(c)["config"].update(filters="many")), "filters is 'many'"),
    ("unknown argument", edit_config(lambda c: first_layer(c)["config"].update(evil=1)), "has no argument 'evil'"),
    ("huge", edit_config(lambda c: first_layer(c)["config"].update(filters=10**13)), "expected F32"),
    ("no calls", edit_config(lambda c: c["architecture"]["config"].pop("layers")), "configuration is damaged"),
    ("call of nothing", edit_config(lambda c: c["architecture"]["config"]["calls"][0].update(layer="x")), "damaged"),
    ("call ahead", edit_config(lambda c: c["architecture"]["config"]["calls"][0].update(inputs=[4])), "damaged"),
    ("no outputs", edit_config(lambda c: c["architecture"]["config"].update(outputs=[])), "outputs must be tensors"),
    ("training", edit_config(lambda c: c.update(training={"optimizer": "adam"})), "training configuration is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_damage_is_named(saved: Path, change: Any, message: str) -> None:
    with pytest.raises(InvalidModel, match=message) as caught:
        Model.load(rewritten(saved, change))
    assert str(saved) in str(caught.value)


def test_every_truncation_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in [*range(64), *range(64, len(whole), 211), len(whole) - 1]:
        saved.write_bytes(whole[:length])
        with pytest.raises(InvalidModel, match=r"m\.striate"):
            Model.load(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + b"\0" * 100, b"\xff" * 64, (1 << 62).to_bytes(8, "little") + b"{}", b"\x80\x04K\x01."],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.striate"
    path.write_bytes(content)
    with pytest.raises(InvalidModel, match=r"not a whole \.striate file"):
        Model.load(path)


def test_a_header_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.striate"
    with path.open("wb") as file:
        file.write((checkpoint.MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(checkpoint.MAX_HEADER_BYTES + 100)
    with pytest.raises(InvalidModel, match=r"its header takes 67,108,865 bytes, at most 67,108,864"):
        Model.load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"nothing\.striate"):
        Model.load(tmp_path / "nothing.striate")
    with pytest.raises(ModelNotFound):
        Model.load(tmp_path)


def test_a_failed_write_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()

    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        atomic_write(saved, half)
    assert saved.read_bytes() == before
    assert [f.name for f in saved.parent.iterdir()] == [saved.name]


def test_atomic_write_keeps_permissions_and_follows_links(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    atomic_write(link, b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    fresh = tmp_path / "fresh"
    atomic_write(fresh, lambda file: file.write(b"written"))
    assert fresh.read_bytes() == b"written"
    mask = os.umask(0)
    os.umask(mask)
    assert fresh.stat().st_mode & 0o777 == 0o666 & ~mask
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "no" / "folder", b"")
