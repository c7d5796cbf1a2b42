"""CIFAR's files, shards, tables of numbers, made-up data, batches and prefetch."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.runtime.errors import InvalidInput, StriateError
from striate.trainer import Input, Model, Sequential, augment, data, layers, optimizers
from striate.trainer.data import Batches, Dataset, load, open_shards, prefetch, tar
from tests.cli.conftest import Run, striate  # noqa: F401

RNG = np.random.default_rng(0)


def cifar(folder: Path, label_bytes: int, files: dict[str, int]) -> dict[str, np.ndarray]:
    """Files of random records, and what is in them."""
    folder.mkdir()
    made = {}
    for name, count in files.items():
        records = RNG.integers(0, 256, (count, label_bytes + 3072)).astype(np.uint8)
        records[:, :label_bytes] %= 10
        (folder / name).write_bytes(records.tobytes())
        made[name] = records
    return made


TEN = {**{f"data_batch_{i}.bin": 3 for i in range(1, 6)}, "test_batch.bin": 2}


def test_cifar10(tmp_path: Path) -> None:
    made = cifar(tmp_path / "c", 1, TEN)
    (tmp_path / "c" / "batches.meta.txt").write_text("\n".join(f"class {i}" for i in range(10)) + "\n\n")
    train, test = load(tmp_path / "c", part="train"), load(tmp_path / "c", part="test")
    assert (len(train), len(test), len(load(tmp_path / "c"))) == (15, 2, 17)
    assert test.classes[3] == "class 3"
    record = made["data_batch_2.bin"][1]
    assert train.y[4] == record[0]
    assert train.x[4, 5, 7, 2] == np.float32(record[1 + 2 * 1024 + 5 * 32 + 7]) / np.float32(255)
    assert load(tmp_path / "c", 16, 1).x.shape == (17, 16, 16, 1)
    packed = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "c", "cifar-10-batches-bin")
    found = load(packed, part="test")
    np.testing.assert_array_equal(found.x, test.x)
    assert found.classes == test.classes
    packed.write_bytes(packed.read_bytes()[:2000])
    with pytest.raises(InvalidInput, match=r"cifar-10-binary\.tar\.gz: cannot be read"):
        load(packed)


def test_cifar100_has_fine_and_coarse_labels(tmp_path: Path) -> None:
    made = cifar(tmp_path / "c", 2, {"train.bin": 5, "test.bin": 2})
    np.testing.assert_array_equal(load(f"{tmp_path}/c,labels=coarse", part="train").y, made["train.bin"][:, 0])
    np.testing.assert_array_equal(load(tmp_path / "c", part="train").y, made["train.bin"][:, 1])
    with pytest.raises(InvalidInput, match="fine"):
        load(f"{tmp_path}/c,labels=rough")
    (tmp_path / "c" / "fine_label_names.txt").write_text("only\n")
    with pytest.raises(InvalidInput, match="expected 0 to 0"):
        load(tmp_path / "c")


def test_cifar_damaged(tmp_path: Path) -> None:
    cifar(tmp_path / "c", 1, TEN)
    path = tmp_path / "c" / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=r"data_batch_3\.bin: 9,218 bytes"):
        load(tmp_path / "c", part="train")
    path.unlink()
    with pytest.raises(InvalidInput, match=r"data_batch_3\.bin is missing"):
        load(tmp_path / "c", part="train")


def png(value: int, size: int = 6, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (size, size), value if mode == "L" else (value,) * 3).save(file, "PNG")
    return file.getvalue()


def tar_file(path: Path, members: list[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content) if kind == tarfile.REGTYPE else 0, kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Sixty pictures in three files (one of them gzipped); picture i is grey i, of class i % 3."""
    for k, name in enumerate(("a-0.tar", "a-1.tar.gz", "a-2.tar")):
        members = []
        for i in range(20 * k, 20 * k + 20):
            label = (f"{i:04}.cls", str(i % 3).encode()) if i % 2 else (f"{i:04}.json", b'{"label": %d}' % (i % 3))
            members += [(f"{i:04}.png", png(i)), label, (f"{i:04}.txt", b"ignored")]
        tar_file(tmp_path / name, members)
    return tmp_path


def values(found: Any) -> list[int]:
    return [round(float(x[0, 0, 0]) * 255) for _, x, _ in found]


