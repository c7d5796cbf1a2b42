"""Layers under Keras's names; one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...runtime.errors import InvalidInput
from .activation import ELU, LeakyReLU, PReLU, ReLU, Softmax
from .base import Call, Layer, LayerBuilder, Tensor
from .convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from .core import Activation, Dense, Embedding, Input, InputLayer, Rescaling
from .local import LocallyConnected1D, LocallyConnected2D, UnitBias
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    LayerScale,
    LocalResponseNormalization,
)
from .parameter import Parameter
from .pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    L2Pooling1D,
    L2Pooling2D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from .radial import RBF
from .regularization import Dropout, StochasticDepth
from .reshaping import (
    ChannelShuffle,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Flatten,
    Permute,
    Reshape,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from .sparse import Conv2DTable
from .subsampling import Subsampling2D
from .trees import Decision, TreeEnsemble

MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
)

BUILTIN: dict[str, type[Layer]] = {
    c.__name__: c
    for c in (
        InputLayer, Dense, Embedding, Activation, Rescaling,
        Conv1D, Conv2D, Conv3D, Conv1DTranspose, Conv2DTranspose, Conv3DTranspose,
        DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
        LocallyConnected1D, LocallyConnected2D, UnitBias, Conv2DTable, Subsampling2D, L2Pooling1D, L2Pooling2D,
        MaxPooling1D, MaxPooling2D, MaxPooling3D, AveragePooling1D, AveragePooling2D, AveragePooling3D,
        GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
        GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
        BatchNormalization, LayerNormalization, GroupNormalization, LocalResponseNormalization, LayerScale,
        RBF, ChannelShuffle, StochasticDepth,
        Flatten, Reshape, Permute, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D, Cropping1D, Cropping2D, Cropping3D,
        UpSampling1D, UpSampling2D, UpSampling3D,
        Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate,
        ReLU, LeakyReLU, PReLU, ELU, Softmax, Dropout, TreeEnsemble, Decision,
    )
}  # fmt: skip
"""Every layer that a configuration can name."""


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
    """A layer from `{"class_name": …, "config": {…}}`; its weights are not part of that.

    Args:
        custom_objects: class name → class, for layers that are not Striate's.

    Raises:
        InvalidInput: for an unknown class or arguments that do not fit.
    """
    name, arguments = config.get("class_name"), config.get("config")
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise InvalidInput(f"layer configuration {dict(config)!r} does not fit; expected class_name and config")
    cls = {**BUILTIN, **(custom_objects or {})}.get(name)
    if cls is None:
        raise InvalidInput(f"layer class {name!r} is unknown; give your own classes in custom_objects")
    try:
        return cls.from_config(arguments)
    except TypeError as error:
        raise InvalidInput(
            f"layer {arguments.get('name')!r} ({name}) cannot be made from its configuration: {error}"
        ) from None


__all__ = [
    "BUILTIN", "ELU", "RBF", "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D", "BatchNormalization", "Call", "ChannelShuffle",
    "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTable", "Conv2DTranspose", "Conv3D",
    "Conv3DTranspose", "Cropping1D", "Cropping2D", "Cropping3D", "Decision", "Dense", "DepthwiseConv1D",
    "DepthwiseConv2D", "Dropout", "Embedding", "Flatten", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D", "GlobalMaxPool1D",
    "GlobalMaxPool2D", "GlobalMaxPool3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    "GroupNormalization", "Input", "InputLayer", "L2Pooling1D", "L2Pooling2D", "Layer", "LayerBuilder",
    "LayerNormalization", "LayerScale", "LeakyReLU", "LocalResponseNormalization", "LocallyConnected1D",
    "LocallyConnected2D", "MaxPool1D", "MaxPool2D", "MaxPool3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
    "Maximum", "Minimum", "Multiply", "PReLU", "Parameter", "Permute", "ReLU", "Rescaling", "Reshape",
    "SeparableConv1D", "SeparableConv2D", "Softmax", "StochasticDepth", "Subsampling2D", "Subtract", "Tensor",
    "TreeEnsemble", "UnitBias", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D", "deserialize",
]  # fmt: skip
