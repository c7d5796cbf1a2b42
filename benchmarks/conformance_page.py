"""docs/conformance.md, written from the outcomes of `benchmarks.conformance`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from benchmarks.conformance_backends import PASSED, PATIENCE, REFUSED, WRONG, Outcome, has_locale
from striate.exporter.verify_widen import wide, widen
from striate.runtime import backend
from tests.conformance.suites import RANDOM, XFAIL, BackendCase, all_tests

HEADINGS = ("tests", PASSED, WRONG, REFUSED, "seconds")


def counts(
    results: Sequence[Outcome], suites: Sequence[str], backends: Sequence[str]
) -> Iterator[tuple[str, str, list[str]]]:
    """(suite, backend, the numbers under HEADINGS), and sums over several suites."""
    for suite in (*suites, *(["all"] if len(suites) > 1 else [])):
        for name in backends:
            found = [o for o in results if o.backend == name and suite in (o.suite, "all")]
            numbers = [len(found), *(sum(o.status == status for o in found) for status in (PASSED, WRONG, REFUSED))]
            yield suite, name, [*(f"{n:,}" for n in numbers), f"{sum(o.seconds for o in found):.1f}"]


def reasons(results: Sequence[Outcome]) -> dict[str, list[str]]:
    """Reason → names of the tests not passed for it, the commonest first."""
    groups: dict[str, list[str]] = {}
    for outcome in results:
        if outcome.status != PASSED:
            groups.setdefault(_short(outcome.reason), []).append(outcome.test)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


NOISE = (
    r"\[ONNXRuntimeError\] : \d+ : \w+ : ",
    r"/onnxruntime_src/\S+:\d+ .*?\([^()]*\)(?: const)?(?: \[with [^]]*\])? ",
    r" node with name ''|Name:'' | \(node:'' ep:'CPUExecutionProvider'\)\.| Op with name \(.*",
    r"(?<=location mismatch): ACTUAL.*|rtol=\S+ atol=\S+ ",
)
"""Parts of onnxruntime's and NumPy's messages: where in the source, of which unnamed node, the arrays themselves."""


def _short(reason: str) -> str:
    for pattern in NOISE:
        reason = re.sub(pattern, "", reason)
    return " ".join(reason.replace("(-1) is not", " is not").split())[:220]


def machine() -> dict[str, str]:
    packages = ("onnx", "numpy", "ml_dtypes", "onnxruntime")
    return {
        "striate": version("striate"),
        **{name: version(name) for name in packages},
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "locale en_US.UTF-8": "present" if has_locale() else "absent",
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", file.read_text()) if file.exists() else None
    return found[1] if found else platform.processor()


def page(results: Sequence[Outcome], suites: Sequence[str], backends: Sequence[str]) -> str:
    return "\n".join(
        [
            INTRODUCTION,
            *_table(("suite", "backend", *HEADINGS), ([s, b, *row] for s, b, row in counts(results, suites, backends))),
            COUNTING,
            "## Versions and machine\n",
            *_table(("", ""), machine().items()),
            "\n## Where Striate does not give the stored result\n",
            *(line for kind, names in XFAIL.items() for name in names for line in _disagreement(kind, name)),
            RANDOM_TESTS.format(len(RANDOM), ", ".join(f"`{name}`" for name in RANDOM)),
            OTHERS,
            *(line for name in backends for line in _not_passed(name, [o for o in results if o.backend == name])),
        ]
    )


def _table(headings: Sequence[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'|'.join('--:' if heading in HEADINGS else '---' for heading in headings)}|"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '∣') for cell in row)} |"


def _not_passed(name: str, results: Sequence[Outcome]) -> Iterator[str]:
    groups = reasons(results)
    yield f"\n### {name}: {sum(map(len, groups.values()))} of {len(results):,}\n"
    newest = onnx.defs.onnx_opset_version()
    late = sum(len(tests) for reason, tests in groups.items() if f"({newest})" in reason)
    if late:
        yield f"{late} of them are for an operator of opset {newest}, the newest in onnx {onnx.__version__}.\n"
    names = (
        (len(tests), _code(reason), ", ".join(t.removeprefix("test_") for t in tests))
        for reason, tests in groups.items()
    )
    yield from _table(("tests", "reason", "names, less `test_`"), names)


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _disagreement(kind: str, name: str) -> Iterator[str]:
    """The values beyond the tolerance, beside what onnx's reference gives for the same model in float64."""
    test = next(test for test in all_tests(kind) if test.name == name)
    inputs, right = next(test.data_sets())
    got = backend.prepare(test.model, "CPU").run(inputs)
    exact = _in_float64(test, inputs)
    rows, ours, theirs = [], [], []
    for y, want, truth in zip(got, right, exact, strict=True):
        off = ~np.isclose(y.astype(np.float64), want.astype(np.float64), test.rtol, test.atol)
        for index in zip(*np.nonzero(off), strict=True):
            a, b, c = float(want[index]), float(y[index]), float(truth[index])
            rows.append(
                [list(map(int, index)), f"{a:.6f}", f"{b:.6f}", f"{c:.6f}", f"{abs(a - c):.1e}", f"{abs(b - c):.1e}"]
            )
        ours.append(np.abs(y - truth).ravel())
        theirs.append(np.abs(want - truth).ravel())
    total = sum(map(np.size, ours))
    yield f"`{name}` ({kind}): {XFAIL[kind][name]}.\n"
    tolerance = f"{test.rtol:g} relative and {test.atol:g} absolute"
    yield f"{len(rows)} of {total} values are beyond the tolerance of {tolerance}:\n"
    yield from _table(("index", "stored", "Striate", "float64", "stored is off by", "Striate is off by"), rows)
    means = (f"{np.concatenate(errors).mean():.1e}" for errors in (theirs, ours))
    yield "\nOver all values the mean error is {} of the stored result and {} of Striate's.\n".format(*means)


