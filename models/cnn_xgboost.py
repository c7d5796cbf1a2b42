"""A convolutional network for text whose last layer gives way to boosted trees."""

from __future__ import annotations

from collections.abc import Sequence

from ..trainer import Model
from .registry import register
from .text_cnn import text_cnn

__all__ = ["cnn_xgboost"]


@register("cnn_xgboost")
def cnn_xgboost(
    num_classes: int = 6,
    multi_label: bool = False,
    vocabulary_size: int = 10_000,
    length: int = 64,
    embedding_dim: int = 128,
    filters: int = 100,
    kernel_sizes: Sequence[int] = (3, 4, 5),
    name: str = "cnn_xgboost",
) -> Model:
    """The network of CNN-XGBoost: token numbers → embedding → convolutions → maximum over time → classes.

    Train it like any other; `trainer.boosting.boost(model, x, y)`, or `striate boost`, then replaces its last layer by
    XGBoost's trees, and `export` writes both into one ONNX file:

        model = models.cnn_xgboost(num_classes=6, multi_label=True)
        model.compile("adam", "binary_crossentropy")
        model.fit(tokens, aspects)  # (samples, length) numbers, (samples, 6) of 0 and 1
        boost(model, tokens, aspects).export("cnn_xgboost.onnx")

    Source: A. N. Azhar, M. L. Khodra, A. P. Sutiono, "Multi-label Aspect Categorization with Convolutional Neural
    Networks and Extreme Gradient Boosting", ICEEI 2019. The paper feeds fixed word vectors; here the embedding is
    learnt with the rest.

    Args:
        num_classes: of which each text has one; or, with `multi_label`, labels of which it may have any number.
        vocabulary_size, length, embedding_dim, filters, kernel_sizes: see `text_cnn`.
    """
    return text_cnn(
        num_classes=num_classes,
        vocabulary_size=vocabulary_size,
        length=length,
        embedding_dim=embedding_dim,
        filters=filters,
        kernel_sizes=kernel_sizes,
        classifier_activation="sigmoid" if multi_label else "softmax",
        name=name,
    )
