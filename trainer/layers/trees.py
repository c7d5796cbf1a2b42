"""Decision trees on top of a network: what gradient boosting has learnt, as a layer and one ONNX node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from .base import Layer, LayerBuilder, Shape

__all__ = ["Decision", "TreeEnsemble"]

ML = "ai.onnx.ml"
SUM, NONE, BRANCH_LT = 1, 0, 1
"""Of ai.onnx.ml's TreeEnsemble: aggregate_function, post_transform, a node's mode."""

Tree = Mapping[str, Sequence[float]]


class TreeEnsemble(Layer):
    """base + the sum, over the trees of each output, of the leaf that x falls into: (batch, features) → (batch, units).

    It is not trained with the network: see `striate.trainer.boosting`. Written as ai.onnx.ml's TreeEnsemble.

    Args:
        units: how many outputs.
        trees: for each tree `{"target": output, "left": […], "right": […], "feature": […], "value": […]}`, one entry
            per node, the root first. An inner node sends x to `left` if x[feature] < value, else to `right`; a leaf has
            the children -1 and its `value` is what it adds to the output.
        base: what each output starts with.
        features: how many the trees were made for.

    Raises:
        InvalidInput: naming the tree and node that refer to what is not there.
    """

    def __init__(self, units: int, trees: Sequence[Tree], base: Sequence[float], features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.features = int(units), int(features)
        self.trees = [dict(tree) for tree in trees]
        self.base = [float(b) for b in base]
        if self.units < 1 or len(self.base) != self.units:
            self.refuse(f"base has {len(self.base)} numbers; expected one for each of {units} units")
        for i, tree in enumerate(self.trees):
            self._check_tree(i, tree)

    def _check_tree(self, i: int, tree: Tree) -> None:
        keys = ("left", "right", "feature", "value")
        if set(tree) != {"target", *keys} or len({len(tree[key]) for key in keys}) != 1 or not len(tree["left"]):
            self.refuse(f"tree {i} does not fit; expected target, and lists of equal length for {', '.join(keys)}")
        if not 0 <= int(tree["target"]) < self.units:  # type: ignore[call-overload]
            self.refuse(f"tree {i} has the target {tree['target']}; there are {self.units} units")
        count = len(tree["left"])
        parents = [0] * count
        for node, (left, right, feature) in enumerate(zip(tree["left"], tree["right"], tree["feature"], strict=True)):
            if left == right == -1:
                continue
            for child in (left, right):
                if not node < child < count or parents[int(child)]:
                    self.refuse(f"tree {i}: node {node} has the child {child}; children come later, each once")
                parents[int(child)] = 1
            if not 0 <= feature < self.features:
                self.refuse(f"tree {i}: node {node} looks at feature {feature}; there are {self.features}")

    def check(self, input_shape: Shape) -> None:
        if len(input_shape) != 2 or input_shape[1] != self.features:
            self.refuse(f"its input shape is {input_shape}; expected (batch, {self.features})")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        sums = g.op("TreeEnsemble", inputs[0], domain=ML, **_attributes(self.trees), n_targets=self.units)
        return g.Add(sums, np.array(self.base, np.float32))


class Decision(Layer):
    """Probabilities → what they say: the number of the largest, (batch,); or, with a threshold, of each whether it
    reaches that, (batch, units) of 0 and 1. int64.

    Args:
        threshold: from 0 to 1; None: exactly one class is right.
    """

    def __init__(self, threshold: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = None if threshold is None else float(threshold)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            self.refuse(f"threshold {threshold} does not fit; expected 0 to 1")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        if self.threshold is None:
            return g.ArgMax(inputs[0], axis=-1, keepdims=0)
        return g.Cast(g.GreaterOrEqual(inputs[0], self.threshold), to=ir.DataType.INT64)


def _attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """TreeEnsemble lists inner nodes and leaves apart; a tree that is one leaf becomes a node with that leaf twice."""
    nodes: dict[str, list[int]] = {
        name: []
        for name in (
            "nodes_featureids", "nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids", "nodes_falseleafs",
        )
    }  # fmt: skip
    splits: list[float] = []
    weights: list[float] = []
    roots, targets = [], []
    for tree in trees:
        roots.append(len(splits))
        inner = [i for i, left in enumerate(tree["left"]) if left != -1] or [0]
        at = {node: len(splits) + k for k, node in enumerate(inner)}
        for node in inner:
            leaf = tree["left"][node] == -1
            nodes["nodes_featureids"].append(0 if leaf else int(tree["feature"][node]))
            splits.append(0.0 if leaf else float(tree["value"][node]))
            for side, name in (("left", "true"), ("right", "false")):
                child = node if leaf else int(tree[side][node])
                ends = leaf or tree["left"][child] == -1
                nodes[f"nodes_{name}leafs"].append(int(ends))
                nodes[f"nodes_{name}nodeids"].append(len(weights) if ends else at[child])
                if ends:
                    weights.append(float(tree["value"][child]))
                    targets.append(int(tree["target"]))  # type: ignore[call-overload]
    return {
        **nodes,
        "tree_roots": roots,
        "nodes_splits": np.array(splits, np.float32),
        "nodes_modes": np.full(len(splits), BRANCH_LT, np.uint8),
        "leaf_targetids": targets,
        "leaf_weights": np.array(weights, np.float32),
        "aggregate_function": SUM,
        "post_transform": NONE,
    }
