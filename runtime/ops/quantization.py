"""Quantisation: to and from narrow integers and floats, and products of quantised tensors."""

from __future__ import annotations
