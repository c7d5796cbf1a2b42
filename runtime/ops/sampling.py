"""Pictures sampled at computed places: grids, regions of interest, deformed windows."""

from __future__ import annotations
