"""Prints at the end of a test run what tests recorded as `summary`."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = [text for r in reports for name, text in getattr(r, "user_properties", []) if name == "summary"]
    for line in sorted(set(lines)):
        terminalreporter.write_line(line)
