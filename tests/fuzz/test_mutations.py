"""A short slice of the mutations; `python -m tests.fuzz.mutate --count 20000` tries more."""

from __future__ import annotations

from .mutate import mutant, run

COUNT = 600


def test_damaged_models_raise_our_errors() -> None:
    results = run(COUNT, seed=0, folder=None)
    assert not {outcome: count for outcome, count in results.items() if outcome.bad}
    assert sum(results.values()) == COUNT
    kinds = {kind: sum(n for o, n in results.items() if o.kind == kind) for kind in ("refused", "failed", "ran")}
    assert min(kinds.values()) > COUNT // 50, kinds


def test_a_number_always_means_the_same_file() -> None:
    assert mutant(3, 11) == mutant(3, 11)
    assert len({mutant(3, number)[1] for number in range(20)}) > 15
