"""Signals: Fourier transforms, windows, mel filters."""

from __future__ import annotations
