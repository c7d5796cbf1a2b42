"""Attention, rotary embedding, and convolution and attention that carry a state from step to step."""

from __future__ import annotations
