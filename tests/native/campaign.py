"""The native engine's proofs at full length, with figures: `python -m tests.native.campaign geometries --count 5000`.

    bounds      the whole case table and the nine light models beside NumPy and float64
    geometries  drawn models beside NumPy and float64
    guards      the case table, the light models and drawn models with guard pages around every buffer
    threads     8 Python threads × 1,000 runs of one session
    idle        processor time of a process that has run a session and sleeps
    beside      speed of NumPy in a process with and without an idle session

Exit status 1 if anything is beyond its bounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("STRIATE_PLAN_CACHE", "0")  # each model is prepared anew, whoever drew it before

import numpy as np

from .busy import BUSY, busy
from .geometries import KINDS, draw
from .guarded import NETWORKS, tasks
from .isolation import isolated, paced
from .test_sessions import callers, python
from .trials import TABLE, try_draw, try_network, try_row
from .truth import DIRECT, DRAWN, Verdict

WORST = 5
"""So many of the worst are printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.native.campaign", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=CAMPAIGNS, nargs="+")
    parser.add_argument("--count", type=int, default=5000, help="drawn convolutions; other kinds: a fifth of it each")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args(arguments)
    passed = [CAMPAIGNS[what](options) for what in options.what]
    return int(not all(passed))


def _each(title: str, names: Sequence[str], work: Callable[[int], Any]) -> tuple[list[tuple[str, Any]], int]:
    """(name, result) of those that ended, and how many did not; tells how far it is."""
    done, broken, due, begin = [], 0, paced(), time.monotonic()
    for i, outcome, result in isolated(len(names), work):
        if outcome == "done":
            done.append((names[i], result))
        else:
            broken += 1
            print(f"{names[i]}: {outcome}\n{result}", flush=True)
        if due():
            print(f"  {title}: {i + 1} of {len(names)}, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return done, broken


def _judged(title: str, names: Sequence[str], work: Callable[[int], Verdict], direct: float) -> bool:
    """Prints the worst of so many, and those beyond their bounds."""
    done, broken = _each(title, names, lambda i: work(i).plain())
    verdicts = [(name, Verdict.plainly(result)) for name, result in done]
    beyond = [(name, v) for name, v in verdicts if not v.within(direct)]
    ratios = sorted((v.strict.ratio, name) for name, v in verdicts if v.strict is not None)
    shares = sorted((v.fast.share, name) for name, v in verdicts if v.fast is not None)
    over = sum(ratio > DIRECT for ratio, _ in ratios)
    print(f"{title}: {len(verdicts)} of {len(names)} ended, {broken} broke, {len(beyond)} beyond their bounds")
    print(f"  direct: {len(ratios)} with numbers, {over} above {DIRECT:g} × NumPy's error; the worst:")
    print("".join(f"    {ratio:.2f}  {name}\n" for ratio, name in ratios[::-1][:WORST]), end="")
    print(f"  Winograd: {len(shares)}; the worst, as shares of the range:")
    print("".join(f"    {share:.1e}  {name}\n" for share, name in shares[::-1][:WORST]), end="", flush=True)
    for name, verdict in beyond:
        print(f"  BEYOND {name}: {verdict}")
    return not broken and not beyond


def bounds(options: argparse.Namespace) -> bool:
    rows = [f"{case.id}{' constants' * constants}" for case, constants in TABLE]
    fine = _judged("case table", rows, lambda i: try_row(*TABLE[i]), DIRECT)
    names = [path.stem for path in NETWORKS]
    return _judged("light models", names, lambda i: try_network(NETWORKS[i]), DIRECT) and fine


def geometries(options: argparse.Namespace) -> bool:
    fine = True
    for kind in KINDS:
        count = options.count if kind == "conv" else options.count // 5
        seeds = range(options.first, options.first + count)
        names = [f"{d.name} ({d.special})" for d in (draw(kind, seed) for seed in seeds)]
        fine &= _judged(f"drawn {kind}", names, lambda i, k=kind, s=seeds: try_draw(draw(k, s[i])), DRAWN)  # type: ignore
    return fine


def guards(options: argparse.Namespace) -> bool:
    fine = True
    for what in ("table", "networks", *KINDS):
        chosen = tasks(what, options.count // (5 if what == "conv" else 25))
        done, broken = _each(f"guards, {what}", [name for name, _ in chosen], lambda i, c=chosen: c[i][1]())  # type: ignore
        programs, buffers = (sum(result[name] for _, result in done) for name in ("programs", "buffers"))
        print(f"guards, {what}: {len(done)} runs, {programs} programs, {buffers} buffers; {broken} broke", flush=True)
        fine &= not broken
    return fine


def threads(options: argparse.Namespace) -> bool:
    begin = time.monotonic()
    wrong = callers(8, 1000)
    print(f"threads: 8 × 1,000 runs, {wrong} results differ, {time.monotonic() - begin:.1f} s")
    return not wrong


def idle(options: argparse.Namespace) -> bool:
    session = busy()
    for _ in range(100):
        session.run(None, {"x": BUSY})
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(2)
    spent = time.process_time() - before
    print(f"idle: {spent * 1e3:.2f} ms of processor time in 2 s of sleep")
    return spent < 0.01


MEASURE = """
a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
b = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
session = busy() if sys.argv[1] == "session" else None
if session is not None:
    for _ in range(50): session.run(None, {"x": BUSY})
    time.sleep(0.01)
best = {"matmul": 1e9, "ufuncs": 1e9}
for _ in range(300):
    for name, work in (("matmul", lambda: a @ a), ("ufuncs", lambda: np.sqrt(np.abs(b * b + 1)))):
        begin = time.perf_counter(); work(); best[name] = min(best[name], time.perf_counter() - begin)
print(best["matmul"], best["ufuncs"])
"""


def beside(options: argparse.Namespace) -> bool:
    """Alternating processes; the best of each."""
    best = {"session": [1e9, 1e9], "none": [1e9, 1e9]}
    for _ in range(6):
        for name, times in best.items():
            found = python("import numpy as np\n" + MEASURE, name).stdout.split()
            best[name] = [min(t, float(f)) for t, f in zip(times, found, strict=True)]
    ratios = [b / a for a, b in zip(best["session"], best["none"], strict=True)]
    print(f"beside: with an idle session NumPy's matmul has {ratios[0]:.1%} of its speed, ufuncs {ratios[1]:.1%}")
    return bool(np.abs(np.subtract(ratios, 1)).max() < 0.05)


CAMPAIGNS: dict[str, Callable[[argparse.Namespace], bool]] = {
    each.__name__: each for each in (bounds, geometries, guards, threads, idle, beside)
}

if __name__ == "__main__":
    sys.exit(main())
