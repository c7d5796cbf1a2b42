"""Architectures by name: `models.lenet5()`, `models.get("lenet5", num_classes=…)`, `models.names()`.

`models.pretrained("lenet5")` is the ONNX file of a trained one, `models.pretrained_names()` says which there are.
"""

from __future__ import annotations

from .alexnet import alexnet
from .cnn_xgboost import cnn_xgboost
from .convnext import convnext_tiny
from .cs231n import cs231n_convnet
from .densenet import densenet121
from .efficientnet import efficientnet_b0
from .googlenet import googlenet
from .inception import inception_v2, inception_v3
from .lecun1989 import (
    lecun1989_net1,
    lecun1989_net2,
    lecun1989_net3,
    lecun1989_net3_shared,
    lecun1989_net4,
    lecun1989_net5,
    lecun1989_zipcode,
)
from .lenet5 import lenet5
from .lenet5_1998 import lenet5_1998
from .levi_hassner import levi_hassner
from .mobilenet import mobilenet_v1, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from .pretrained import pretrained, pretrained_names
from .registry import describe, get, names, register
from .resnet import resnet18, resnet34, resnet50
from .shufflenet import shufflenet_v1, shufflenet_v2
from .squeezenet import squeezenet
from .text_cnn import text_cnn
from .unet import unet
from .vgg import vgg11, vgg16, vgg19
from .zfnet import zfnet

__all__ = [
    "alexnet",
    "cnn_xgboost",
    "convnext_tiny",
    "cs231n_convnet",
    "densenet121",
    "describe",
    "efficientnet_b0",
    "get",
    "googlenet",
    "inception_v2",
    "inception_v3",
    "lecun1989_net1",
    "lecun1989_net2",
    "lecun1989_net3",
    "lecun1989_net3_shared",
    "lecun1989_net4",
    "lecun1989_net5",
    "lecun1989_zipcode",
    "lenet5",
    "lenet5_1998",
    "levi_hassner",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "names",
    "pretrained",
    "pretrained_names",
    "register",
    "resnet18",
    "resnet34",
    "resnet50",
    "shufflenet_v1",
    "shufflenet_v2",
    "squeezenet",
    "text_cnn",
    "unet",
    "vgg11",
    "vgg16",
    "vgg19",
    "zfnet",
]
