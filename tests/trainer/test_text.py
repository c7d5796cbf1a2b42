"""Texts: tables of them, words, vocabularies, and the way through training, export and running."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from striate.exporter import export
from striate.runtime import InferenceSession
from striate.runtime.errors import InvalidInput, InvalidModel
from striate.trainer import Input, Model, layers
from striate.trainer.data import Vocabulary, load, words_of
from tests.cli.conftest import Run, striate  # noqa: F401

TEXTS = ["The cat, the dog.", "A cat's “Life” — don't!", "äh ß 3 x_1"]


def test_words_are_lower_case_letters_digits_and_inner_apostrophes() -> None:
    assert [words_of(t) for t in TEXTS] == [
        ["the", "cat", "the", "dog"], ["a", "cat's", "life", "don't"], ["äh", "ß", "3", "x_1"],
    ]  # fmt: skip
    assert words_of("'' … ") == []


def test_vocabulary_is_by_frequency_then_alphabet() -> None:
    made = Vocabulary.build(TEXTS, 4)
    assert made.words[:4] == ("<pad>", "<unknown>", "the", "3")
    assert len(Vocabulary.build(TEXTS, 4, max_size=5)) == 5
    assert Vocabulary.build(TEXTS, 4, min_count=2).words[2:] == ("the",)
    with pytest.raises(InvalidInput, match="11 different words"):
        Vocabulary.build(TEXTS, 4, min_count=3)


def test_encoding_counts_what_is_cut_and_unknown() -> None:
    made = Vocabulary.build(["a b c"], 3)
    found = made.encode(["b", "a zebra c b a", "zebra yak"])
    assert found.ids.tolist() == [[3, 0, 0], [2, 1, 4], [1, 1, 0]]
    assert (found.cut, found.longest, found.words) == (1, 5, 8)
    assert found.unknown == {"zebra": 2, "yak": 1}
    with pytest.raises(InvalidInput, match=r"f\.csv:3: 5 words; the model takes at most 3"):
        made.encode(["b", "a a a a a"], "refuse", ["f.csv:2", "f.csv:3"])


def test_facts_go_through_json_and_are_checked() -> None:
    made = Vocabulary.build(TEXTS, 4)
    facts: dict[str, Any] = {"text": json.dumps(made.to_facts())}
    assert Vocabulary.from_facts(facts, "m") == made
    assert Vocabulary.from_facts({}, "m") is None
    good = made.to_facts()
    for wrong in (
        "{", "[]", "3", {**good, "length": 0}, {**good, "length": "4"}, {**good, "words": "abc"}, {**good, "words": []},
        {**good, "words": [*good["words"], "the"]}, {**good, "words": [*good["words"], 3]}, {"words": good["words"]},
        {**good, "tokenizer": "bytes-9"},
    ):  # fmt: skip
        with pytest.raises(InvalidModel, match=r"^m: "):
            Vocabulary.from_facts({"text": wrong}, "m")


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def test_tables_of_texts(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffid,text,label\r\n1,"one, ""two""\r\nthree",b\r\n\r\n2,four,a\r\n')
    found = load(path)
    assert found.x.tolist() == ['one, "two"\r\nthree', "four"]
    assert (found.classes, found.y.tolist()) == (("a", "b"), [1, 0])
    assert found.lines is not None
    assert found.lines.tolist() == [3, 5]
    assert load(f"{path},label=id").classes == ("1", "2")
    assert load(f"{path},text=2,label=3,header=yes").x.tolist() == found.x.tolist()
    assert len(load(f"{path},text=2,label=3")) == 3, "numbers say that there is no header"
    tabs = written(tmp_path, "so good\tyes\nso bad\tno\n", "t.tsv")
    assert load(f"{tabs},text=1,label=2").x.tolist() == ["so good", "so bad"]
    assert found.split((0.5, 0.5))[0].lines is not None


BAD: dict[str, tuple[str | bytes, str, str]] = {
    "ragged": ("text,label\na,1\nb,2,3\n", "", r"t\.csv:3: 3 fields; expected 2, as in line 1"),
    "short": ("text,label\na,1\n\nb\n", "", r"t\.csv:4: 1 fields"),
    "encoding": (b"text,label\na,1\nb\xff,2\n", "", r"t\.csv:3: byte 0xff is no UTF-8"),
    "quotes": ('text,label\n"a,1\n', "", r"t\.csv:\d: "),
    "quotes inside": ('text,label\n"a"b,1\n', "", r"t\.csv:2: "),
    "no label": ("text,label\na,\n", "", r"t\.csv:2: the label is missing"),
    "no column": ("text,stars\na,1\n", "", r"label column 'label' is not there; the columns are 'text', 'stars'"),
    "two columns": ("label,label\na,1\n", "", "is there twice"),
    "number": ("text,label\na,1\n", ",text=3,label=1", "text=3; expected a column from 1 to 2"),
    "no header": ("a,1\nb,2\n", ",text=1,label=kind,header=no", "there is no header"),
    "both": ("text,label\na,1\n", ",text=1,features=2", "expected one of them"),
    "empty": ("", "", "has no rows"),
    "header alone": ("text,label\n", "", "has no rows besides its header"),
    "text as numbers": ("x,label\n1,0\nhello,1\n", "", r"t\.csv:3: 'hello' in column 1 is no number"),
    "infinite": ("x,label\n1,0\ninf,1\n", "", r"t\.csv:3: 'inf' in column 1 is not finite"),
    "delimiter": ("x,label\n1,0\n", ",delimiter=both", "delimiter 'both'"),
    "header": ("x,label\n1,0\n", ",header=maybe", "expected yes or no"),
    "other option": ("x,label\n1,0\n", ",labels=fine", "does not take the option 'labels'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_name_file_and_line(tmp_path: Path, name: str) -> None:
    content, options, message = BAD[name]
    with pytest.raises(InvalidInput, match=message):
        load(f"{written(tmp_path, content)}{options}")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up reviews; every fifth is longer than the model."""
    draw = random.Random(0)
    kinds = {"good": ["great", "lovely", "fine", "superb"], "bad": ["awful", "poor", "dull", "boring"]}
    rows = ["review,stars"]
    for i in range(80):
        kind = ("good", "bad")[i % 2]
        words = [draw.choice(kinds[kind] if draw.random() < 0.6 else ["the", "film", "was", "it"]) for _ in range(5)]
        rows.append(f'"{" ".join(words * (4 if i % 5 == 0 else 1))}, really",{kind}')
    return written(tmp_path_factory.mktemp("reviews"), "\n".join(rows) + "\n", "r.csv")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text model of a few weights, by name."""
    from striate.models import registry

    def words_cnn(num_classes: int = 2, vocabulary_size: int = 500, name: str = "words_cnn") -> Model:
        words = Input((12,), dtype="int64", name="words")
        x = layers.GlobalMaxPooling1D()(layers.Conv1D(8, 2)(layers.Embedding(vocabulary_size, 8)(words)))
        return Model(words, layers.Dense(num_classes, activation="softmax")(x), name=name)

    monkeypatch.setitem(registry._TABLE, "words_cnn", words_cnn)


@pytest.mark.usefixtures("small")
def test_texts_from_the_table_to_the_answer(striate: Run, reviews: Path, tmp_path: Path) -> None:
    """The vocabulary comes from the training part, goes into both files, and encodes texts by itself."""
    table = f"{reviews},text=review,label=stars"
    done = striate("train", "words_cnn", "--data", table, "--epochs", 12, "--learning-rate", 0.02, "--out", tmp_path)
    assert done.code == 0, done.err
    assert "texts have more than 12 words (up to 21): cut" in done.out
    trained = Model.load(tmp_path / "words_cnn.striate")
    facts = trained.training_facts["text"]
    assert len(facts["words"]) == trained.get_weights()[0].shape[0] == 15
    exported = export(trained, tmp_path / "m.onnx")
    proto = onnx.load(exported)
    assert json.loads({p.key: p.value for p in proto.metadata_props}["text"]) == facts
    done = striate("run", exported, "--input", "a superb zebra, a lovely yak", "--input", "dull, dull")
    assert done.code == 0, done.err
    assert "4 of 8 words are not in the vocabulary and count as <unknown>: 'a', 'zebra', 'yak'" in done.out
    assert [row.split()[1] for row in done.out.splitlines() if row.strip()[:2] in ("0 ", "1 ")] == ["good", "bad"]
    for model in (exported, tmp_path / "words_cnn.striate"):
        done = striate("evaluate", model, "--data", table)
        assert done.code == 0, done.err
        assert float(done.out.split("accuracy")[-1].split("%")[0]) > 90
        done = striate("evaluate", model, "--data", table, "--long", "refuse")
        assert done.code == 1
        assert "r.csv:2: 21 words; the model takes at most 12" in done.err
    done = striate("train", tmp_path / "words_cnn.striate", "--data", table, "--epochs", 1, "--out", tmp_path)
    assert done.code == 0, done.err
    assert Model.load(tmp_path / "words_cnn.striate").training_facts["text"] == facts


@pytest.mark.usefixtures("small")
def test_bad_texts_at_the_command_line(striate: Run, reviews: Path, tmp_path: Path) -> None:
    ragged = written(tmp_path, "text,label\na,1\nb\n", "ragged.csv")
    done = striate("train", "words_cnn", "--data", ragged, "--out", tmp_path / "out")
    assert (done.code, "ragged.csv:3: 1 fields" in done.err) == (1, True)
    done = striate("train", "lenet5", "--data", f"{reviews},text=review,label=stars", "--out", tmp_path / "out")
    assert (done.code, "holds texts, but input" in done.err) == (1, True)
    done = striate("train", "words_cnn", "--data", "digits", "--out", tmp_path / "out")
    assert (done.code, "holds arrays" in done.err) == (1, True)
    assert not (tmp_path / "out").exists()
    vocabulary = Vocabulary.build(["some words"], 12)
    from striate import models

    model = models.get("words_cnn", vocabulary_size=4)
    model.training_facts["text"] = vocabulary.to_facts()
    path = export(model, tmp_path / "m.onnx")
    for argument, message in (
        ("…", "there are no words in it"),
        (str(tmp_path / "none.txt"), "does not exist"),
        (str(tmp_path / "none.npy"), "does not exist"),
        (str(written(tmp_path, b"ok\n\xff\n", "l.txt")), "l.txt:2: byte 0xff is no UTF-8"),
    ):
        done = striate("run", path, "--input", argument)
        assert done.code == 1
        assert message in done.err
    lines = written(tmp_path, "some words\n\nwords\n", "lines.txt")
    assert striate("run", path, "--input", f"words={lines}", "--output", tmp_path / "o.npy").code == 0
    ids = vocabulary.encode(["some words", "words"]).ids
    want = InferenceSession(str(path)).run(None, {"words": ids})[0]
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), want)
    assert striate("run", path, "--input", "words " * 13, "--long", "refuse").code == 1
