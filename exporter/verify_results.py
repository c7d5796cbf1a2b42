"""What comparing a model node by node finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .verify_measure import Difference, Statistics

if TYPE_CHECKING:
    from .verify_reproducer import Evidence

__all__ = ["NodeResult", "NodesReport", "OutputResult"]


@dataclass(frozen=True)
class OutputResult:
    """One output of a node.

    Attributes:
        accumulated: None where nothing could be accumulated.
        read: whether a node reads it, or it is an output of the model; what nobody reads is measured, but the node is
            not blamed for it (the mask of an old Dropout, for one, may hold anything).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    local: Difference
    accumulated: Difference | None
    ours: Statistics
    theirs: Statistics
    read: bool = True

    @property
    def agrees(self) -> bool:
        """Whether it agrees, or does not matter."""
        return self.local.agrees or not self.read


@dataclass(frozen=True)
class NodeResult:
    """One node, in graph order.

    Attributes:
        status: `agrees`; `differs`; `failed` (our kernel raises); `random` (it draws, so there is nothing to compare);
            `skipped` (it cannot be run on its own; `remark` says why).
    """

    index: int
    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[OutputResult, ...]
    status: str
    remark: str = ""

    @property
    def agrees(self) -> bool:
        """Whether nothing speaks against the node."""
        return self.status not in ("differs", "failed")

    @property
    def title(self) -> str:
        """A name that is its own even if the node has none, or one that others have too."""
        return f"#{self.index} {self.name or self.op_type}"

    @property
    def worst(self) -> OutputResult | None:
        """The output with the largest local difference, by what is allowed."""
        return max(
            self.outputs, key=lambda o: (o.read, bool(o.local.fault), o.local.excess, o.local.max_abs), default=None
        )


@dataclass(frozen=True)
class NodesReport:
    """What `check_nodes` found.

    Attributes:
        total: nodes of the graph; `nodes` has fewer where the walk stopped at the first that differs.
        stretches: in how many the other runtime ran the graph.
        whose: of the first node that differs, what the reference evaluator in float64 says of both sides, if anything.
        evidence: that node with what it was given; see `verify_reproducer`.
    """

    against: str
    nodes: tuple[NodeResult, ...]
    total: int
    stretches: int
    seconds: float
    whose: str = ""
    evidence: Evidence | None = None

    @property
    def first(self) -> NodeResult | None:
        """The first node that differs although it was given the same inputs."""
        return next((node for node in self.nodes if not node.agrees), None)

    @property
    def max_abs(self) -> float:
        """The largest local difference."""
        return max((o.local.max_abs for n in self.nodes for o in n.outputs if n.status == "agrees"), default=0.0)
