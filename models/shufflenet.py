"""ShuffleNets, two generations."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..runtime.errors import InvalidInput
from ..trainer import Model, layers
from ..trainer.initializers import VarianceScaling
from ..trainer.layers import Tensor
from .blocks import TORCH_NORM, channels_of, classify, conv_norm, depthwise_norm, margin, separated
from .registry import register

__all__ = ["shufflenet_v1", "shufflenet_v2"]

REPEATS = (4, 8, 4)
V1_FILTERS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Groups → filters of the first of the three stages, each of which has twice those of the one before."""
V2_FILTERS = (116, 232, 464)
UNIFORM = VarianceScaling(1 / 3, "fan_in", "uniform")
"""PyTorch's default."""
_conv = partial(conv_norm, padding="even", initializer=UNIFORM, norm=TORCH_NORM)
_depthwise = partial(depthwise_norm, size=3, activation=None, padding="even", initializer=UNIFORM, norm=TORCH_NORM)


@register("shufflenet_v1")
def shufflenet_v1(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "shufflenet_v1",
    *,
    groups: int = 3,
    classifier_activation: Any = "softmax",
) -> Model:
    """Grouped 1×1 convolutions, shuffled: 1,865,728 trainable parameters, 24,480 statistics.

    137,460,672 MACs at 224×224.

    | stage                           | output    | parameters |
    |---------------------------------|-----------|-----------:|
    | Conv2D 24@3×3/2, pooling        | 56×56×24  |        696 |
    | 4 units                         | 28×28×240 |     39,552 |
    | 8 units                         | 14×14×480 |    307,680 |
    | 4 units                         | 7×7×960   |    556,800 |
    | GlobalAveragePooling, Dense     | 1000      |    961,000 |

    Source: X. Zhang, X. Zhou, M. Lin, J. Sun, "ShuffleNet: an extremely efficient convolutional neural network for
    mobile devices", 2018, table 1, 3 groups, whose 137 million MACs these are. The paper counts no parameters; others
    who built it have 1,531,936 for 1 group, 1,733,848 for 2, 1,865,728 for 3, 1,968,344 for 4 and 2,434,768 for 8
    (imgclsmob). First weights are PyTorch's.

    Args:
        input_shape: height, width, channels; any size.
        groups: of the 1×1 convolutions: 1, 2, 3, 4 or 8.

    Raises:
        InvalidInput: for another number of groups.
    """
    if groups not in V1_FILTERS:
        raise InvalidInput(f"shufflenet_v1: groups is {groups!r}, expected one of {', '.join(map(str, V1_FILTERS))}")
    image = layers.Input(input_shape)
    x = layers.MaxPooling2D(3, 2)(margin(_conv(image, 24, 3, 2), 3))
    for stage, repeat in enumerate(REPEATS):
        filters = V1_FILTERS[groups] << stage
        x = _v1_unit(x, filters, 2, groups, 1 if stage == 0 else groups)
        for _ in range(repeat - 1):
            x = _v1_unit(x, filters, 1, groups, groups)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, classify(x, num_classes, classifier_activation, UNIFORM), name=name)


def _v1_unit(x: Tensor, filters: int, strides: int, groups: int, first_groups: int) -> Tensor:
    """Figure 2 (b) with stride 1: added to x; (c) with stride 2: x is averaged, and the two are concatenated."""
    own = filters if strides == 1 else filters - channels_of(x)
    y = _conv(x, filters // 4, 1, groups=first_groups)
    y = _depthwise(layers.ChannelShuffle(groups)(y), strides=strides)
    y = _conv(y, own, 1, groups=groups, activation=None)
    if strides == 1:
        return layers.Activation("relu")(layers.Add()([x, y]))
    averaged = layers.AveragePooling2D(3, 2)(margin(x, 3))
    return layers.Activation("relu")(layers.Concatenate()([averaged, y]))


@register("shufflenet_v2")
def shufflenet_v2(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    name: str = "shufflenet_v2",
    *,
    classifier_activation: Any = "softmax",
) -> Model:
    """Half of the channels passes each unit unchanged: 2,278,604 trainable parameters, 16,180 statistics.

    144,907,992 MACs at 224×224.

    | stage                           | output    | parameters |
    |---------------------------------|-----------|-----------:|
    | Conv2D 24@3×3/2, pooling        | 56×56×24  |        696 |
    | 4 units                         | 28×28×116 |     30,192 |
    | 8 units                         | 14×14×232 |    244,180 |
    | 4 units                         | 7×7×464   |    501,352 |
    | Conv2D 1024@1×1                 | 7×7×1024  |    477,184 |
    | GlobalAveragePooling, Dense     | 1000      |  1,025,000 |

    Source: N. Ma, X. Zhang, H.-T. Zheng, J. Sun, "ShuffleNet V2: practical guidelines for efficient CNN architecture
    design", 2018, table 5, width 1 (2.3 million parameters, 146 million MACs). torchvision, whose initializers and
    batch normalization these are, counts 2,278,604.

    Args:
        input_shape: height, width, channels; any size.
    """
    image = layers.Input(input_shape)
    x = layers.MaxPooling2D(3, 2)(margin(_conv(image, 24, 3, 2), 3))
    for filters, repeat in zip(V2_FILTERS, REPEATS, strict=True):
        x = _joined(_conv(_depthwise(x, strides=2), filters // 2, 1), _v2_branch(x, filters // 2, 2))
        for _ in range(repeat - 1):
            kept, changed = separated(x, filters // 2)
            x = _joined(kept, _v2_branch(changed, filters // 2, 1))
    x = layers.GlobalAveragePooling2D()(_conv(x, 1024, 1))
    return Model(image, classify(x, num_classes, classifier_activation, UNIFORM), name=name)


def _v2_branch(x: Tensor, filters: int, strides: int) -> Tensor:
    return _conv(_depthwise(_conv(x, filters, 1), strides=strides), filters, 1)


def _joined(a: Tensor, b: Tensor) -> Tensor:
    return layers.ChannelShuffle(2)(layers.Concatenate()([a, b]))
