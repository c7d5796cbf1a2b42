"""One BLAS thread for each test process, no plans of earlier ones; at the end what tests recorded as `summary`."""

from __future__ import annotations

import os
from typing import Any

# Before NumPy is loaded: test processes whose BLAS threads spin slow each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests are about how models are prepared; those about plans of an earlier process ask for them.
os.environ.setdefault("STRIATE_PLAN_CACHE", "0")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = [text for r in reports for name, text in getattr(r, "user_properties", []) if name == "summary"]
    for line in sorted(set(lines)):
        terminalreporter.write_line(line)
