"""What a model costs, read off its graph: parameters, multiply-accumulates, memory, receptive fields, engines.

`analysis` walks the graph; `macs` and `flops` hold a formula per operator, `receptive` a rule per operator, `weights`
which constants are parameters, `engines` what would run a node; `report` is what comes out.
"""

from __future__ import annotations

from .analysis import analyse
from .report import DEFINITIONS, NodeCost, Report, Result

__all__ = ["DEFINITIONS", "NodeCost", "Report", "Result", "analyse"]
