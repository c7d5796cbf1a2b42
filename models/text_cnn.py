"""A convolutional network for sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.errors import InvalidInput
from ..trainer import Input, Model, layers
from .registry import register

__all__ = ["text_cnn"]


@register("text_cnn")
def text_cnn(
    num_classes: int = 2,
    vocabulary_size: int = 18_766,
    length: int = 56,
    embedding_dim: int = 300,
    filters: int = 100,
    kernel_sizes: Sequence[int] = (3, 4, 5),
    dropout: float = 0.5,
    classifier_activation: str = "softmax",
    name: str = "text_cnn",
) -> Model:
    """Words become vectors, windows of three, four and five words are looked at side by side: 5,990,702 parameters.

    | layer                       | output | parameters | connections |
    |-----------------------------|--------|-----------:|------------:|
    | Embedding                   | 56×300 |  5,629,800 |             |
    | Conv1D 100@3                | 54×100 |     90,100 |   4,865,400 |
    | Conv1D 100@4                | 53×100 |    120,100 |   6,365,300 |
    | Conv1D 100@5                | 52×100 |    150,100 |   7,805,200 |
    | GlobalMaxPooling, each      | 100    |          0 |             |
    | Concatenate, Dropout        | 300    |          0 |             |
    | Dense                       | 2      |        602 |         602 |

    Source: Y. Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, the variant CNN-rand; the
    sizes are those for the film reviews (MR): 18,765 words, and number 0 for what is not there. Connections are a
    unit's inputs plus its bias, times the units. Different: no limit on the norm of the last layer's weights, and any
    optimizer.

    The input is int64 `(batch, length)`, numbers of words; shorter texts are filled up with 0.

    Args:
        vocabulary_size: how many numbers there are, 0 included.
        length: words of a text.
        embedding_dim: numbers for a word.
        filters: for each kernel size.
        kernel_sizes: how many words windows span, each at most `length`.
        classifier_activation: `softmax` for one class per text, `sigmoid` for any number of labels.

    Raises:
        InvalidInput: if a kernel is longer than the text, or there is none.
    """
    if not kernel_sizes or max(kernel_sizes) > length:
        raise InvalidInput(
            f"model {name!r}: kernel_sizes is {list(kernel_sizes)} for texts of {length} words; expected some, "
            f"of at most {length}"
        )
    words = Input((length,), dtype="int64", name="words")
    vectors = layers.Embedding(vocabulary_size, embedding_dim)(words)
    found = []
    for size in kernel_sizes:
        windows = layers.Conv1D(filters, size, activation="relu", kernel_initializer="he_normal")(vectors)
        found.append(layers.GlobalMaxPooling1D()(windows))
    x = layers.Concatenate()(found) if len(found) > 1 else found[0]
    x = layers.Dropout(dropout)(x)
    return Model(words, layers.Dense(num_classes, activation=classifier_activation, name="output")(x), name=name)
