"""Rows of `runtime/ops/trees.py`, against a walk from node to node for each sample and tree."""

from __future__ import annotations

import operator

import numpy as np

from ..table import Case, case, ints

ML = "ai.onnx.ml"
COMPARE = {
    "BRANCH_LEQ": operator.le, "BRANCH_LT": operator.lt, "BRANCH_GTE": operator.ge,
    "BRANCH_GT": operator.gt, "BRANCH_EQ": operator.eq, "BRANCH_NEQ": operator.ne,
}  # fmt: skip
MODES = tuple(COMPARE)
FEATURES, TREES = 3, 4


def samples(count, missing=False):
    X = ints(count, FEATURES, low=-4, high=5) / 2.0
    if missing:
        X[ints(count, FEATURES, high=4, key="nan") == 0] = np.nan
    return X


def forest(*modes, missing=False, depth=3):
    """The nodes of lopsided trees whose modes take turns; ids count down, the root is listed first."""
    rows = []
    for tree in range(TREES):
        todo = [(100, 0)]
        last = 100
        for node, level in todo:
            turn = len(rows)
            if level == depth or (level and (turn + tree) % 4 == 0):
                rows.append((tree, node, "LEAF", 0, 0.0, 0, 0, 0))
            else:
                rows.append((tree, node, modes[turn % len(modes)], turn % FEATURES, (turn * 5 % 9 - 4) / 2, last - 1,
                             last - 2, turn % 2))  # fmt: skip
                todo += [(last - 1, level + 1), (last - 2, level + 1)]
                last -= 2
    names = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids",
             "missing_value_tracks_true")  # fmt: skip
    nodes = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    if not missing:
        del nodes["nodes_missing_value_tracks_true"]
    return nodes


def leaves(nodes, targets, prefix, low=-4, high=5, every=1):
    """Entries (tree, node, target, weight) of all leaves; with `every` some leaves have none for some targets."""
    found = [
        (tree, node, k)
        for i, (tree, node, mode) in enumerate(
            zip(nodes["nodes_treeids"], nodes["nodes_nodeids"], nodes["nodes_modes"], strict=True)
        )
        if mode == "LEAF"
        for k in targets
        if (i + k) % every == 0
    ]
    weights = (ints(len(found), low=low, high=high, key=prefix) / 8).tolist()
    columns = [list(column) for column in zip(*found, strict=True)]
    kind = "" if prefix == "target" else "class_"
    ids = "target_ids" if not kind else "class_ids"
    return {f"{prefix}_treeids": columns[0], f"{prefix}_nodeids": columns[1], ids: columns[2],
            f"{prefix}_weights": weights}  # fmt: skip


def _given(attrs, name):
    tensor = attrs.get(f"{name}_as_tensor")
    return list(attrs.get(name, ())) if tensor is None else tensor.tolist()


def _leaf(x, attrs, tree):
    keys = list(zip(attrs["nodes_treeids"], attrs["nodes_nodeids"], strict=True))
    values = _given(attrs, "nodes_values")
    place = next(i for i, key in enumerate(keys) if key[0] == tree)
    while attrs["nodes_modes"][place] != "LEAF":
        value = x[attrs["nodes_featureids"][place]]
        true = COMPARE[attrs["nodes_modes"][place]](value, values[place])
        true = true or (np.isnan(value) and attrs.get("nodes_missing_value_tracks_true", [0] * 999)[place])
        branch = attrs["nodes_truenodeids" if true else "nodes_falsenodeids"]
        place = keys.index((tree, branch[place]))
    return keys[place]


def _scores(X, attrs, prefix, count, aggregate):
    entries = list(zip(attrs[f"{prefix}_treeids"], attrs[f"{prefix}_nodeids"], attrs[f"{prefix}_ids"],
                       _given(attrs, f"{prefix}_weights"), strict=True))  # fmt: skip
    scores = np.zeros((len(X), count))
    for row, x in zip(scores, X, strict=True):
        reached = [_leaf(x, attrs, tree) for tree in range(TREES)]
        for k in range(count):
            found = [w for tree, node, target, w in entries if (tree, node) in reached and target == k]
            row[k] = AGGREGATE[aggregate](found) if found else 0
    return scores


