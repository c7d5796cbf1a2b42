"""What the case table cannot say of trees: errors, hostile ids, sharing, blocks, and that attributes are read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import LimitExceeded, StriateError
from striate.runtime.ops import _ensembles, registry
from striate.runtime.ops._compiled import KEPT, once

from .cases import trees

ML = "ai.onnx.ml"
X = np.array([[0.0], [2.0]])
TREE: dict[str, Any] = {
    "nodes_treeids": (0, 0, 0),
    "nodes_nodeids": (0, 1, 2),
    "nodes_modes": ("BRANCH_LEQ", "LEAF", "LEAF"),
    "nodes_featureids": (0, 9, -9),
    "nodes_values": (1.0, 0.0, 0.0),
    "nodes_truenodeids": (1, 77, 77),
    "nodes_falsenodeids": (2, 77, 77),
}
TARGETS: dict[str, Any] = {
    "target_treeids": (0, 0),
    "target_nodeids": (1, 2),
    "target_ids": (0, 0),
    "target_weights": (0.25, 0.75),
}
REGRESSOR = TREE | TARGETS
ENSEMBLE = {k: tuple(v) if isinstance(v, list) else v for k, v in trees.ensemble().items()}


def run(name: str, version: int, x: Any, attributes: dict[str, Any]) -> Any:
    operator = registry.lookup(ML, name, version)
    return operator.kernel(np, x, **operator.bind(attributes))


def test_ids_of_leaves_are_ignored() -> None:
    assert run("TreeEnsembleRegressor", 3, X, REGRESSOR).tolist() == [[0.25], [0.75]]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "cycle": ({"nodes_modes": ("BRANCH_LEQ", "BRANCH_LEQ", "LEAF"), "nodes_truenodeids": (1, 0, 0),
               "nodes_falsenodeids": (2, 2, 2), "nodes_featureids": (0, 0, 0)}, "form a cycle"),
    "own child": ({"nodes_falsenodeids": (0, 0, 0)}, "form a cycle"),
    "child": ({"nodes_truenodeids": (3, 0, 0)}, "true branch of a tree is a node that is not there"),
    "child in another tree": ({"nodes_treeids": (0, 1, 0), "target_treeids": (1, 0)}, "true branch of a tree is"),
    "feature": ({"nodes_featureids": (1, 0, 0)}, "ask for feature 1, but X has 1"),
    "negative feature": ({"nodes_featureids": (-1, 0, 0)}, "must not be negative; found -1"),
    "same id": ({"nodes_nodeids": (0, 1, 1)}, "same id"),
    "mode": ({"nodes_modes": ("BRANCH_NEAR", "LEAF", "LEAF")}, "'BRANCH_NEAR' is unknown"),
    "members without a set": ({"nodes_modes": ("BRANCH_MEMBER", "LEAF", "LEAF")}, "0 sets for 1 nodes"),
    "lengths": ({"nodes_values": (1.0,)}, "nodes_values has 1"),
    "weights": ({"target_weights": (1.0,)}, "weights has 1"),
    "values twice": ({"nodes_values_as_tensor": np.ones(3)}, "both given"),
    "target": ({"target_ids": (0, 1)}, "run from 0 to 1; there are 1 targets"),
    "negative target": ({"target_ids": (-1, 0)}, "run from -1"),
    "targets": ({"n_targets": 0}, "must be at least 1; found 0"),
    "weight of no node": ({"target_nodeids": (1, 7)}, r"tree and node \(0, 7\), which is not there"),
    "aggregate": ({"aggregate_function": "MEDIAN"}, "'MEDIAN' is unknown"),
    "transform": ({"post_transform": "SQUARE"}, "'SQUARE' is unknown"),
    "base values": ({"base_values": (1.0, 2.0)}, "2 base values for 1 scores"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[dict[str, Any], str]) -> None:
    changed, message = wrong
    with pytest.raises(StriateError, match=message):
        run("TreeEnsembleRegressor", 3, X, REGRESSOR | changed)


WRONG_5: dict[str, tuple[dict[str, Any], str]] = {
    "cycle": ({"nodes_truenodeids": (0, 0, 0, 4, 5, 4)}, "form a cycle"),
    "node": ({"nodes_truenodeids": (6, 0, 0, 4, 5, 4)}, "child 6 is not there: 6 nodes, 7 leaves"),
    "leaf": ({"nodes_falsenodeids": (2, 1, 2, 3, 7, 5)}, "child 7 is not there"),
    "negative": ({"nodes_falsenodeids": (2, -1, 2, 3, 6, 5)}, "child -1 is not there"),
    "root": ({"tree_roots": (0, 6)}, "tree_roots run from 0 to 6; there are 6 nodes"),
    "mode": ({"nodes_modes": np.full(6, 7, np.uint8)}, "node mode 7 is unknown"),
    "lengths": ({"nodes_featureids": (0, 1)}, "nodes_featureids has 2"),
    "leaves": ({"leaf_targetids": (0, 1)}, "leaf_targetids has 2"),
    "target": ({"n_targets": 1}, "there are 1 targets"),
    "no targets": ({"n_targets": 0}, "must be at least 1"),
    "members": ({"membership_values": np.array([1.0, np.nan])}, "1 sets for 0 nodes"),
    "aggregate": ({"aggregate_function": 4}, "aggregate_function 4"),
    "transform": ({"post_transform": -1}, "post_transform -1"),
}


@pytest.mark.parametrize("wrong", WRONG_5.values(), ids=WRONG_5)
def test_errors_of_tree_ensemble(wrong: tuple[dict[str, Any], str]) -> None:
    changed, message = wrong
    with pytest.raises(StriateError, match=message):
        run("TreeEnsemble", 5, np.ones((2, 3)), ENSEMBLE | changed)


def test_sizes_that_a_small_file_could_ask_for() -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        run("TreeEnsembleRegressor", 3, X, REGRESSOR | {"n_targets": 2**50})
    count = 5000
    entries = {"target_treeids": (0,) * count, "target_nodeids": (1,) * count, "target_ids": tuple(range(count)),
               "target_weights": (1.0,) * count}  # fmt: skip
    chain = _chain(count)
    leaves = {name: (*entries[name], *value) for name, value in {
        "target_treeids": (0,) * count, "target_nodeids": tuple(range(2, 2 * count + 1, 2)),
        "target_ids": (0,) * count, "target_weights": (1.0,) * count}.items()}  # fmt: skip
    with pytest.raises(LimitExceeded, match="contributes to 5000 targets"):
        run("TreeEnsembleRegressor", 3, X, chain | leaves | {"n_targets": count})


def _chain(depth: int) -> dict[str, Any]:
    """One tree of `depth` tests in a row: the i-th leads on to node 2i + 1 where it holds, else to leaf 2i + 2."""
    inner = [0, *range(1, 2 * depth - 1, 2)]
    nodes = range(2 * depth + 1)
    following = {node: (2 * i + 1, 2 * i + 2) for i, node in enumerate(inner)}
    return {
        "nodes_treeids": (0,) * len(nodes),
        "nodes_nodeids": tuple(nodes),
        "nodes_modes": tuple("BRANCH_GT" if node in following else "LEAF" for node in nodes),
        "nodes_featureids": (0,) * len(nodes),
        "nodes_values": tuple(float(n) for n in nodes),
        "nodes_truenodeids": tuple(following.get(node, (0, 0))[0] for node in nodes),
        "nodes_falsenodeids": tuple(following.get(node, (0, 0))[1] for node in nodes),
    }


def test_long_chain() -> None:
    """As deep as a file can say: sample x leaves where its value is no longer greater than the number of the node."""
    chain = _chain(3000)
    count = len(chain["nodes_nodeids"])
    weights = {"target_treeids": (0,) * count, "target_nodeids": tuple(range(count)), "target_ids": (0,) * count,
               "target_weights": tuple(float(n) for n in range(count))}  # fmt: skip
    got = run("TreeEnsembleRegressor", 3, np.array([[0.0], [2.0], [1e9]]), chain | weights)
    assert got.ravel().tolist() == [2.0, 6.0, 5999.0]


def test_branches_may_share_nodes() -> None:
    """Converters write set membership as a series of tests whose true branches are the same node."""
    shared = {
        "nodes_treeids": (0,) * 5,
        "nodes_nodeids": tuple(range(5)),
        "nodes_modes": ("BRANCH_EQ", "BRANCH_EQ", "BRANCH_LT", "LEAF", "LEAF"),
        "nodes_featureids": (0,) * 5,
        "nodes_values": (1.0, 2.0, 2.0, 0.0, 0.0),
        "nodes_truenodeids": (2, 2, 3, 0, 0),
        "nodes_falsenodeids": (1, 4, 4, 0, 0),
    }
    weights = TARGETS | {"target_nodeids": (3, 4)}
    got = run("TreeEnsembleRegressor", 3, np.array([[1.0], [2.0], [3.0]]), shared | weights)
    assert got.ravel().tolist() == [0.25, 0.75, 0.75]


def test_values_are_compared_in_the_dtype_of_the_input() -> None:
    third = {"nodes_values": (float(np.float32(1 / 3)), 0.0, 0.0)}
    x = np.array([[1 / 3]])
    above = np.nextafter(np.float32(1 / 3), np.float32(1)).astype(np.float64)
    assert run("TreeEnsembleRegressor", 3, x, REGRESSOR | third).item() == 0.25
    assert run("TreeEnsembleRegressor", 3, x + 1e-7, REGRESSOR | third).item() == 0.75
    assert run("TreeEnsembleRegressor", 3, x.astype(np.float32), REGRESSOR | third).item() == 0.25
    assert run("TreeEnsembleRegressor", 3, np.array([[above]], np.float32), REGRESSOR | third).item() == 0.75
    tensor = {"nodes_values": (), "nodes_values_as_tensor": np.array([1 / 3, 0, 0])}
    assert run("TreeEnsembleRegressor", 3, x.astype(np.float32), REGRESSOR | tensor).item() == 0.75


@pytest.mark.parametrize("aggregate", ["SUM", "MAX"])
def test_blocks(aggregate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples of a large batch are walked in blocks: the results are those of one block."""
    nodes = trees.forest("BRANCH_LEQ", "BRANCH_GT")
    attributes = nodes | trees.leaves(nodes, range(2), "target") | {"n_targets": 2, "aggregate_function": aggregate}
    x = trees.samples(101)
    whole = run("TreeEnsembleRegressor", 3, x, attributes)
    monkeypatch.setattr(_ensembles, "_HOST_BLOCK", 64)
    np.testing.assert_array_equal(run("TreeEnsembleRegressor", 3, x, attributes), whole)


def test_attributes_are_read_once() -> None:
    """The same objects are not read again; equal ones are, and their results are not mixed up."""
    calls = []

    @once
    def total(numbers: list[int], factor: int) -> int:
        calls.append(numbers)
        return factor * sum(numbers)

    first, second = [1, 2], [3, 4]
    assert [total(first, 2), total(first, 2), total(first, 1000), total(second, 2)] == [6, 6, 3000, 14]
    assert len(calls) == 3
    for i in range(KEPT):
        assert total([i, i], 1) == 2 * i
    assert total(first, 2) == 6
    assert len(calls) == 4 + KEPT
