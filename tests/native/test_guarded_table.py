"""No kernel touches memory beside its buffers, nor reads what nobody wrote: the quick part of `campaign guards`.

The case table in a sample, three of the light models, and drawn models, each with all constants, places of the arena,
inputs and outputs directly before an inaccessible page, and directly behind one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from .geometries import KINDS
from .guard import Room, posix, survives
from .guarded import Task, run_guarded, tasks
from .isolation import isolated
from .test_lowering import X, net

QUICK = ("squeezenet", "shufflenet", "densenet")
pytestmark = [posix, pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")]


def passed(chosen: Sequence[Task]) -> int:
    """How many programs ran; fails with the names of tasks that died or went wrong."""
    wrong, programs = [], 0
    for i, outcome, result in isolated(len(chosen), lambda i: chosen[i][1]()):
        if outcome == "done":
            programs += result["programs"]
        else:
            wrong.append(f"{chosen[i][0]}: {outcome} {result}")
    assert not wrong, "\n".join(wrong)
    return programs


@pytest.mark.parametrize("part", range(3))
def test_the_case_table(part: int) -> None:
    chosen = tasks("table")[part::9]
    assert passed(chosen) > len(chosen) // 3


@pytest.mark.parametrize("name", QUICK)
def test_networks(name: str) -> None:
    chosen = [task for task in tasks("networks") if name in task[0]]
    assert passed(chosen) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_models(kind: str) -> None:
    chosen = tasks(kind, 10)
    assert passed(chosen) > len(chosen) // 2


@pytest.mark.parametrize("before", [False, True])
def test_the_guards_notice(monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """Buffers that lie a register too far towards the page kill the process."""
    assert survives(lambda: run_guarded(net(), {"x": X}, before) and None)
    lay = Room.__init__

    def shifted(room: Room, nbytes: int, align: int, page_before: bool) -> None:
        lay(room, nbytes, align, page_before)
        room.address += -64 if page_before else 64

    monkeypatch.setattr(Room, "__init__", shifted)
    assert not survives(lambda: run_guarded(net(), {"x": X}, before) and None)
