"""ai.onnx.ml: ensembles of decision trees.

Weights are summed in float64 and results rounded once, to float32, which is what the specification asks of all but
TreeEnsemble.
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidGraph
from ._axes import same_length
from ._compiled import once
from ._ensembles import AGGREGATES, LEAF, MODES, Ensemble, Nodes, ensemble
from ._scores import TRANSFORMS, both_classes, class_labels, results, rows, transform
from .registry import op

ML = "ai.onnx.ml"


def _numbers(name, plain, as_tensor):
    """The float32 attribute, or the tensor that may stand in for it."""
    if as_tensor is None:
        return np.array(plain, np.float32)
    if len(plain):
        raise InvalidGraph(f"{name} and {name}_as_tensor are both given; expected one of them")
    return as_tensor.reshape(-1)


@once
def _compiled(
    xp, dtype, nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes, nodes_values, nodes_values_as_tensor,
    nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true, treeids, nodeids, ids, weights,
    weights_as_tensor, n_targets, aggregate,
) -> Ensemble:  # fmt: skip
    """The ensemble whose nodes are named by the ids of their tree and in it."""
    values = _numbers("nodes_values", nodes_values, nodes_values_as_tensor)
    weights = _numbers("weights", weights, weights_as_tensor)
    same_length(
        nodes_treeids=nodes_treeids, nodes_nodeids=nodes_nodeids, nodes_featureids=nodes_featureids,
        nodes_modes=nodes_modes, nodes_values=values, nodes_truenodeids=nodes_truenodeids,
        nodes_falsenodeids=nodes_falsenodeids,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true or nodes_treeids,
    )  # fmt: skip
    same_length(treeids=treeids, nodeids=nodeids, ids=ids, weights=weights)
    place = {pair: i for i, pair in enumerate(zip(nodes_treeids, nodes_nodeids, strict=True))}
    if len(place) < len(nodes_treeids):
        raise InvalidGraph("two nodes of one tree have the same id")
    if unknown := set(nodes_modes) - set(MODES):
        raise InvalidGraph(f"node mode {min(unknown)!r} is unknown; expected one of {', '.join(MODES)}")
    modes = np.array([MODES.index(mode) for mode in nodes_modes], np.int64)
    # The place of a child that is not there is no node's; a leaf has none.
    true, false = (
        np.array([place.get(pair, -1) for pair in zip(nodes_treeids, ids_of_children, strict=True)], np.int64)
        for ids_of_children in (nodes_truenodeids, nodes_falsenodeids)
    )
    try:
        at = np.array([place[pair] for pair in zip(treeids, nodeids, strict=True)], np.int64)
    except KeyError as error:
        raise InvalidGraph(f"a weight is for tree and node {error.args[0]}, which is not there") from None
    roots = [
        place[tree, node] for tree, node in dict(zip(nodes_treeids[::-1], nodes_nodeids[::-1], strict=True)).items()
    ]
    nodes = Nodes(
        np.array(nodes_featureids, np.int64), values, modes, true, false,
        np.array(nodes_missing_value_tracks_true or np.zeros(len(modes)), bool), np.array(roots, np.int64),
    )  # fmt: skip
    return ensemble(xp, dtype, nodes, values[:0], (at, np.array(ids, np.int64), weights), n_targets, aggregate)


def _with_base(xp, scores, base):
    """The scores with the base values, one for each of their columns, added."""
    if not len(base):
        return scores
    if len(base) != scores.shape[-1]:
        raise InvalidGraph(f"there are {len(base)} base values for {scores.shape[-1]} scores")
    return scores + xp.asarray(base.astype(np.float64))


# ---- TreeEnsembleRegressor


def _regressor(xp, X, n_targets, aggregate_function, post_transform, base, *trees):
    X = rows(xp, X)
    n_targets = 1 if n_targets is None else n_targets
    if n_targets < 1:
        raise InvalidGraph(f"n_targets must be at least 1; found {n_targets}")
    model = _compiled(xp, X.dtype.type, *trees, n_targets, aggregate_function)
    scores = _with_base(xp, model.scores(X, aggregate_function), _numbers("base_values", *base))
    return transform(xp, scores, post_transform).astype(np.float32)


@op("TreeEnsembleRegressor", since=1, domain=ML, differentiable=False)
def tree_ensemble_regressor_1(
    xp, X, *, aggregate_function="SUM", base_values=(), n_targets=None, nodes_falsenodeids=(), nodes_featureids=(),
    nodes_hitrates=(), nodes_missing_value_tracks_true=(), nodes_modes=(), nodes_nodeids=(), nodes_treeids=(),
    nodes_truenodeids=(), nodes_values=(), post_transform="NONE", target_ids=(), target_nodeids=(), target_treeids=(),
    target_weights=(),
):  # fmt: skip
    """For each sample and target the aggregate of the weights of the leaves reached; float32 [N, n_targets]."""
    return _regressor(
        xp, X, n_targets, aggregate_function, post_transform, (base_values, None), nodes_treeids, nodes_nodeids,
        nodes_featureids, nodes_modes, nodes_values, None, nodes_truenodeids, nodes_falsenodeids,
        nodes_missing_value_tracks_true, target_treeids, target_nodeids, target_ids, target_weights, None,
    )  # fmt: skip


@op("TreeEnsembleRegressor", since=3, domain=ML, differentiable=False)
def tree_ensemble_regressor_3(
    xp, X, *, aggregate_function="SUM", base_values=(), base_values_as_tensor=None, n_targets=None,
    nodes_falsenodeids=(), nodes_featureids=(), nodes_hitrates=(), nodes_hitrates_as_tensor=None,
    nodes_missing_value_tracks_true=(), nodes_modes=(), nodes_nodeids=(), nodes_treeids=(), nodes_truenodeids=(),
    nodes_values=(), nodes_values_as_tensor=None, post_transform="NONE", target_ids=(), target_nodeids=(),
    target_treeids=(), target_weights=(), target_weights_as_tensor=None,
):  # fmt: skip
    """For each sample and target the aggregate of the weights of the leaves reached; float32 [N, n_targets].

    Attributes that end in `_as_tensor` may be of type double.
    """
    return _regressor(
        xp, X, n_targets, aggregate_function, post_transform, (base_values, base_values_as_tensor), nodes_treeids,
        nodes_nodeids, nodes_featureids, nodes_modes, nodes_values, nodes_values_as_tensor, nodes_truenodeids,
        nodes_falsenodeids, nodes_missing_value_tracks_true, target_treeids, target_nodeids, target_ids,
        target_weights, target_weights_as_tensor,
    )  # fmt: skip


# ---- TreeEnsembleClassifier


@once
def _shared_column(class_ids, class_weights, class_weights_as_tensor):
    """(the one class that all weights are for, whether no weight is negative), or None if there are several."""
    if len(set(class_ids)) != 1:
        return None
    return class_ids[0], bool((_numbers("class_weights", class_weights, class_weights_as_tensor) >= 0).all())


def _classifier(xp, X, labels, post_transform, base, weights, *trees):
    """Runs on the host, where text labels are.

    Of two classes that share one column of weights, the column speaks for the second: whichever class its ids name, it
    is chosen where the score is positive, or beyond a half where no weight is negative, which makes it a probability.
    """
    labels, X, class_ids = class_labels(*labels), rows(np, X), trees[-1]
    base = _numbers("base_values", *base)
    model = _compiled(np, X.dtype.type, *trees, *weights, len(labels), "SUM")
    scores = model.scores(X, "SUM")
    shared = _shared_column(class_ids, *weights) if len(labels) == 2 and len(base) < 2 else None
    if shared is None:
        scores = _with_base(np, scores, base)
        return results(xp, labels, scores.argmax(axis=-1), transform(np, scores, post_transform))
    column, probability = shared
    score = scores[:, column]
    score += base.sum()
    chosen = (score > (0.5 if probability else 0)).astype(np.int64)
    if column == 0:
        return results(xp, labels, chosen, both_classes(score, post_transform, probability))
    return results(xp, labels, chosen, transform(np, scores, post_transform))


@op("TreeEnsembleClassifier", since=1, domain=ML, host=(0,), differentiable=False)
def tree_ensemble_classifier_1(
    xp, X, *, base_values=(), class_ids=(), class_nodeids=(), class_treeids=(), class_weights=(),
    classlabels_int64s=(), classlabels_strings=(), nodes_falsenodeids=(), nodes_featureids=(), nodes_hitrates=(),
    nodes_missing_value_tracks_true=(), nodes_modes=(), nodes_nodeids=(), nodes_treeids=(), nodes_truenodeids=(),
    nodes_values=(), post_transform="NONE",
):  # fmt: skip
    """For each sample the label of the best class, and the scores of all: float32 [N, classes]."""
    return _classifier(
        xp, X, (classlabels_int64s, classlabels_strings), post_transform, (base_values, None), (class_weights, None),
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes, nodes_values, None, nodes_truenodeids,
        nodes_falsenodeids, nodes_missing_value_tracks_true, class_treeids, class_nodeids, class_ids,
    )  # fmt: skip


@op("TreeEnsembleClassifier", since=3, domain=ML, host=(0,), differentiable=False)
def tree_ensemble_classifier_3(
    xp, X, *, base_values=(), base_values_as_tensor=None, class_ids=(), class_nodeids=(), class_treeids=(),
    class_weights=(), class_weights_as_tensor=None, classlabels_int64s=(), classlabels_strings=(),
    nodes_falsenodeids=(), nodes_featureids=(), nodes_hitrates=(), nodes_hitrates_as_tensor=None,
    nodes_missing_value_tracks_true=(), nodes_modes=(), nodes_nodeids=(), nodes_treeids=(), nodes_truenodeids=(),
    nodes_values=(), nodes_values_as_tensor=None, post_transform="NONE",
):  # fmt: skip
    """For each sample the label of the best class, and the scores of all: float32 [N, classes].

    Attributes that end in `_as_tensor` may be of type double.
    """
    return _classifier(
        xp, X, (classlabels_int64s, classlabels_strings), post_transform, (base_values, base_values_as_tensor),
        (class_weights, class_weights_as_tensor), nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes,
        nodes_values, nodes_values_as_tensor, nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
        class_treeids, class_nodeids, class_ids,
    )  # fmt: skip


# ---- TreeEnsemble


@once
def _compiled_5(
    xp, dtype, tree_roots, nodes_modes, nodes_featureids, nodes_splits, nodes_truenodeids, nodes_trueleafs,
    nodes_falsenodeids, nodes_falseleafs, nodes_missing_value_tracks_true, leaf_targetids, leaf_weights, n_targets,
    membership_values, aggregate,
) -> Ensemble:  # fmt: skip
    """The ensemble with inner nodes and leaves listed apart: leaf i is placed behind the nodes, at nodes + i."""
    modes, splits, weights = (a.reshape(-1) for a in (nodes_modes, nodes_splits, leaf_weights))
    same_length(
        nodes_modes=modes, nodes_featureids=nodes_featureids, nodes_splits=splits, nodes_truenodeids=nodes_truenodeids,
        nodes_trueleafs=nodes_trueleafs, nodes_falsenodeids=nodes_falsenodeids, nodes_falseleafs=nodes_falseleafs,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true or nodes_featureids,
    )  # fmt: skip
    same_length(leaf_targetids=leaf_targetids, leaf_weights=weights)
    count, leaves = len(modes), len(weights)
    if count and modes.max() >= LEAF:
        raise InvalidGraph(f"node mode {modes.max()} is unknown; expected 0 to {LEAF - 1}")

    def children(ids, is_leaf):
        ids, is_leaf = np.array(ids, np.int64), np.array(is_leaf, bool)
        if (outside := (ids < 0) | (ids >= np.where(is_leaf, leaves, count))).any():
            raise InvalidGraph(f"child {ids[outside][0]} is not there: {count} nodes, {leaves} leaves")
        return np.concatenate([ids + count * is_leaf, np.zeros(leaves, np.int64)])

    def padded(values, dtype):
        return np.concatenate([np.asarray(values, dtype), np.zeros(leaves, dtype)])

    roots = np.array(tree_roots, np.int64)
    if len(roots) and not 0 <= roots.min() <= roots.max() < count:
        raise InvalidGraph(f"tree_roots run from {roots.min()} to {roots.max()}; there are {count} nodes")
    nodes = Nodes(
        padded(nodes_featureids, np.int64),
        padded(splits, splits.dtype),
        np.concatenate([modes.astype(np.int64), np.full(leaves, LEAF)]),
        children(nodes_truenodeids, nodes_trueleafs),
        children(nodes_falsenodeids, nodes_falseleafs),
        padded(nodes_missing_value_tracks_true or np.zeros(count), bool),
        roots,
    )
    members = splits[:0] if membership_values is None else membership_values.reshape(-1)
    entries = count + np.arange(leaves), np.array(leaf_targetids, np.int64), weights
    return ensemble(xp, dtype, nodes, members, entries, n_targets, aggregate)


@op("TreeEnsemble", since=5, domain=ML, differentiable=False)
def tree_ensemble(
    xp, X, *, aggregate_function=1, leaf_targetids, leaf_weights, membership_values=None, n_targets=1,
    nodes_falseleafs, nodes_falsenodeids, nodes_featureids, nodes_hitrates=None, nodes_missing_value_tracks_true=(),
    nodes_modes, nodes_splits, nodes_trueleafs, nodes_truenodeids, post_transform=0, tree_roots,
):  # fmt: skip
    """For each sample and target the aggregate of the weights of the leaves reached; [N, n_targets] in X's dtype."""
    if not 0 <= aggregate_function < len(AGGREGATES) or not 0 <= post_transform < len(TRANSFORMS):
        raise InvalidGraph(
            f"aggregate_function {aggregate_function} and post_transform {post_transform} "
            f"must be below {len(AGGREGATES)} and {len(TRANSFORMS)}"
        )
    if n_targets < 1:
        raise InvalidGraph(f"n_targets must be at least 1; found {n_targets}")
    X, aggregate = rows(xp, X), AGGREGATES[aggregate_function]
    model = _compiled_5(
        xp, X.dtype.type, tree_roots, nodes_modes, nodes_featureids, nodes_splits, nodes_truenodeids, nodes_trueleafs,
        nodes_falsenodeids, nodes_falseleafs, nodes_missing_value_tracks_true, leaf_targetids, leaf_weights, n_targets,
        membership_values, aggregate,
    )  # fmt: skip
    return transform(xp, model.scores(X, aggregate), tuple(TRANSFORMS)[post_transform]).astype(X.dtype)
