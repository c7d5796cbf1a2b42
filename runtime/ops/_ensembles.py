"""Ensembles of decision trees as flat arrays: built and checked once from a node's attributes, then walked.

In each level a sample moves from a node to one of four children, by how its feature compares with the node's threshold:
less, equal, greater, or not a number. Leaves are their own children, so every sample makes the same number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InvalidGraph, InvalidInput, LimitExceeded
from ._axes import bounded
from ._scatter import scatter_rows

TRUTH = {
    "BRANCH_LEQ": (1, 1, 0, 0),
    "BRANCH_LT": (1, 0, 0, 0),
    "BRANCH_GTE": (0, 1, 1, 0),
    "BRANCH_GT": (0, 0, 1, 0),
    "BRANCH_EQ": (0, 1, 0, 0),
    "BRANCH_NEQ": (1, 0, 1, 1),
    "BRANCH_MEMBER": (0, 0, 0, 0),
    "LEAF": (0, 0, 0, 0),
}
"""By mode whether the condition holds for less, equal, greater, not a number; numbered as in TreeEnsemble."""

MODES = tuple(TRUTH)
MEMBER, LEAF = MODES.index("BRANCH_MEMBER"), MODES.index("LEAF")
COMPARISONS = ("less_equal", "less", "greater_equal", "greater", "equal", "not_equal")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_HOST_BLOCK, _DEVICE_BLOCK = 1 << 16, 1 << 22
"""About how many pairs of sample and tree are walked at once."""


@dataclass
class Nodes:
    """All nodes of all trees, the leaves among them; children are positions. Arrays of one length, on the host."""

    features: np.ndarray
    thresholds: np.ndarray
    modes: np.ndarray
    true: np.ndarray
    false: np.ndarray
    missing_true: np.ndarray
    roots: np.ndarray

    def __post_init__(self) -> None:
        self.modes = self.modes.copy()
        leaf = self.modes == LEAF
        self.thresholds = np.where(leaf, 0, self.thresholds).astype(self.thresholds.dtype)
        itself = np.arange(len(self.modes))
        self.features = np.where(leaf, 0, self.features)
        self.true, self.false = np.where(leaf, itself, self.true), np.where(leaf, itself, self.false)
        for name, ids in (("true branch", self.true), ("false branch", self.false), ("root", self.roots)):
            if ((ids < 0) | (ids >= len(itself))).any():
                raise InvalidGraph(f"the {name} of a tree is a node that is not there; there are {len(itself)}")
        if (self.features < 0).any():
            raise InvalidGraph(f"feature ids must not be negative; found {self.features.min()}")

    def children(self) -> np.ndarray:
        """[nodes, 4]: where less, equal, greater and not a number lead."""
        truth = np.array(list(TRUTH.values()), bool)[self.modes]
        truth[:, 3] |= self.missing_true.astype(bool)
        return np.where(truth, self.true[:, None], self.false[:, None])

    def with_members(self, values: np.ndarray) -> np.ndarray:
        """`children()` once each set is a search tree: the threshold splits it, equal leads to the true branch.

        The sets of the nodes of mode BRANCH_MEMBER follow each other in `values`, each but the last with a NaN behind
        it. Nodes are added for all elements but one of each set.
        """
        children, where = self.children(), np.flatnonzero(self.modes == MEMBER)
        ends = np.flatnonzero(np.isnan(values))
        sets = np.split(values, ends) if len(values) else []
        sets = [s[~np.isnan(s)] for s in sets]
        if len(ends) and ends[-1] == len(values) - 1:
            sets.pop()
        if len(sets) != len(where):
            raise InvalidGraph(f"membership_values holds {len(sets)} sets for {len(where)} nodes of BRANCH_MEMBER")
        if not sets:
            return children
        thresholds, features, added = list(self.thresholds), list(self.features), list(children)
        for node, members in zip(where, sets, strict=True):
            yes, no, nan = self.true[node], self.false[node], children[node, 3]
            todo = [(int(node), np.unique(members))]
            while todo:
                place, members = todo.pop()
                if not len(members):
                    continue
                middle = len(members) // 2
                thresholds[place] = members[middle]
                row = [no, yes, no, nan]
                for side, part in ((0, members[:middle]), (2, members[middle + 1 :])):
                    if len(part):
                        row[side] = len(added)
                        todo.append((len(added), part))
                        added.append(row)
                        thresholds.append(self.thresholds[node])
                        features.append(features[node])
                added[place] = row
        self.thresholds, self.features = np.array(thresholds, self.thresholds.dtype), np.array(features)
        self.modes = np.concatenate([self.modes, np.full(len(added) - len(self.modes), MEMBER)])
        return np.array(added, np.int64).reshape(-1, 4)


@dataclass
class Ensemble:
    """Trees ready to be walked. `weights[leaf]` and `targets[leaf]`, [leaves, E], are what a leaf adds to what.

    Entries a leaf does not have weigh nothing and go to the target behind the last.
    """

    xp: Any
    roots: Any
    heights: list[int]
    features: Any
    thresholds: Any
    children: Any
    comparison: str | None
    either: Any
    leaf: Any
    targets: Any
    weights: Any
    n_targets: int
    last_feature: int
    deeper: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        tops = np.array(self.heights, np.int64)
        self.deeper = [int(k) for k in np.searchsorted(-tops, -np.arange(tops.max() if len(tops) else 0), side="left")]

    def scores(self, X: Any, aggregate: str) -> Any:
        """Float64 [N, n_targets]: the aggregate, over all trees, of what the reached leaves have for each target."""
        if aggregate not in AGGREGATES:
            raise InvalidGraph(f"aggregate_function {aggregate!r} is unknown; expected one of {', '.join(AGGREGATES)}")
        xp, (n, features) = self.xp, X.shape
        if self.last_feature >= features:
            raise InvalidInput(f"the trees ask for feature {self.last_feature}, but X has {features} features")
        scores = xp.zeros(bounded((n, self.n_targets), np.float64), np.float64)
        X = X.astype(self.thresholds.dtype, copy=False)
        room = _HOST_BLOCK if isinstance(X, np.ndarray) else _DEVICE_BLOCK
        step = max(1, room // max(1, len(self.heights) * self.targets.shape[1], self.n_targets))
        for start in range(0, n, step):
            part = slice(start, start + step)
            scores[part] = self._combined(xp.take(self.leaf, self._reached(X[part])), aggregate)
        return scores / max(1, len(self.heights)) if aggregate == "AVERAGE" else scores

    def _reached(self, X: Any) -> Any:
        """The node at the end of every sample's walk through every tree: [trees, samples]."""
        xp, (n, features) = self.xp, X.shape
        values, rows = X.reshape(-1), xp.arange(n) * features
        nodes = xp.repeat(self.roots[:, None], n, axis=1)
        compare = None if self.comparison is None or xp.isnan(X).any() else getattr(xp, self.comparison)
        for trees in self.deeper:
            here = nodes[:trees]
            value = xp.take(values, xp.take(self.features, here) + rows)
            threshold = xp.take(self.thresholds, here)
            if compare is not None:
                here *= 2
                here += compare(value, threshold)
                nodes[:trees] = xp.take(self.either, here)
                continue
            # 0, 1, 2 or 3 for less, equal, greater, not a number
            relation = 3 - 3 * (value < threshold) - 2 * (value == threshold) - (value > threshold).astype(np.int64)
            nodes[:trees] = xp.take(self.children, 4 * here + relation)
        return nodes

    def _combined(self, leaves: Any, aggregate: str) -> Any:
        """What `leaves`, [trees, samples], have for each target: float64 [samples, n_targets]."""
        xp, (_, n) = self.xp, leaves.shape
        weights = xp.take(self.weights, leaves, axis=0)
        total = aggregate in ("SUM", "AVERAGE")
        if total and self.n_targets == self.targets.shape[1] == 1:
            return weights.sum(axis=0)
        width = self.n_targets + 1
        places = (xp.take(self.targets, leaves, axis=0) + (xp.arange(n) * width)[:, None]).reshape(-1)
        if total:
            return xp.bincount(places, weights.reshape(-1), n * width).reshape(n, width)[:, :-1]
        start = np.inf if aggregate == "MIN" else -np.inf
        best = xp.full((n * width, 1), start)
        scatter_rows(xp, best, places, weights.reshape(-1, 1), aggregate.lower())
        best = best.reshape(n, width)[:, :-1]
        return xp.where(best == start, 0, best)


