"""ImageDecoder: pictures as files to arrays."""

from __future__ import annotations