AGGREGATE = {"SUM": sum, "AVERAGE": lambda w: sum(w) / TREES, "MIN": min, "MAX": max}


def _softmax(s):
    return np.exp(s) / np.exp(s).sum(-1, keepdims=True)


def _softmax_zero(s):
    e = np.where(s == 0, 0, np.exp(s))
    return e / np.where(e.any(-1, keepdims=True), e.sum(-1, keepdims=True), 1)


def probit(p):
    """2 % = −2.054 and so on, by the formula of Winitzki that the onnx reference has."""
    log = np.log(1 - (2 * p - 1) ** 2)
    v = 2 / (np.pi * 0.147) + log / 2
    return np.sign(p - 0.5) * np.sqrt(2) * np.sqrt(np.sqrt(v * v - log / 0.147) - v)


TRANSFORM = {"NONE": lambda s: s, "LOGISTIC": lambda s: 1 / (1 + np.exp(-s)), "SOFTMAX": _softmax,
             "SOFTMAX_ZERO": _softmax_zero, "PROBIT": probit}  # fmt: skip


def regressor(X, *, n_targets=1, aggregate_function="SUM", post_transform="NONE", **attrs):
    scores = _scores(X, attrs, "target", n_targets, aggregate_function)
    base = _given(attrs, "base_values")
    return TRANSFORM[post_transform](scores + np.array(base) if base else scores).astype(np.float32)


def classifier(X, *, post_transform="NONE", classlabels_int64s=None, classlabels_strings=None, **attrs):
    labels = np.array(classlabels_int64s or classlabels_strings, np.int64 if classlabels_int64s else object)
    base, ids = _given(attrs, "base_values"), set(attrs["class_ids"])
    scores = _scores(X, attrs, "class", len(labels), "SUM")
    if len(labels) > 2 or len(ids) > 1 or len(base) > 1:
        scores += np.array(base) if base else 0
        return labels[scores.argmax(1)], TRANSFORM[post_transform](scores).astype(np.float32)
    s = scores[:, min(ids)] + sum(base)
    positive = min(_given(attrs, "class_weights")) >= 0
    chosen = labels[(s > (0.5 if positive else 0)).astype(int)]
    first = {"LOGISTIC": -s, "PROBIT": 1 - s}.get(post_transform, 1 - s if positive else -s)
    if ids == {1}:
        first = 0 * s
    both = np.stack([first, s], 1)
    if ids == {1} or post_transform in ("LOGISTIC", "PROBIT"):
        both = TRANSFORM[post_transform](both)
    return chosen, both.astype(np.float32)


def _tensor(nodes, *names):
    """The same attributes as tensors of double, where they have a third that float32 cannot hold."""
    return {(f"{k}_as_tensor" if k in names else k): (np.array(v) / 3 if k in names else v) for k, v in nodes.items()}


