"""Runtimes measured side by side, each in a process of its own: what `striate bench` and `benchmarks/` share.

`measuring` starts the processes and lets them take turns; `worker` is what runs in them; `sides` says how each runtime
is made; `exchange` carries arrays between them; `machine` tells what it was measured on; `pictures` draws.
"""

from __future__ import annotations

from .machine import cores, machine
from .measuring import Measured, Trial, measure

__all__ = ["Measured", "Trial", "cores", "machine", "measure"]
