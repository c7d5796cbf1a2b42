"""A model with two branches in the functional style: regularised, normalised, with dropout, early stopping and a
checkpoint.

python examples/two_branches.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from striate import exporter
from striate.trainer import Input, Model, callbacks, layers, optimizers, regularizers
from striate.trainer.data import load


def branch(x: layers.Tensor, kernel_size: int) -> layers.Tensor:
    """Convolution, batch normalisation, ReLU, pooling."""
    x = layers.Conv2D(8, kernel_size, padding="same", use_bias=False, kernel_regularizer=regularizers.L2(1e-4))(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.MaxPooling2D(4)(layers.ReLU()(x))


def main() -> None:
    train, test = load("digits").split((0.8, 0.2), seed=0)
    image = Input((32, 32, 1), name="image")
    joined = layers.Concatenate()([branch(image, 3), branch(image, 7)])
    features = layers.Dropout(0.25)(layers.Flatten()(joined))
    model = Model(image, layers.Dense(10, activation="softmax", name="digit")(features))
    model.summary()
    model.compile(optimizers.AdamW(0.003), "sparse_categorical_crossentropy", ["accuracy"])

    folder = Path(mkdtemp())
    best = folder / "best.striate"
    model.fit(
        train.x,
        train.y,
        batch_size=64,
        epochs=4,
        validation_data=(test.x, test.y),
        callbacks=[
            callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
            callbacks.ModelCheckpoint(best, "val_loss", save_best_only=True),
        ],
    )
    path = exporter.export(Model.load(best), folder / "digits.onnx", opset=17)
    report = exporter.verify(path, {"image": test.x})
    print(f"{path}: largest difference to onnxruntime {max(row.max_abs for row in report.rows):.1e}")


if __name__ == "__main__":
    main()
