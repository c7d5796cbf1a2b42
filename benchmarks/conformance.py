"""ONNX's own backend tests on striate, onnxruntime and onnx's reference: `python -m benchmarks.conformance`.

Each backend runs every test with its own kernels in a process of its own; one comparison judges all. A test that a
backend does not pass is failed for it: none is left out. `--write` renews docs/conformance.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from benchmarks.conformance_backends import BACKENDS, PASSED, PATIENCE, Outcome, outcomes
from benchmarks.conformance_page import HEADINGS, counts, machine, page, reasons
from striate.cli.progress import progress
from tests.conformance.suites import KINDS, XFAIL, BackendCase, all_tests

PAGE = Path(__file__).resolve().parents[1] / "docs" / "conformance.md"
OURS = "striate-numpy"
CONSOLE = Console(soft_wrap=True)


def main(
    suite: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; repeatable.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(BACKENDS)}; repeatable.")] = None,
    match: Annotated[str, typer.Option(help="Only tests whose name contains this.")] = "",
    details: Annotated[bool, typer.Option(help="Say what fails on the others, too.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every outcome to this file.")] = None,
    write: Annotated[bool, typer.Option(help="Write docs/conformance.md.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds a test may take.")] = PATIENCE,
) -> None:
    """Run ONNX's backend tests and say who passes which."""
    suites, backends = _chosen(suite, KINDS, "--suite"), _chosen(backend, tuple(BACKENDS), "--backend")
    if write and (match or suites != KINDS or backends != tuple(BACKENDS)):
        raise typer.BadParameter("the page shows all tests on all backends: leave --suite, --backend, --match out")
    tests = [test for kind in suites for test in all_tests(kind) if match in test.name]
    if not tests:
        raise typer.BadParameter(f"no test of {', '.join(suites)} has {match!r} in its name")
    results = [outcome for name in backends for outcome in _run(name, tests, timeout)]
    CONSOLE.print(table(results, suites, backends))
    for name in backends:
        if name == OURS or details:
            _explain(name, [outcome for outcome in results if outcome.backend == name])
    if json_file:
        content = {"machine": machine(), "outcomes": [asdict(outcome) for outcome in results]}
        json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if write:
        PAGE.write_text(page(results, suites, backends), encoding="utf-8")
        CONSOLE.print(f"wrote {PAGE}")
    raise typer.Exit(any(outcome.backend == OURS and unexpected(outcome) for outcome in results))


def _chosen(names: Sequence[str] | None, known: tuple[str, ...], option: str) -> tuple[str, ...]:
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return tuple(name for name in known if not names or name in names)


def _run(name: str, tests: Sequence[BackendCase], timeout: float) -> list[Outcome]:
    found = []
    with progress(name) as tick:
        for outcome in outcomes(name, tests, timeout):
            found.append(outcome)
            tick(len(found), len(tests))
    return found


def unexpected(outcome: Outcome) -> bool:
    """Whether tests/conformance/xfail.toml says something else."""
    return (outcome.status != PASSED) != (outcome.test in XFAIL.get(outcome.suite, {}))


def table(results: Sequence[Outcome], suites: Sequence[str], backends: Sequence[str]) -> Table:
    numbers = (Column(heading, justify="right", no_wrap=True) for heading in HEADINGS)
    found = Table("suite", Column("backend", no_wrap=True), *numbers, box=box.SIMPLE_HEAD, pad_edge=False)
    for suite, name, row in counts(results, suites, backends):
        found.add_row(suite if name == backends[0] else "", name, *row)
    return found


def _explain(name: str, results: Sequence[Outcome]) -> None:
    """Which tests a backend does not pass, by reason; ours also where it is not what xfail.toml expects."""
    groups = reasons(results)
    CONSOLE.print(Text(f"\n{name}: {'passes all' if not groups else 'does not pass'}", style="bold"))
    for reason, names in groups.items():
        CONSOLE.print(Text(f"  {len(names):4}  {reason}"), Text(f"\n        {', '.join(names)}", style="dim"))
    for outcome in (o for o in results if name == OURS and unexpected(o)):
        CONSOLE.print(Text(f"  not as in xfail.toml: {outcome.suite} {outcome.test} {outcome.status}", style="red"))


if __name__ == "__main__":
    typer.run(main)