def ensemble(
    xp: Any,
    dtype: Any,
    nodes: Nodes,
    members: np.ndarray,
    entries: tuple[Any, Any, Any],
    n_targets: int,
    aggregate: str,
) -> Ensemble:
    """The ensemble of these nodes; `entries` are nodes, targets and weights of what leaves contribute.

    Values are compared in the input's dtype, in a wider one where the thresholds' or the input's integers need it.

    Raises:
        InvalidGraph: if an id is out of range, or a node can reach itself.
        LimitExceeded: if few leaves contribute so much more than the others that a table of them would be huge.
    """
    children = nodes.with_members(members)
    modes = set(nodes.modes.tolist()) - {LEAF}
    height = _heights(children, nodes.modes != LEAF)
    order = np.argsort(-height[nodes.roots], kind="stable")
    roots = nodes.roots[order]
    wide = np.float64 if np.dtype(dtype).kind in "iu" else np.result_type(dtype, nodes.thresholds.dtype, np.float32)
    one_mode = modes.pop() if len(modes) == 1 else MEMBER
    inner = nodes.features[nodes.modes != LEAF]
    leaf, targets, weights = _contributions(len(children), entries, n_targets, aggregate)
    return Ensemble(
        xp,
        xp.asarray(roots),
        height[roots].tolist(),
        xp.asarray(nodes.features),
        xp.asarray(nodes.thresholds.astype(wide)),
        xp.asarray(children.reshape(-1)),
        COMPARISONS[one_mode] if one_mode < MEMBER else None,
        xp.asarray(_false_and_true(nodes) if one_mode < MEMBER else np.zeros(0, np.int64)),
        xp.asarray(leaf),
        xp.asarray(targets),
        xp.asarray(weights),
        n_targets,
        int(inner.max()) if len(inner) else -1,
    )


