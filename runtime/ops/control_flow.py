"""If, Loop and Scan: kernels that run subgraphs."""

from __future__ import annotations
