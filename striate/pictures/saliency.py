"""Which pixels a score depends on: its gradient with respect to the image.

K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising image classification models and
saliency maps", arXiv:1312.6034, 2013: the gradient of the score before softmax, its largest magnitude over the
channels. D. Smilkov et al., "SmoothGrad: removing noise by adding noise", arXiv:1706.03825, 2017: the mean of the
gradients at noisy copies of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from ..runtime import opset
from ..runtime.autodiff import gradients
from ..runtime.builder import OPSET, Builder
from ..runtime.engines.arrays import to_host
from ..runtime.errors import InvalidInput, NotDifferentiable
from ..runtime.executor import Executor
from ..runtime.inference import annotate_graph
from ..runtime.random import normal
from .graphs import input_value
from .style import SEQUENTIAL, bare, new_figure, save, shape_text, show_image, styled, title

__all__ = ["Saliency", "Scores", "draw_saliency", "saliency"]

SCORE, GRADIENT, DIRECTION = "saliency/score", "saliency/gradient", "saliency/direction"
PASSED = frozenset(("Flatten", "Reshape", "Squeeze", "Identity"))
"""May stand between softmax and the output."""


class Scores:
    """A model's scores for one example, and the gradient of any of them.

    Args:
        model: with one input and, as its first output, one score per class; left untouched.
        name: what messages call it.

    Raises:
        InvalidInput: if it is no such model.
        NotDifferentiable: if no gradient leads from the scores to the image; the message names the node.
    """

    def __init__(self, model: ir.Model, name: str) -> None:
        made = model.clone()
        if made.graph.opset_imports.get("", OPSET) < OPSET:
            made = opset.convert(made, OPSET)
        annotate_graph(made.graph)
        graph = made.graph
        x = input_value(made, name)
        if x.dtype is None or not x.dtype.is_floating_point():
            raise InvalidInput(f"{name}: its input {x.name!r} is {x.dtype}; a gradient needs floating point")
        y, self.before_softmax = _before_softmax(graph.outputs[0])
        shape = None if y.shape is None else y.shape.numpy() if y.shape.is_static() else None
        if shape is None or len(shape) < 2 or int(np.prod(shape)) != shape[1] or y.dtype is None:
            found = "?" if y.shape is None else shape_text(tuple(y.shape))
            raise InvalidInput(f"{name}: its first output has shape {found}; expected one score for each class")
        self.shape, self.dtype = shape, y.dtype.numpy()
        self.input = str(x.name)
        seed = ir.Value(name=DIRECTION, type=ir.TensorType(y.dtype), shape=ir.Shape(shape))
        graph.inputs.append(seed)
        g = Builder(graph)
        (found_gradient,) = gradients(g, [y], [x], [seed])
        if found_gradient is None:
            raise NotDifferentiable(f"{name}: its first output does not depend on its input {x.name!r}")
        for value, output in ((y, SCORE), (found_gradient, GRADIENT)):
            made_output = g.Identity(value)
            made_output.name = output
            graph.outputs.append(made_output)
        self._executor = Executor(made, owned=True)

    def score(self, x: np.ndarray) -> np.ndarray:
        """The scores `(classes,)`, before softmax where the model ends with that."""
        return self._run(x, SCORE, 0).reshape(-1)

    def gradient(self, x: np.ndarray, wanted: int) -> np.ndarray:
        """∂ score[wanted] / ∂x, of the shape of x."""
        return self._run(x, GRADIENT, wanted)

    def _run(self, x: np.ndarray, fetch: str, wanted: int) -> np.ndarray:
        direction = np.zeros(self.shape, self.dtype)
        direction.reshape(-1)[wanted] = 1
        return to_host(self._executor.run({self.input: x, DIRECTION: direction}, [fetch])[0])


@dataclass(frozen=True)
class Saliency:
    """What `saliency` finds.

    Attributes:
        wanted: the class.
        gradient: of its score, or the mean over noisy copies; of the input's shape.
        score: of the class; `share`: its probability by softmax.
        map: largest magnitude over the channels, `(H, W)`.
    """

    wanted: int
    gradient: np.ndarray
    score: float
    share: float
    map: np.ndarray


def saliency(
    scores: Scores,
    x: np.ndarray,
    channels_first: bool,
    wanted: int | None = None,
    samples: int = 0,
    noise: float = 0.15,
    seed: int = 0,
    progress: Any = None,
) -> Saliency:
    """The saliency of an image's pixels for a class.

    Args:
        x: one image as the model takes it, `(1, C, H, W)` or `(1, H, W, C)`.
        wanted: the class; None: the one with the highest score.
        samples: noisy copies to average over (SmoothGrad); 0: the gradient at the image itself.
        noise: standard deviation of the noise as a share of the image's range.
        progress: called with (copies done, copies in all).

    Raises:
        InvalidInput: if there is no such class.
    """
    found = scores.score(x).astype(np.float64)
    chosen = int(found.argmax()) if wanted is None else wanted
    if not 0 <= chosen < len(found):
        raise InvalidInput(f"class {chosen} does not exist; the model has the classes 0 to {len(found) - 1}")
    gradient = scores.gradient(x, chosen) if not samples else np.zeros(x.shape, np.float64)
    spread = noise * float(x.max() - x.min())
    for i in range(samples):
        noisy = x + np.asarray(spread * normal(np, seed, i, x.shape), x.dtype)
        gradient = gradient + scores.gradient(noisy, chosen) / samples
        if progress is not None:
            progress(i + 1, samples)
    shares = np.exp(found - found.max())
    axis = 0 if channels_first else -1
    return Saliency(
        chosen, gradient, float(found[chosen]), float(shares[chosen] / shares.sum()), np.abs(gradient[0]).max(axis)
    )


@styled
def draw_saliency(
    path: Path, model: str, image: np.ndarray, found: Saliency, classes: Sequence[str], method: str, softmax: bool
) -> None:
    """Image, map, and the map laid over the image.

    Args:
        image: `(H, W, 1 or 3)` in [0, 1].
        method: how the gradient was made, for the remark.
        softmax: the score is the one before a softmax.
    """
    height, width = image.shape[:2]
    side = 2.3
    high = side * min(max(height / width, 0.4), 2.0)
    figure = new_figure(3 * side + 0.9, high + 0.85)
    left, middle, right = figure.subplots(1, 3)
    show_image(left, image)
    left.set_title(f"input {height}×{width}", loc="left")
    limit = float(np.quantile(found.map, 0.995)) or float(found.map.max()) or 1.0
    scaled = (found.map / limit).clip(0, 1)
    drawn = middle.imshow(scaled, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
    middle.set_title("|gradient|, largest over the channels", loc="left")
    grey = image.mean(-1)
    right.imshow(0.35 + 0.65 * grey, cmap="gray", vmin=0, vmax=1)
    right.imshow(scaled, cmap=SEQUENTIAL, vmin=0, vmax=1, alpha=scaled**0.6, interpolation="nearest")
    right.set_title("laid over the image", loc="left")
    for axes in (middle, right):
        bare(axes)
    bar = figure.colorbar(drawn, ax=(left, middle, right), pad=0.01, aspect=24, ticks=[0, 1], shrink=0.9)
    bar.ax.set_yticklabels(["0", f"{limit:.2g}"])
    bar.ax.tick_params(length=0)
    bar.outline.set_linewidth(0)
    name = repr(classes[found.wanted]) if found.wanted < len(classes) else str(found.wanted)
    score = f"score {found.score:.3g}" + (f" before softmax, probability {found.share:.1%}" if softmax else "")
    title(figure, f"{model}: pixels that the score of class {name} depends on", f"{score}; {method}")
    save(figure, path)


def _before_softmax(value: ir.Value) -> tuple[ir.Value, bool]:
    """The scores that softmax makes probabilities of; the value itself where there is none."""
    end = value
    node = end.producer()
    while node is not None and node.op_type in PASSED and not node.domain:
        assert node.inputs[0] is not None
        end = node.inputs[0]
        node = end.producer()
    if node is not None and node.op_type in ("Softmax", "LogSoftmax") and not node.domain:
        assert node.inputs[0] is not None
        return node.inputs[0], True
    return value, False
