"""How many parameters each architecture has by its source, beside which tests and benchmarks put what is built."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PUBLISHED", "Published"]


class Published(NamedTuple):
    """The weights that the maker's defaults give.

    Attributes:
        trainable: how many numbers training changes.
        fixed: how many it does not: running statistics, and weights that the paper sets by hand.
        source: who counts so; empty where nobody does, and the numbers are the sum of the layers.
    """

    trainable: int
    fixed: int = 0
    source: str = ""


PUBLISHED: dict[str, Published] = {
    "alexnet": Published(60_965_224, source="Caffe's bvlc_alexnet; the paper: 60 million"),
    "cnn_xgboost": Published(1_435_706),
    "convnext_tiny": Published(28_589_128, source="torchvision; the paper: 29 million"),
    "cs231n_convnet": Published(6_440),
    "densenet121": Published(7_978_856, 83_648, "torchvision; Keras: 8,062,504 together"),
    "efficientnet_b0": Published(5_288_548, 42_016, "torchvision; the paper: 5.3 million"),
    "googlenet": Published(6_998_552, source="Caffe's bvlc_googlenet"),
    "inception_v2": Published(11_295_240, 20_032, "imgclsmob's BN-Inception"),
    "inception_v3": Published(23_834_568, 34_432, "torchvision without its side classifier"),
    "lecun1989_net1": Published(2_570, source="the paper"),
    "lecun1989_net2": Published(3_214, source="the paper"),
    "lecun1989_net3": Published(1_226, source="the paper"),
    "lecun1989_net3_shared": Published(206),
    "lecun1989_net4": Published(1_132, source="the paper"),
    "lecun1989_net5": Published(1_060, source="the paper"),
    "lecun1989_zipcode": Published(9_760, source="the paper"),
    "lenet5": Published(61_706, source="the lecture"),
    "lenet5_1998": Published(60_000, 840, "the paper: 60,000 trainable"),
    "levi_hassner": Published(11_415_048),
    "mobilenet_v1": Published(4_231_976, 21_888, "Keras: 4,253,864 together"),
    "mobilenet_v2": Published(3_504_872, 34_112, "torchvision; Keras: 3,538,984 together"),
    "mobilenet_v3_large": Published(5_483_032, 24_400, "torchvision; the paper: 5.4 million"),
    "mobilenet_v3_small": Published(2_542_856, 12_112, "torchvision; the paper: 2.5 million"),
    "resnet18": Published(11_689_512, 9_600, "torchvision"),
    "resnet34": Published(21_797_672, 17_024, "torchvision"),
    "resnet50": Published(25_557_032, 53_120, "torchvision"),
    "shufflenet_v1": Published(1_865_728, 24_480, "imgclsmob"),
    "shufflenet_v2": Published(2_278_604, 16_180, "torchvision; the paper: 2.3 million"),
    "squeezenet": Published(1_248_424, source="torchvision; the paper's table 1"),
    "text_cnn": Published(5_990_702),
    "unet": Published(31_030_658, source="others who built the paper's figure 1"),
    "vgg11": Published(132_863_336, source="torchvision; the paper: 133 million"),
    "vgg16": Published(138_357_544, source="torchvision, Keras; the paper: 138 million"),
    "vgg19": Published(143_667_240, source="torchvision, Keras; the paper: 144 million"),
    "zfnet": Published(62_357_608, source="imgclsmob"),
}
"""Name → counts; every registered name has an entry."""