def test_shards_are_all_there_shuffled_by_the_seed(shards: Path) -> None:
    whole = open_shards(f"{shards}/a-*.tar*", buffer=8)
    assert (len(whole), whole.classes, whole.shape) == (60, ("0", "1", "2"), (6, 6, 1))
    assert values(whole.examples()) == list(range(60))
    first, again, other = (values(whole.examples(seed, epoch)) for seed, epoch in ((1, 0), (1, 0), (1, 1)))
    assert first == again
    assert sorted(first) == sorted(other) == list(range(60))
    assert first != other
    assert first != sorted(first)
    assert all(label == round(float(x[0, 0, 0]) * 255) % 3 for _, x, label in whole.examples(3))
    in_memory = load(shards)
    np.testing.assert_array_equal(in_memory.y, np.arange(60) % 3)


def test_shards_split_by_key(shards: Path) -> None:
    whole = open_shards(shards)
    train, kept = whole.split((0.7, 0.3), seed=4)
    assert 0 < len(kept) < len(train)
    assert sorted(values(train.examples()) + values(kept.examples())) == list(range(60))
    assert values(whole.split((0.7, 0.3), seed=4)[1].examples()) == values(kept.examples())
    np.testing.assert_array_equal(kept.y, [v % 3 for v in values(kept.examples())])
    np.testing.assert_array_equal(kept.relabelled(np.array([2, 0, 1]), "abc").y, (kept.y + 2) % 3)


def test_shards_train_a_model(shards: Path) -> None:
    threads = threading.active_count()
    whole = open_shards(shards)
    model = Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    train, kept = (Batches(part, 8, seed=1) for part in whole.split((0.8, 0.2)))
    history = model.fit(train, epochs=2, validation_data=kept, verbose=0).history
    assert len(history["val_accuracy"]) == 2
    assert model.step == 2 * len(train)
    assert threading.active_count() == threads


def shard_error(folder: Path, members: list[tuple[str, bytes]], **kwargs: Any) -> str:
    with pytest.raises(StriateError) as caught:
        load(tar_file(folder / "bad.tar", members, **kwargs))
    assert "bad.tar" in str(caught.value)
    return str(caught.value)


def test_bad_shards_name_file_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [("1.png", png(1)), ("1.cls", b"0")]
    cases = {
        "example '2' has no label": [*good, ("2.png", png(1))],
        "example '2' has no picture": [*good, ("2.cls", b"1")],
        "'1' has several picture": [("1.jpg", png(1)), *good],
        "1.png is there twice": [good[0], *good],
        "1.cls: label '': expected": [good[0], ("1.cls", b"")],
        "some labels are numbers, others names": [*good, ("2.png", png(1)), ("2.cls", b"cat")],
        "2.png has shape (7, 7, 1); expected (6, 6, 1)": [*good, ("2.png", png(1, 7)), ("2.cls", b"1")],
        "2.png: cannot be read as a picture": [*good, ("2.png", b"hello"), ("2.cls", b"1")],
        "2.npy: is not a NumPy array": [*good, ("2.npy", b"hello"), ("2.cls", b"1")],
        "expected names such as": [("../.png", png(1))],
        "no examples": [("notes.txt", b"hello")],
    }
    for message, members in cases.items():
        said = shard_error(tmp_path, members)
        assert message.replace("'': ", "''; ") in said, said
    assert "no regular file" in shard_error(tmp_path, good, kind=tarfile.SYMTYPE)
    monkeypatch.setattr(tar, "MAX_DATA", 10)
    assert "at most 10 are allowed" in shard_error(tmp_path, good)


def test_names_that_lead_outside_lead_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    tar_file(
        inside / "x.tar", [("../../out.png", png(3)), ("../../out.cls", b"0"), ("/abs.png", png(1)), ("/abs.cls", b"1")]
    )
    assert len(load(inside / "x.tar")) == 2
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "x.tar"]


