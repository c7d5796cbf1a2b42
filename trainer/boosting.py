"""Gradient-boosted trees (XGBoost) on the features that a trained network has learnt, in one model.

After A. N. Azhar, M. L. Khodra, A. P. Sutiono, "Multi-label Aspect Categorization with Convolutional Neural Networks
and Extreme Gradient Boosting", 2019: the network is trained first, then its last layer is replaced by trees.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput, MissingDependency
from . import layers
from .model import Model

if TYPE_CHECKING:
    from .layers import Layer, Tensor

__all__ = ["boost", "trees_of"]


def boost(
    model: Model,
    x: Any,
    y: Any,
    *,
    layer: str | None = None,
    rounds: int = 100,
    max_depth: int = 4,
    learning_rate: float = 0.3,
    threshold: float = 0.5,
    seed: int = 0,
    threads: int = 0,
    batch_size: int = 256,
) -> Model:
    """A model whose outputs come from trees on the features of `model`; that one is left as it is, weights are shared.

    Args:
        model: a trained network of one input.
        x: what it takes, (samples, …).
        y: numbers of classes, (samples,), of which each sample has one; or 0 and 1, (samples, labels), of which a
            sample may have any number.
        layer: whose output are the features; default: what the last layer with weights takes. Other than
            (batch, features) is flattened.
        rounds: of boosting, with one tree of at most `max_depth` for each class or label.
        threshold: of the probability of a label.
        threads: of XGBoost; 0: one for each core. The trees do not depend on it.

    Returns:
        A model with the outputs `probabilities` (batch, units), float32: softmax over classes or sigmoid of each label,
        and `labels`, int64: the class, (batch,), or 0 and 1, (batch, labels). It cannot be trained further.

    Raises:
        InvalidInput: y is neither; x and y differ in length; there is no such layer.
        MissingDependency: XGBoost is not installed.
    """
    xgboost = _xgboost()
    y = np.asarray(y)
    many = y.ndim == 2
    units = _units(y)
    features = _features(model, layer)
    values = np.asarray(Model(model.inputs, features).predict(x, batch_size=batch_size))
    if len(values) != len(y):
        raise InvalidInput(f"x has {len(values)} samples and y {len(y)}; expected the same number")
    objective = {"objective": "binary:logistic"} if many else {"objective": "multi:softprob", "num_class": units}
    settings = {"max_depth": max_depth, "eta": learning_rate, "seed": seed, "nthread": threads, "tree_method": "hist"}
    booster = xgboost.train({**objective, **settings}, xgboost.DMatrix(values, label=y), rounds)
    made = trees_of(booster)
    _move_thresholds(made["trees"], values)
    sums = layers.TreeEnsemble(**made, name="trees")(features)
    probabilities = layers.Activation("sigmoid" if many else "softmax", name="probabilities")(sums)
    labels = layers.Decision(threshold if many else None, name="labels")(probabilities)
    boosted = Model(model.inputs, [probabilities, labels], name=model.name)
    boosted.training_facts = {
        **model.training_facts,
        "boosting": {"rounds": rounds, "max_depth": max_depth, "learning_rate": learning_rate, "seed": seed},
    }
    return boosted


def trees_of(booster: Any) -> dict[str, Any]:
    """The arguments of `layers.TreeEnsemble` for a trained `xgboost.Booster` of numeric features.

    Its outputs are the margins: `predict(output_margin=True)`.

    Raises:
        InvalidInput: for boosters of another kind (linear, DART, categorical splits, vector leaves).
    """
    learner = json.loads(booster.save_raw("json").decode())["learner"]
    kind = learner["gradient_booster"]["name"]
    if kind != "gbtree":
        raise InvalidInput(f"the booster is a {kind!r}; expected gbtree")
    found = learner["learner_model_param"]
    units = max(int(found["num_class"]), int(found.get("num_target", 1)), 1)
    base = np.broadcast_to(np.asarray(json.loads(found["base_score"]), np.float64).reshape(-1), units)
    if learner["objective"]["name"] in ("binary:logistic", "reg:logistic"):
        base = np.log(base / (1 - base))  # written down as a probability
    held = learner["gradient_booster"]["model"]
    made = []
    for target, tree in zip(held["tree_info"], held["trees"], strict=True):
        if any(tree["split_type"]) or int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
            raise InvalidInput("the booster has categorical splits or vector leaves; expected numeric, scalar ones")
        made.append(
            {
                "target": target,
                "left": tree["left_children"],
                "right": tree["right_children"],
                "feature": tree["split_indices"],
                "value": tree["split_conditions"],
            }
        )
    return {"units": units, "trees": made, "base": base.tolist(), "features": int(found["num_feature"])}


def _move_thresholds(trees: list[dict[str, Any]], values: np.ndarray) -> None:
    """Puts each threshold halfway between the two values that it parts.

    XGBoost puts it on one of them, where the last bit of a feature, which differs between runtimes and batch sizes,
    would decide.
    """
    columns = [np.unique(column) for column in values.T]
    for tree in trees:
        tree["value"] = list(tree["value"])
        for node, (left, feature) in enumerate(zip(tree["left"], tree["feature"], strict=True)):
            column = columns[feature]
            at = int(np.searchsorted(column, np.float32(tree["value"][node])))
            if left != -1 and 0 < at < len(column):
                tree["value"][node] = (float(column[at - 1]) + float(column[at])) / 2


def _features(model: Model, name: str | None) -> Tensor:
    if len(model.inputs) != 1:
        raise InvalidInput(f"model {model.name!r} has {len(model.inputs)} inputs; expected one")
    if name is not None:
        tensor = model.get_layer(name).output
    else:
        calls = [call for call in model.calls if call.layer.weights]
        if not calls:
            raise InvalidInput(f"model {model.name!r} has no layer with weights, so nothing it has learnt")
        tensor = calls[-1].inputs[0]
    return tensor if len(tensor.shape) == 2 else _flat(tensor)


def _flat(tensor: Tensor) -> Tensor:
    flatten: Layer = layers.Flatten(name="features")
    return flatten(tensor)


def _units(y: np.ndarray) -> int:
    """How many classes or labels."""
    if y.ndim == 1 and y.dtype.kind in "iu" and y.size and y.min() >= 0:
        return max(int(y.max()) + 1, 2)
    if y.ndim == 2 and y.size and np.isin(y, (0, 1)).all():
        return int(y.shape[1])
    raise InvalidInput(
        f"y is {y.dtype}{list(y.shape)}; expected numbers of classes (samples,), or 0 and 1 (samples, labels)"
    )


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError:
        raise MissingDependency("boosting needs XGBoost; install it with pip install 'striate[xgboost]'") from None
    return xgboost
