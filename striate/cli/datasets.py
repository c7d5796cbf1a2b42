"""The data side of training: what `--data` and `--augment` become for a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..runtime.errors import InvalidInput
from .console import say

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.augment import Sequential
    from ..trainer.data import Dataset, Shards, Vocabulary
    from .sources import ImageInput

__all__ = ["augmentation", "embedding_size", "load_for", "prepared", "with_words"]

LONGEST = 512
"""Words of a text that a model of open length is given at most."""


def load_for(spec: str, made: Model, images: ImageInput | None, part: str | None) -> Dataset | Shards:
    """The data as they are stored, in the size and channels of the model; a download shows its progress.

    Raises:
        InvalidInput: if they are texts and the model takes no words, or the other way round.
    """
    from ..trainer import data
    from ..trainer.data.synthetic import PREFIX
    from .progress import progress
    from .texts import is_text, takes_words

    name, shape, dtype = made.input_specs[0]
    if spec.startswith(PREFIX):
        values = embedding_size(made) or 256
        return data.synthetic_like(spec, shape, dtype, made.output_specs[0][1], values=values, part=part)
    with progress("downloading") as update:
        size, channels = (images.size, images.channels) if images is not None else (None, None)
        found = data.source(spec, size, channels, part, update)
    if is_text(found) != takes_words(shape, dtype):
        kind = "texts" if is_text(found) else f"arrays {list(found.shape)}"
        raise InvalidInput(f"{found.name}: holds {kind}, but input {name!r} of {made.name} takes {dtype} {shape}")
    return found


def embedding_size(made: Model) -> int | None:
    """How many words the model's embedding tells apart."""
    from ..trainer.layers import Embedding

    return next((layer.input_dim for layer in made.all_layers if isinstance(layer, Embedding)), None)


def with_words(
    made: Model, spec: str, parts: tuple[Any, ...], long: str, *, new: bool
) -> tuple[Model, tuple[Any, ...]]:
    """Texts encoded: with the model's vocabulary, or one made from the training part; a new model is made to fit it.

    Args:
        parts: training data, and maybe validation data.
        new: whether `made` is a new model of the name `spec`.
    """
    from .. import models
    from ..trainer.data import Vocabulary, words_of
    from ..trainer.data.text import FACT
    from .texts import encoded_data, is_text
    from .training import epochs_before

    if not is_text(parts[0]):
        return made, parts
    vocabulary: Vocabulary | None = Vocabulary.from_facts(made.training_facts, spec)
    if vocabulary is None and epochs_before(made):
        raise InvalidInput(f"{spec}: has no vocabulary; it was trained on something else than texts")
    if vocabulary is None:
        length = made.input_specs[0][1][1]
        length = length or min(max(len(words_of(text)) for text in parts[0].x), LONGEST) or 1
        vocabulary = Vocabulary.build(parts[0].x, length, max_size=embedding_size(made) or 20_000)
        if new:
            made = _fitting(made, models, spec, len(parts[0].classes), len(vocabulary))
        made.training_facts[FACT] = vocabulary.to_facts()
        say(f"{parts[0].name}: a vocabulary of {len(vocabulary):,} words, texts of {vocabulary.length}")
    return made, tuple(encoded_data(part, vocabulary, long, spec) for part in parts)


def _fitting(made: Model, models: Any, spec: str, classes: int, words: int) -> Model:
    """The model with an embedding of just so many words, where its maker has that argument."""
    try:
        return models.get(spec, num_classes=classes, vocabulary_size=words)
    except InvalidInput:
        return made


def augmentation(spec: str | None, images: ImageInput | None, shape: tuple[int, ...], seed: int) -> Sequential | None:
    """What `--augment` names, for images of (height, width, channels).

    Raises:
        InvalidInput: if the model takes no images, or a name is unknown.
    """
    if spec is None:
        return None
    from ..trainer.augment import by_name

    if images is None or len(shape) != 3:
        raise InvalidInput(f"--augment {spec}: the data are no images; expected (height, width, channels)")
    return by_name(spec, shape[0], shape[1], seed)


def prepared(
    parts: tuple[Any, ...], made: Model, images: ImageInput | None, augment: Sequential | None, batch_size: int
) -> list[Any]:
    """What `fit` takes for training, and for validation if there is such a part: data sets, or batches.

    Raises:
        InvalidInput: if images are mixed and the model was compiled for class numbers.
    """
    from ..trainer.data import Batches, Shards

    training = made.training
    assert training is not None
    one_hot = not training.losses[0].sparse
    if augment is not None and augment.mixes and not one_hot:
        raise InvalidInput(
            f"{made.name}: was compiled for class numbers, mixing images needs shares of classes; begin with another "
            "optimizer state: give --optimizer"
        )
    is_image = images is not None and len(parts[0].shape) == 3
    arrange = images.arrange if is_image and images is not None else None
    found: list[Any] = []
    for i, part in enumerate(parts):
        changed = augment if i == 0 else None
        if changed is None and not one_hot and not isinstance(part, Shards):
            found.append(replace(part, x=arrange(part.x)) if arrange is not None else part)
            continue
        seed = training.seed if i == 0 else None
        found.append(Batches(part, batch_size, seed=seed, augment=changed, one_hot=one_hot, arrange=arrange))
    return found