def test_cut_archives_are_noticed_wherever_they_end(shards: Path) -> None:
    content = (shards / "a-0.tar").read_bytes()
    end = content.rstrip(b"\0")
    for length in (0, 100, 700, 1536, 512 * 9, 512 * 40, len(end) // 512 * 512):
        (shards / "a-0.tar").write_bytes(content[:length])
        with pytest.raises(InvalidInput, match=r"a-0\.tar"):
            open_shards(shards / "a-0.tar")
    whole = gzip.decompress((shards / "a-1.tar.gz").read_bytes())
    (shards / "a-1.tar.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(InvalidInput, match=r"a-1\.tar\.gz"):
        open_shards(shards / "a-1.tar.gz")


def test_arrays_in_shards(tmp_path: Path) -> None:
    def npy(x: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, x)
        return file.getvalue()

    pairs = [
        (f"k/{i}.{s}", c) for i in range(3) for s, c in (("npy", npy(np.full((5, 4), i, np.uint8))), ("cls", b"%d" % i))
    ]
    found = load(tar_file(tmp_path / "a.tar", pairs))
    assert found.x.shape == (3, 5, 4, 1)
    assert found.x[2, 0, 0, 0] == np.float32(2) / np.float32(255)


def test_made_up_data_suits_a_model_and_is_learned() -> None:
    one, two = (data.synthetic(64, (6, 6, 1), 4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.x, two.x)
    assert not np.array_equal(one.x, data.synthetic(64, (6, 6, 1), 4, seed=3, part="test").x)
    assert one.counts().tolist() == [16] * 4
    model = Sequential([Input((6, 6, 1)), layers.Flatten(), layers.Dense(4, activation="softmax")])
    model.compile(optimizers.Adam(0.02), "sparse_categorical_crossentropy", ["accuracy"])
    assert model.fit(one, epochs=20, verbose=0).history["accuracy"][-1] > 0.9
    words = data.synthetic_like("synthetic:7", (None, 9), "int64", (None, 2), values=50)
    assert (words.x.dtype, words.x.shape) == (np.int64, (7, 9))
    assert 0 <= words.x.min() <= words.x.max() < 50
    places = data.synthetic_like("synthetic:3", (None, 8, 8, 1), "float32", (None, 4, 4, 2))
    assert places.y.shape == (3, 4, 4)
    for spec in ("synthetic:", "synthetic:0", "synthetic:x"):
        with pytest.raises(InvalidInput, match="a number of examples"):
            load(spec)


def test_batches_give_fit_what_arrays_give() -> None:
    """Without augmentation the same weights to the last bit; with it the same whatever the batch size."""
    digits = load("digits").select(slice(0, 40))

    def trained(x: Any, **kwargs: Any) -> np.ndarray:
        model = Sequential([Input((32, 32, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")], seed=1)
        model.compile("sgd", "sparse_categorical_crossentropy", seed=2)
        model.fit(x, epochs=2, verbose=0, **kwargs)
        return model.get_weights()[0]

    np.testing.assert_array_equal(trained(digits, batch_size=16), trained(Batches(digits, 16, seed=2)))
    changes = augment.by_name("flip,crop,mixup", 32, 32, seed=7)
    seen = []
    for size in (7, 40):
        pairs = list(Batches(digits, size, augment=changes, seed=None).epoch(3))
        seen.append([np.concatenate(arrays) for arrays in zip(*pairs, strict=True)])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    assert seen[0][1].shape == (40, 10)


def count_to(n: int, log: list[str] | None = None) -> Iterator[int]:
    try:
        yield from range(n)
    finally:
        if log is not None:
            log.append("closed")


def test_prefetch_keeps_order_and_ends() -> None:
    before = threading.active_count()
    assert list(prefetch(count_to(50), 3)) == list(range(50))
    log: list[str] = []
    early = prefetch(count_to(1000, log), 2)
    assert [next(early) for _ in range(3)] == [0, 1, 2]
    assert threading.active_count() == before + 1
    early.close()  # type: ignore[attr-defined]
    assert log == ["closed"]
    assert threading.active_count() == before
    dropped = prefetch(count_to(1000, log), 2)
    next(dropped)
    del dropped
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
    with pytest.raises(InvalidInput, match="depth is 0"):
        prefetch([], 0)


def test_prefetch_is_bounded_and_carries_errors() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(5):
            made.append(i)
            yield i
        raise InvalidInput("the sixth is damaged")

    items = prefetch(source(), 1)
    assert next(items) == 0
    time.sleep(0.2)
    assert len(made) <= 3
    got = [0]
    with pytest.raises(InvalidInput, match="the sixth is damaged"):
        got.extend(items)
    assert made == [0, 1, 2, 3, 4]


def simple() -> Any:
    model = Sequential([Input((3,)), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def pairs(n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for i in range(n):
        yield np.full((4, 3), i, np.float32), np.zeros(4, np.int64)


class Again:
    """An iterable that begins anew."""

    def __init__(self, n: int) -> None:
        self.n, self.begun = n, 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.begun += 1
        return pairs(self.n)


def test_fit_takes_batches_as_keras_does() -> None:
    model = simple()
    model.fit(pairs(3), verbose=0)
    assert model.step == 3
    model.fit(pairs(10), epochs=4, steps_per_epoch=2, verbose=0)
    assert model.step == 3 + 8
    again = Again(3)
    model.fit(again, epochs=2, verbose=0)
    assert (model.step, again.begun) == (11 + 6, 2)
    again = Again(3)
    model.fit(again, epochs=4, steps_per_epoch=2, verbose=0)
    assert (model.step, again.begun) == (17 + 8, 3)
    assert model.evaluate(Again(3)) == pytest.approx(model.evaluate(*map(np.concatenate, zip(*pairs(3), strict=True))))
    assert model.evaluate(Again(5), steps=1) == pytest.approx(model.evaluate(*next(pairs(1))))
    model.fit(next(pairs(1))[0], next(pairs(1))[1], validation_data=Again(9), validation_steps=2, verbose=0)
    unbuilt = Sequential([layers.Dense(2, activation="softmax")])
    unbuilt.compile("sgd", "sparse_categorical_crossentropy")
    unbuilt.fit(pairs(3), verbose=0)
    assert (unbuilt.step, unbuilt.input_shape) == (3, (None, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": pairs(3), "epochs": 2}, "runs once, for 2 epochs"),
        ({"x": pairs(3), "epochs": 2, "steps_per_epoch": 2}, "ended in epoch 1"),
        ({"x": Again(0)}, "no batches"),
        ({"x": Again(0), "steps_per_epoch": 1}, "no batches"),
        ({"x": pairs(3), "validation_split": 0.5}, "cannot be split"),
        ({"x": pairs(3), "steps_per_epoch": 0}, "steps_per_epoch is 0"),
        ({"x": iter([np.zeros((4, 3))])}, "pairs"),
        ({"x": iter([(np.zeros((4, 5)), np.zeros(4))])}, "shape"),
        ({"x": np.zeros((4, 3)), "y": np.zeros(4), "steps_per_epoch": 9}, "make 1 batches"),
    ],
    ids=range(9),
)
def test_bad_batches_are_one_clear_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        simple().fit(verbose=0, **arguments)


def test_a_failing_batch_leaves_no_thread() -> None:
    threads = threading.active_count()

    broken = Batches(Dataset(np.zeros((20, 4), np.float32), np.zeros(20, np.int64), ("a", "b")), 2)
    with pytest.raises(InvalidInput, match="does not fit"):
        simple().fit(broken, verbose=0)
    assert threading.active_count() == threads


def test_tables_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,label\n1,2.5,10\n-3,1e2,9\n0,0,9\n")
    found = load(tmp_path / "t.csv")
    np.testing.assert_array_equal(found.x, np.array([[1, 2.5], [-3, 100], [0, 0]], np.float32))
    assert (found.classes, found.y.tolist()) == (("9", "10"), [1, 0, 0])
    assert load(f"{tmp_path}/t.csv,features=b,label=a").x.tolist() == [[2.5], [100], [0]]
    (tmp_path / "n.tsv").write_text("0\t1\tyes\n1\t0\tno\n")
    found = load(f"{tmp_path}/n.tsv,label=3")
    assert (found.x.tolist(), found.classes) == ([[0, 1], [1, 0]], ("no", "yes"))
    assert len(load(f"{tmp_path}/n.tsv,label=3,header=no")) == 2


def test_training_from_shards_with_changed_images(striate: Run, shards: Path, tmp_path: Path) -> None:
    """At the command line: mixed labels, going on with them, and the refusals."""
    from striate.cli.train import AUGMENTATIONS

    assert AUGMENTATIONS.split(", ") == list(augment.NAMES)
    out = tmp_path / "out"
    options = ("--data", f"{shards}/a-*.tar*", "--epochs", 1, "--out", out)
    done = striate("train", "lenet5", *options, "--augment", "flip,crop=2,mixup")
    assert done.code == 0, done.err
    assert "6×6×1 → 32×32×1" in done.out
    facts = Model.load(out / "lenet5.striate").training_facts
    assert (facts["augment"], facts["classes"]) == ("flip,crop=2,mixup", ["0", "1", "2"])
    assert striate("train", out / "lenet5.striate", *options).code == 0
    assert striate("evaluate", out / "lenet5.striate", "--data", shards).code == 0
    made_up = ("--data", "synthetic:12", "--epochs", 1, "--out", tmp_path / "plain")
    assert striate("train", "lenet5", *made_up).code == 0
    done = striate("train", tmp_path / "plain" / "lenet5.striate", *made_up, "--augment", "mixup")
    assert (done.code, "give --optimizer" in done.err) == (1, True)
    done = striate("train", "lenet5", *options, "--force", "--augment", "spin")
    assert (done.code, "'spin' is unknown" in done.err) == (1, True)