def regressor_rows():
    def row(nodes, X, targets=1, name="", opset=3, every=1, **attrs):
        weights = leaves(nodes, range(targets), "target", every=every)
        return case("TreeEnsembleRegressor", X, domain=ML, opset=opset, expect=regressor, name=name,
                    n_targets=targets, **nodes, **weights, **attrs)  # fmt: skip

    for mode in MODES:
        yield row(forest(mode), samples(40), name=mode)
        yield row(forest(mode, missing=True), samples(40, missing=True), name=f"{mode} missing")
    mixed = forest(*MODES, missing=True)
    yield row(mixed, samples(40, missing=True), 2, "mixed")
    yield row(mixed, samples(40), 2, opset=1, base_values=[0.5, -0.25])
    yield row(forest("BRANCH_LT"), samples(40), 2, aggregate_function="AVERAGE")
    yield row(mixed, ints(40, FEATURES, low=-2, high=3), 1, "integers")
    yield row(mixed, ints(40, FEATURES, low=-2, high=3, dtype=np.int32), 1, "integers of 32 bits")
    yield row(mixed, samples(0), 2, "no samples")
    yield row(forest("BRANCH_LEQ", depth=1), samples(1), 1, "one sample")
    for aggregate in AGGREGATE:
        for targets in (1, 3):
            yield row(mixed, samples(20), targets, f"{aggregate} {targets}", every=targets,
                      aggregate_function=aggregate, base_values=[0.5, -0.25, 2.0][:targets])  # fmt: skip
    for post in TRANSFORM:
        low, high = (0, 2) if post == "PROBIT" else (-4, 5)
        weights = leaves(mixed, range(3), "target", low, high)
        yield case("TreeEnsembleRegressor", samples(20), domain=ML, opset=3, expect=regressor, n_targets=3,
                   post_transform=post, base_values=[0.0625] * 3, name=post, **mixed, **weights)  # fmt: skip
    yield row(forest("BRANCH_LEQ"), samples(20), 1, "LOGISTIC of one", post_transform="LOGISTIC")
    weights = leaves(mixed, range(2), "target")
    yield case("TreeEnsembleRegressor", samples(40) / 3, domain=ML, opset=3, expect=regressor, n_targets=2,
               base_values_as_tensor=np.array([0.1, 0.2]), name="tensors", dtypes=("float64",),
               **_tensor(mixed, "nodes_values"), **_tensor(weights, "target_weights"))  # fmt: skip


def classifier_rows():
    def row(nodes, X, ids, name, opset=3, low=-4, **attrs):
        return case("TreeEnsembleClassifier", X, outputs=2, domain=ML, opset=opset, expect=classifier, name=name,
                    **nodes, **leaves(nodes, ids, "class", low=low), **attrs)  # fmt: skip

    mixed, plain = forest(*MODES, missing=True), forest("BRANCH_LEQ")
    for post in TRANSFORM:
        if post != "PROBIT":
            yield row(plain, samples(20), range(3), post, classlabels_int64s=[7, 5, 9], post_transform=post)
        for column in (0, 1):
            for low in (-4, 0):
                if post == "PROBIT" and (low or column):
                    continue
                base = {"base_values": [0.0625]} if low else {}
                yield row(plain, samples(20), [column], f"{post} {column} {low}", low=low,
                          classlabels_strings=["no", "yes"], post_transform=post, **base)  # fmt: skip
    yield row(mixed, samples(20, missing=True), range(4), "text", classlabels_strings=list("abcd"))
    yield row(mixed, samples(20), range(2), "two columns", opset=1, classlabels_int64s=[3, 4], base_values=[0.5, 0.25])
    yield row(mixed, samples(20), [0], "one column, two bases", classlabels_int64s=[3, 4], base_values=[0.5, 0.25])
    yield row(plain, samples(20), range(3), "bases", classlabels_int64s=[1, 2, 3], base_values=[0.5, 0.25, 1])
    yield row(plain, ints(20, FEATURES, low=-2, high=3), range(2), "integers", opset=1, classlabels_int64s=[0, 1])
    yield row(plain, samples(0), range(3), "no samples", classlabels_int64s=[1, 2, 3])
    weights = leaves(plain, range(3), "class")
    yield case("TreeEnsembleClassifier", samples(40) / 3, outputs=2, domain=ML, opset=3, expect=classifier,
               name="tensors", dtypes=("float64",), classlabels_int64s=[4, 5, 6],
               base_values_as_tensor=np.array([0.1, 0.2, 0.3]), **_tensor(plain, "nodes_values"),
               **_tensor(weights, "class_weights"))  # fmt: skip


# ---- TreeEnsemble: each tree tests feature 0, then features 1 and 2; members of sets as in SETS

