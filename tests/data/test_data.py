"""Data sets: what is read, what is refused, and how it is split."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.runtime.errors import InvalidInput, LimitExceeded, StriateError
from striate.trainer import data
from striate.trainer.data import Dataset, load, resize


def idx_bytes(array: np.ndarray) -> bytes:
    codes = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
    head = struct.pack(">BBBB", 0, 0, codes[array.dtype.name], array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for word, count in (("train", 30), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{word}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (folder / f"{word}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (12, 8), (255 * label, 51, 0)).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not a picture")
    return tmp_path / "pets"


def test_digits_are_the_real_ones_enlarged() -> None:
    whole = load("digits")
    assert whole.x.shape == (1797, 32, 32, 1)
    assert whole.x.dtype == np.float32
    assert whole.y.dtype == np.int64
    assert whole.x.min() == 0.0
    assert whole.x.max() == 1.0
    assert whole.classes == tuple("0123456789")
    small = resize(whole.x, (8, 8))
    from sklearn.datasets import load_digits

    correlation = np.corrcoef(small.ravel(), load_digits().images.ravel())[0, 1]
    assert correlation > 0.97


def test_digits_have_a_fixed_test_part() -> None:
    train, test = load("digits", part="train"), load("digits", part="test")
    assert len(train) + len(test) == 1797
    assert len(test) == 359
    seen = {x.tobytes() for x in train.x}
    assert sum(x.tobytes() in seen for x in test.x) == 0
    assert np.array_equal(test.x, load("digits", part="test").x)


@pytest.mark.parametrize(("image_size", "expected"), [(None, (28, 28)), (32, (32, 32)), ((20, 16), (20, 16))])
def test_idx_folder(mnist: Path, image_size: int | tuple[int, int] | None, expected: tuple[int, int]) -> None:
    found = load(mnist, image_size)
    assert found.x.shape == (40, *expected, 1)
    assert found.counts().tolist() == [4] * 10
    assert len(load(mnist, part="train")) == 30
    assert len(load(mnist, part="test")) == 10


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_every_idx_type_comes_back(tmp_path: Path, dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    found = data.read_idx(tmp_path / "a")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_npz(tmp_path: Path) -> None:
    x = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)
    y = np.asarray([0, 1, 2, 0, 1, 2], np.uint8)
    np.savez_compressed(tmp_path / "d.npz", x=x, y=y, classes=np.asarray(["a", "b", "c"]))
    found = load(tmp_path / "d.npz")
    assert found.classes == ("a", "b", "c")
    assert np.array_equal(found.x[..., 0], x.astype(np.float32) / np.float32(255))
    np.savez(tmp_path / "parts.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2, None])
    assert [len(load(tmp_path / "parts.npz", part=p)) for p in (None, "train", "test")] == [8, 6, 2]


def test_npz_turns_channels_last(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, 3, 9, 7), np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.zeros(4, np.int64))
    assert np.array_equal(load(tmp_path / "d.npz").x, x.transpose(0, 2, 3, 1))
    assert load(tmp_path / "d.npz", 5, 1).x.shape == (4, 5, 5, 1)


def test_picture_folder(pictures: Path) -> None:
    found = load(pictures)
    assert found.x.shape == (6, 8, 12, 3)
    assert found.classes == ("cat", "dog")
    assert found.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.allclose(found.x[0, 0, 0], [0, 0.2, 0])
    assert np.allclose(found.x[-1, 0, 0], [1, 0.2, 0])
    assert load(pictures, (6, 5), 1).x.shape == (6, 6, 5, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "I"])
def test_every_picture_mode(tmp_path: Path, mode: str) -> None:
    half = {"I;16": 32768, "F": 0.5, "I": 32768}.get(mode, 128)
    pixels = np.full((6, 6), half, {"I;16": np.uint16, "F": np.float32, "I": np.int32}.get(mode, np.uint8))
    image = Image.fromarray(pixels)
    image = image if mode in ("I;16", "F", "I") else image.convert(mode)
    image.save(tmp_path / "p.tif")
    for channels in (1, 3):
        found = data.read_image(tmp_path / "p.tif", (3, 3), channels)
        assert found.shape == (3, 3, channels)
        assert found.dtype == np.float32
        assert abs(found.mean() - 0.5) < (0.51 if mode in ("1", "P") else 0.01)


@pytest.mark.parametrize("stratify", [True, False])
def test_split_is_a_partition_from_the_seed(stratify: bool) -> None:
    whole = load("digits")
    parts = whole.split((0.6, 0.2, 0.2), seed=3, stratify=stratify)
    assert [len(p) for p in parts] == [1078, 360, 359]
    together = np.concatenate([p.x for p in parts])
    assert sorted(x.tobytes() for x in together) == sorted(x.tobytes() for x in whole.x)
    again = whole.split((0.6, 0.2, 0.2), seed=3, stratify=stratify)
    other = whole.split((0.6, 0.2, 0.2), seed=4, stratify=stratify)
    assert all(np.array_equal(a.x, b.x) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts[0].y, other[0].y)


def test_stratified_parts_keep_proportions() -> None:
    whole = load("digits")
    for part, fraction in zip(whole.split((0.7, 0.3), seed=1), (0.7, 0.3), strict=True):
        assert np.abs(part.counts() - whole.counts() * fraction).max() <= 1


def test_batches_cover_everything_once() -> None:
    whole = load("digits").select(slice(0, 100))
    sizes = [len(y) for _, y in whole.batches(32)]
    assert sizes == [32, 32, 32, 4]
    assert [len(y) for _, y in whole.batches(32, drop_last=True)] == [32, 32, 32]
    first, second = (np.concatenate([x for x, _ in whole.batches(32, seed=1, epoch=e)]) for e in (0, 1))
    assert not np.array_equal(first, second)
    assert sorted(x.tobytes() for x in first) == sorted(x.tobytes() for x in second)
    assert len(whole.shuffled(2)) == 100


def test_resize_keeps_straight_lines_and_flat_fields() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32)[None, :, None, None].repeat(16, 2)
    large = resize(ramp, (64, 16))
    assert np.allclose(np.diff(large[0, 12:52, 0, 0]), 1 / 60, atol=1e-5)
    assert np.allclose(resize(np.full((2, 9, 5, 3), 0.3, np.float32), (4, 31)), 0.3, atol=1e-6)


def _npz(**arrays: np.ndarray) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        np.savez(folder / "bad.npz", **arrays)
        return str(folder / "bad.npz")

    return make


def _file(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def _folder(**files: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        for name, content in files.items():
            path = folder / "d" / name.replace("__", "/").replace("_ubyte", "-ubyte").replace("_png", ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "d").mkdir(exist_ok=True)
        return str(folder / "d")

    return make


def _npy_claiming(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _zip(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def _tiff(mode: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (4, 4)).save(file, "TIFF")
    return file.getvalue()


IMAGES = idx_bytes(np.zeros((3, 4, 4), np.uint8))
LABELS = idx_bytes(np.zeros(3, np.uint8))
X, Y = np.zeros((3, 4, 4), np.float32), np.zeros(3, np.int64)

BAD: dict[str, tuple[Callable[[Path], str], str]] = {
    "nothing there": (lambda folder: str(folder / "nope"), "nor a file or folder that exists"),
    "wrong suffix": (_file("a.txt", b"hello"), "expected an .npz file"),
    "empty folder": (_folder(), "there are no pictures"),
    "npz is text": (_file("a.npz", b"hello"), "cannot be read as an .npz"),
    "npz cut": (_file("a.npz", _zip("x.npy", b"\x93NUMPY\x01")), "is not a NumPy array"),
    "npz objects": (_npz(x=np.asarray([{}, {}], object), y=Y), "Python objects"),
    "npz claims too much": (_file("a.npz", _zip("x.npy", _npy_claiming((1 << 40,)))), "are allowed"),
    "npz shorter than it says": (_file("a.npz", _zip("x.npy", _npy_claiming((1000,)))), "the file has"),
    "npz other arrays": (_npz(a=X), "expected x and y"),
    "npz without labels": (_npz(x=X), "'y' is missing"),
    "npz float labels": (_npz(x=X, y=np.zeros(3)), "vector of integers"),
    "npz fewer labels": (_npz(x=X, y=Y[:2]), "3 examples but 2 labels"),
    "npz negative label": (_npz(x=X, y=Y - 1), "label -1 of example 0; expected 0 to"),
    "npz huge label": (_npz(x=X, y=Y + (1 << 40)), "at most 100,000 classes"),
    "npz label without name": (
        _npz(x=X, y=Y + 2, classes=np.asarray(["a", "b"])),
        "label 2 of example 0; expected 0 to 1",
    ),
    "npz nan": (_npz(x=np.full((3, 4, 4), np.nan), y=Y), "finite"),
    "npz signed pixels": (_npz(x=np.zeros((3, 4, 4), np.int32), y=Y), "values are int32"),
    "npz empty": (_npz(x=X[:0], y=Y[:0]), "no examples"),
    "idx without labels": (_folder(train_images_idx3_ubyte=IMAGES), "no IDX file of train labels"),
    "idx not idx": (_folder(train_images_idx3_ubyte=b"hello", train_labels_idx1_ubyte=LABELS), "expected an IDX file"),
    "idx empty file": (_folder(train_images_idx3_ubyte=b"", train_labels_idx1_ubyte=LABELS), "starts with nothing"),
    "idx cut": (
        _folder(train_images_idx3_ubyte=IMAGES[:-1], train_labels_idx1_ubyte=LABELS),
        "48 bytes, but 47 follow",
    ),
    "idx too long": (_folder(train_images_idx3_ubyte=IMAGES + b"x", train_labels_idx1_ubyte=LABELS), "but more follow"),
    "idx gzip cut": (
        _folder(train_images_idx3_ubyte=gzip.compress(IMAGES)[:-9], train_labels_idx1_ubyte=LABELS),
        "IDX file",
    ),
    "idx claims too much": (
        _folder(train_images_idx3_ubyte=b"\0\0\x08\x03" + b"\xff" * 12, train_labels_idx1_ubyte=LABELS),
        "are allowed",
    ),
    "idx counts differ": (
        _folder(train_images_idx3_ubyte=IMAGES, train_labels_idx1_ubyte=idx_bytes(np.zeros(2, np.uint8))),
        "3 images but 2 labels",
    ),
    "picture damaged": (
        _folder(cat__a_png=_png(4, 4)[:40], dog__b_png=_png(4, 4)),
        "a.png: cannot be read as a picture",
    ),
    "picture is text": (_folder(cat__a_png=b"hello", dog__b_png=_png(4, 4)), "a.png: cannot be read as a picture"),
    "picture sizes differ": (_folder(cat__a_png=_png(4, 4), dog__b_png=_png(5, 4)), "4×5 pixels, but"),
    "picture of another mode": (
        _folder(cat__a_png=_png(4, 4), dog__b_png=_tiff("LAB")),
        "b.png: is a picture of mode LAB",
    ),
    "one class": (_folder(cat__a_png=_png(4, 4)), "one class only, 'cat'"),
    "class without pictures": (_folder(cat__a_png=_png(4, 4), dog__notes=b""), "dog: there are no pictures in it"),
    "picture too large": (_folder(cat__a_png=_png(8193, 8193), dog__b_png=_png(4, 4)), "8193×8193 pixels"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD.keys())
def test_bad_data_is_one_clear_error(tmp_path: Path, make: Callable[[Path], str], message: str) -> None:
    with pytest.raises(StriateError) as caught:
        load(make(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [{"image_size": 0}, {"image_size": (3, -1)}, {"channels": 2}, {"part": "middle"}], ids=str
)
def test_bad_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        load("digits", **arguments)


def test_bad_splits_and_batches() -> None:
    small = load("digits").select(slice(0, 5))
    for fractions in ((0.5, 0.6), (), (1.0, 0.0), (0.99, 0.01)):
        with pytest.raises(InvalidInput):
            small.split(fractions)
    with pytest.raises(InvalidInput):
        next(small.batches(0))
    with pytest.raises(InvalidInput):
        Dataset(small.x, small.y[:3], small.classes)


def test_npy_limits(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(_npy_claiming((1 << 40,)))
    with pytest.raises(LimitExceeded):
        data.read_npy(tmp_path / "a.npy")
    fortran = np.asfortranarray(np.arange(12, dtype=">i2").reshape(3, 4))
    np.save(tmp_path / "b.npy", fortran)
    assert np.array_equal(data.read_npy(tmp_path / "b.npy"), fortran)
    np.save(tmp_path / "c.npy", np.asarray(1.5))
    assert data.read_npy(tmp_path / "c.npy").shape == ()


@pytest.mark.parametrize("shape", [(0, 28, 28), (5, 0, 28), ()])
def test_empty_data_are_refused_with_the_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "empty.npz"
    np.savez(path, x=np.zeros(shape, np.uint8), y=np.zeros(shape[:1] or 1, np.int64))
    for size in (None, 32):
        with pytest.raises(InvalidInput, match=r"empty\.npz: x: shape .* no examples"):
            load(path, size)


def test_a_data_set_knows_its_part_and_its_shapes_before(tmp_path: Path, mnist: Path) -> None:
    assert load(mnist, 32, part="test").part == "test"
    assert load(mnist, 32).part is None
    assert load(mnist, 32).shapes == ((28, 28, 1),)
    assert load("digits", part="test").part == "test"
    for i, size in enumerate(((50, 40), (50, 40), (20, 30))):
        (tmp_path / "pictures" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "pictures" / "a" / f"{i}.png")
    (tmp_path / "pictures" / "b").mkdir()
    Image.fromarray(np.zeros((50, 40, 3), np.uint8)).save(tmp_path / "pictures" / "b" / "0.png")
    found = load(tmp_path / "pictures", 32, 1, "test")
    assert found.part is None
    assert found.shapes == ((50, 40, 3), (20, 30, 3))
    assert found.split((0.5, 0.5))[0].shapes == found.shapes