def _in_float64(test: BackendCase, inputs: list[Any]) -> list[Any]:
    model: onnx.ModelProto = widen(test.model)
    evaluator = ReferenceEvaluator(model)
    return evaluator.run(None, dict(zip(evaluator.input_names, map(wide, inputs), strict=True)))


INTRODUCTION = """# Conformance

ONNX comes with tests for backends: models with inputs and the results they must give. This page shows how many of them
Striate passes on NumPy, and beside it onnxruntime and ONNX's own reference implementation. It was written by

    python -m benchmarks.conformance --write

"""

COUNTING = f"""
`node` has tests of single operators, made by the onnx package when asked for; where an operator is defined by a
function, a second test runs its body. `simple`, `pytorch-operator` and `pytorch-converted` are the tests stored in the
package. `light` are nine image classifiers whose outputs are stored for a ramp as input. ONNX's `real` models have to
be downloaded and are not here.

**passed**: every output of every data set is right. **wrong**: there is a result, and it is another one. **refused**:
an error, no result within {PATIENCE:g} seconds, or the end of the process. No test is left out, for any backend.

- Each backend computes with its own kernels; none falls back on another's. onnxruntime runs with its defaults on its
  CPU provider.
- One function compares for all (`compare` in `tests/conformance/suites.py`): the same number of outputs, shapes and
  dtypes; floating-point values within the test's own tolerance, 1e-3 relative and 1e-7 absolute unless it says
  otherwise, and for bfloat16 2⁻⁶ relative, as in onnx's runner; all other values exactly.
- Types that NumPy lacks (bfloat16, float8, float4, 4 and 2 bits) cannot pass through onnxruntime's `run` in Python.
  They are handed over as `OrtValue`s and read back from memory, so that what counts is what it computes.
- onnxruntime's StringNormalizer needs the C library's locale `en_US.UTF-8` and refuses its tests on a machine without
  it. On glibc, `localedef -i en_US -f UTF-8 FOLDER/en_US.UTF-8` makes one, and `LOCPATH=FOLDER` lets it be found.
- The seconds are the sum of preparing and running, one test after another; reading, comparing and the start of the
  process are not in them. These are small models: the numbers say little of a backend's speed.

How to see the tests behind a number, or one operator's:

    python -m benchmarks.conformance --details
    python -m benchmarks.conformance --suite node --match resize
    pytest tests/conformance
"""

RANDOM_TESTS = """## Random tests

{} tests draw numbers: {}.
Their stored values come from NumPy's generator, which a backend need not have, so they are compared for none.
Checked instead, for all (`tests/conformance/draws.py`): shapes and dtypes; that Bernoulli gives zeros and ones;
that Dropout gives x · mask / (1 − ratio); and that the number of ones has, by the exact distribution, a probability of
more than 1e-9 on its side. Striate's draws are also measured on larger inputs (`tests/conformance/test_draws.py`):
rates for eleven probabilities, independence of neighbours, and that a seed repeats.

The body that onnx defines for Bernoulli returns 1 where a uniform number is *greater* than p, so with probability
1 − p; the operator is specified to return 1 with probability p. The tests of the body are held to 1 − p, those of the
operator to p.
"""

OTHERS = """## What is not passed

The reasons are the backends' own words, shortened. Values that are off by less than a millionth of the largest one are
float32's rounding where the exact result is zero: the absolute tolerance of 1e-7 is then narrower than the arithmetic.
"""