SETS = [[1.0, -2.0, 0.5, 2.0, -0.5], [1.5], [], [0.0, -1.0]]
MEMBERS = np.array([v for members in SETS for v in (*members, np.nan)])


def ensemble(dtype=np.float64, modes=(0, 1, 2, 3, 4, 5), **attrs):
    """Two trees of three nodes; leaf i weighs i / 4 − 1 for target i % 2. The true branches share leaves."""
    numbers = [modes[i % len(modes)] for i in range(6)]
    return {
        "tree_roots": [0, 3],
        "nodes_modes": np.array(numbers, np.uint8),
        "nodes_featureids": [0, 1, 2, 1, 2, 0],
        "nodes_splits": np.array([0.5, -0.5, 1, 1, 0, -1], dtype),
        "nodes_truenodeids": [1, 0, 0, 4, 5, 4],
        "nodes_trueleafs": [0, 1, 1, 0, 0, 1],
        "nodes_falsenodeids": [2, 1, 2, 3, 6, 5],
        "nodes_falseleafs": [0, 1, 1, 1, 1, 1],
        "leaf_targetids": [i % 2 for i in range(7)],
        "leaf_weights": np.array([i / 4 - 1 for i in range(7)], dtype),
        "n_targets": 2,
        **attrs,
    }


def _reached(x, a, root, members):
    node, is_leaf = root, False
    while not is_leaf:
        mode, value = a["nodes_modes"][node], x[a["nodes_featureids"][node]]
        if mode == 6:
            true = value in members[[i for i, m in enumerate(a["nodes_modes"]) if m == 6].index(node)]
        else:
            true = COMPARE[MODES[mode]](value, a["nodes_splits"][node])
        true = true or (np.isnan(value) and a.get("nodes_missing_value_tracks_true", [0] * 6)[node])
        side = "true" if true else "false"
        node, is_leaf = a[f"nodes_{side}nodeids"][node], a[f"nodes_{side}leafs"][node]
    return node


def tree_ensemble(X, *, aggregate_function=1, post_transform=0, **a):
    scores = np.zeros((len(X), 2))
    for row, x in zip(scores, X, strict=True):
        found = [_reached(x, a, root, SETS) for root in a["tree_roots"]]
        for k in range(2):
            weights = [float(a["leaf_weights"][leaf]) for leaf in found if leaf % 2 == k]
            total = sum(weights)
            row[k] = (total / 2, total, min(weights, default=0), max(weights, default=0))[aggregate_function]
    name = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")[post_transform]
    return TRANSFORM[name](scores)


def tree_ensemble_rows():
    def row(X, name, dtype="float64", **attrs):
        return case("TreeEnsemble", X, domain=ML, opset=5, expect=tree_ensemble, dtypes=(dtype,), name=name,
                    **ensemble(np.dtype(dtype), **attrs))  # fmt: skip

    for dtype in ("float64", "float32", "float16"):
        yield row(samples(30), dtype, dtype)
        yield row(samples(30, missing=True), f"{dtype} missing", dtype, nodes_missing_value_tracks_true=[1, 0] * 3)
    for aggregate in range(4):
        yield row(samples(30), f"aggregate {aggregate}", aggregate_function=aggregate)
    for post in range(1, 4):
        yield row(samples(30), f"transform {post}", post_transform=post)
    yield row(samples(30), "probit", post_transform=4, leaf_weights=np.array([1, 2, 3, 4, 5, 6, 7]) / 16)
    members = {"modes": (6, 6, 0, 6, 6, 4), "membership_values": MEMBERS}
    yield row(samples(60), "members", **members)
    tracks = [1, 0, 0, 0, 1, 1]
    yield row(samples(60, missing=True), "members missing", nodes_missing_value_tracks_true=tracks, **members)
    yield row(samples(30), "members without the last NaN", modes=(6, 6, 0, 6, 6, 4), membership_values=MEMBERS[:-1])


CASES: list[Case] = [*regressor_rows(), *classifier_rows(), *tree_ensemble_rows()]