def _false_and_true(nodes: Nodes) -> np.ndarray:
    return np.stack([nodes.false, nodes.true], axis=1).reshape(-1)


def _heights(children: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """How many steps each node is at most away from a leaf."""
    edges = children.reshape(-1)
    order = np.argsort(edges, kind="stable")
    first = np.searchsorted(edges[order], np.arange(len(children) + 1))
    height, waiting = np.zeros(len(children), np.int64), np.where(inner, 4, 0)
    level, ready = 0, np.flatnonzero(~inner)
    while len(ready):
        height[ready] = level
        counts = first[ready + 1] - first[ready]
        start = np.repeat(first[ready] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        parents = order[start + np.arange(len(start))] // 4
        parents = parents[inner[parents]]
        np.subtract.at(waiting, parents, 1)
        candidates = np.unique(parents)
        level, ready = level + 1, candidates[waiting[candidates] == 0]
    if waiting.any():
        raise InvalidGraph("the nodes of a tree form a cycle: one of them can be reached from itself")
    return height


def _contributions(
    count: int, entries: tuple[Any, Any, Any], n_targets: int, aggregate: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each node's row in the tables, and the tables of targets and weights [rows, entries of a leaf]."""
    at, target, weight = (np.asarray(e) for e in entries)
    if len(target) and not 0 <= target.min() <= target.max() < n_targets:
        raise InvalidGraph(f"target ids run from {target.min()} to {target.max()}; there are {n_targets} targets")
    order = np.lexsort((target, at))
    at, target, weight = at[order], target[order], weight[order].astype(np.float64)
    if len(at):
        fresh = np.concatenate([[True], (at[1:] != at[:-1]) | (target[1:] != target[:-1])])
        starts = np.flatnonzero(fresh)
        merge = {"MIN": np.minimum, "MAX": np.maximum}.get(aggregate, np.add)
        at, target, weight = at[starts], target[starts], merge.reduceat(weight, starts)
    first = np.searchsorted(at, at)
    rank = np.arange(len(at)) - first
    with_entries, row = np.unique(at, return_inverse=True)
    width = int(rank.max()) + 1 if len(at) else 1
    if (len(with_entries) + 1) * width > max(1 << 24, 16 * len(at)):
        raise LimitExceeded(f"a leaf contributes to {width} targets, the {len(with_entries)} others to far fewer")
    leaf = np.full(count, len(with_entries))
    leaf[with_entries] = np.arange(len(with_entries))
    targets = np.full((len(with_entries) + 1, width), n_targets)
    weights = np.zeros((len(with_entries) + 1, width))
    targets[row, rank], weights[row, rank] = target, weight
    return leaf, targets, weights
