"""One team of threads per process walks programs together.

The caller is thread 0. The others are Python threads that spend their lives in native code: there they look for work
for some 50 µs, then they return to Python and sleep on a lock, at no cost. Only one program at a time has the team; who
finds it busy runs alone. Results do not depend on the number of threads.

    word of the team's memory   meaning
    0                           generation · 65536 + threads that take part: changes when there is work
    16, 24                      address of the program, of the slots
    64                          how many have arrived at the barrier
    128                         phase of the barrier
    192                         how many workers have finished the program
    256 + 64·i                  1 if worker i sleeps, or is about to
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable

import numpy as np

from . import compiler
from .host import host
from .objects import BIND

__all__ = ["Team", "team"]

SPIN_CYCLES = 100_000
"""Of the processor's cycle counter, some 50 µs."""

_STEPS = """
define internal void @walk(ptr %code, ptr %slots, ptr %team, i64 %thread, i64 %threads) {
entry:
  %count = load i64, ptr %code
  %first = getelementptr i8, ptr %code, i64 8
  %alone = icmp eq i64 %threads, 1
  %arrived = getelementptr i8, ptr %team, i64 64
  %phase = getelementptr i8, ptr %team, i64 128
  %last = sub i64 %threads, 1
  br label %step
step:
  %s = phi i64 [0, %entry], [%s1, %next]
  %row = phi ptr [%first, %entry], [%row1, %next]
  %more = icmp ult i64 %s, %count
  br i1 %more, label %work, label %done
work:
  %kernel = load ptr, ptr %row
  %p1 = getelementptr i8, ptr %row, i64 8
  %params = load ptr, ptr %p1
  %p2 = getelementptr i8, ptr %row, i64 16
  %tasks = load i64, ptr %p2
  %a = mul i64 %tasks, %thread
  %low = udiv i64 %a, %threads
  %t1 = add i64 %thread, 1
  %b = mul i64 %tasks, %t1
  %high = udiv i64 %b, %threads
  br label %task
task:
  %t = phi i64 [%low, %work], [%tnext, %do]
  %some = icmp ult i64 %t, %high
  br i1 %some, label %do, label %barrier
do:
  call void %kernel(ptr %params, ptr %slots, i64 %t)
  %tnext = add i64 %t, 1
  br label %task
barrier:
  br i1 %alone, label %next, label %arrive
arrive:
  %now = load atomic i64, ptr %phase acquire, align 8
  %before = atomicrmw add ptr %arrived, i64 1 acq_rel
  %all = icmp eq i64 %before, %last
  br i1 %all, label %release, label %wait
release:
  store atomic i64 0, ptr %arrived monotonic, align 8
  %go = add i64 %now, 1
  store atomic i64 %go, ptr %phase release, align 8
  br label %next
wait:
  %turns = phi i64 [0, %arrive], [%turns1, %pause], [%turns1, %yield]
  %seen = load atomic i64, ptr %phase acquire, align 8
  %same = icmp eq i64 %seen, %now
  br i1 %same, label %pause, label %next
pause:
  PAUSE
  %turns1 = add i64 %turns, 1
  %rest = urem i64 %turns1, PATIENCE
  %long = icmp eq i64 %rest, 0
  br i1 %long, label %yield, label %wait
yield:
  YIELD
  br label %wait
next:
  %s1 = add i64 %s, 1
  %row1 = getelementptr i8, ptr %row, i64 24
  br label %step
done:
  ret void
}
"""

_ALONE = (
    _STEPS
    + BIND
    + """
define void @alone(ptr %code, ptr %slots, ptr %team, ptr %where, ptr %objects) {
  %bound = icmp eq ptr %where, null
  br i1 %bound, label %go, label %first
first:
  call void @bind(ptr %slots, ptr %where, ptr %objects)
  br label %go
go:
  call void @walk(ptr %code, ptr %slots, ptr %team, i64 0, i64 1)
  ret void
}
"""
)

_PUBLISH = (
    BIND
    + """
define i64 @publish(ptr %team, ptr %code, ptr %slots, i64 %threads, ptr %where, ptr %objects) {
  %bound = icmp eq ptr %where, null
  br i1 %bound, label %entry, label %first
first:
  call void @bind(ptr %slots, ptr %where, ptr %objects)
  br label %entry
entry:
  %pc = getelementptr i8, ptr %team, i64 16
  %ps = getelementptr i8, ptr %team, i64 24
  %finished = getelementptr i8, ptr %team, i64 192
  store ptr %code, ptr %pc
  store ptr %slots, ptr %ps
  store atomic i64 0, ptr %finished monotonic, align 8
  %old = load i64, ptr %team
  %old16 = lshr i64 %old, 16
  %new = add i64 %old16, 1
  %new16 = shl i64 %new, 16
  %word = or i64 %new16, %threads
  store atomic i64 %word, ptr %team seq_cst, align 8
  br label %look
look:
  %i = phi i64 [1, %entry], [%i1, %seen]
  %asleep = phi i64 [0, %entry], [%asleep1, %seen]
  %more = icmp ult i64 %i, %threads
  br i1 %more, label %seen, label %done
seen:
  %at = mul i64 %i, 64
  %off = add i64 %at, 256
  %flag = getelementptr i8, ptr %team, i64 %off
  %sleeps = load atomic i64, ptr %flag seq_cst, align 8
  %asleep1 = add i64 %asleep, %sleeps
  %i1 = add i64 %i, 1
  br label %look
done:
  ret i64 %asleep
}
"""
)

_LEAD = (
    _STEPS
    + """
define void @lead(ptr %team) {
entry:
  %word = load i64, ptr %team
  %threads = and i64 %word, 65535
  %pc = getelementptr i8, ptr %team, i64 16
  %code = load ptr, ptr %pc
  %ps = getelementptr i8, ptr %team, i64 24
  %slots = load ptr, ptr %ps
  %others = sub i64 %threads, 1
  %finished = getelementptr i8, ptr %team, i64 192
  call void @walk(ptr %code, ptr %slots, ptr %team, i64 0, i64 %threads)
  br label %wait
wait:
  %turns = phi i64 [0, %entry], [%turns1, %pause], [%turns1, %yield]
  %f = load atomic i64, ptr %finished acquire, align 8
  %all = icmp eq i64 %f, %others
  br i1 %all, label %done, label %pause
pause:
  PAUSE
  %turns1 = add i64 %turns, 1
  %rest = urem i64 %turns1, PATIENCE
  %long = icmp eq i64 %rest, 0
  br i1 %long, label %yield, label %wait
yield:
  YIELD
  br label %wait
done:
  ret void
}
"""
)

_WORK = (
    _STEPS
    + """
declare i64 @llvm.readcyclecounter()

define i64 @work(ptr %team, i64 %index, i64 %last, i64 %cycles) {
entry:
  %at = mul i64 %index, 64
  %off = add i64 %at, 256
  %flag = getelementptr i8, ptr %team, i64 %off
  br label %begin
begin:
  %known = phi i64 [%last, %entry], [%g, %took]
  store atomic i64 0, ptr %flag seq_cst, align 8
  %start = call i64 @llvm.readcyclecounter()
  br label %look
look:
  %g = load atomic i64, ptr %team seq_cst, align 8
  %new = icmp ne i64 %g, %known
  br i1 %new, label %found, label %idle
idle:
  PAUSE
  %now = call i64 @llvm.readcyclecounter()
  %spent = sub i64 %now, %start
  %enough = icmp ugt i64 %spent, %cycles
  br i1 %enough, label %sleep, label %look
sleep:
  store atomic i64 1, ptr %flag seq_cst, align 8
  %again = load atomic i64, ptr %team seq_cst, align 8
  %still = icmp eq i64 %again, %known
  br i1 %still, label %away, label %woken
woken:
  %mine = cmpxchg ptr %flag, i64 1, i64 0 seq_cst seq_cst
  %did = extractvalue { i64, i1 } %mine, 1
  br i1 %did, label %look, label %away
away:
  ret i64 %known
found:
  %threads = and i64 %g, 65535
  %member = icmp ult i64 %index, %threads
  br i1 %member, label %join, label %took
join:
  %pc = getelementptr i8, ptr %team, i64 16
  %code = load ptr, ptr %pc
  %ps = getelementptr i8, ptr %team, i64 24
  %slots = load ptr, ptr %ps
  call void @walk(ptr %code, ptr %slots, ptr %team, i64 %index, i64 %threads)
  %finished = getelementptr i8, ptr %team, i64 192
  %f = atomicrmw add ptr %finished, i64 1 release
  br label %took
took:
  br label %begin
}
"""
)

_WAKE = """
define i64 @wake(ptr %team, i64 %index) {
  %at = mul i64 %index, 64
  %off = add i64 %at, 256
  %flag = getelementptr i8, ptr %team, i64 %off
  %mine = cmpxchg ptr %flag, i64 1, i64 0 seq_cst seq_cst
  %did = extractvalue { i64, i1 } %mine, 1
  %r = zext i1 %did to i64
  ret i64 %r
}
"""

PATIENCE = 128
"""So many turns of waiting for another thread, then the core is offered to whoever else wants it."""
_YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
_PAUSES = {
    "x86_64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "aarch64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
}
"""Machine → (what a thread does while it waits, its declaration)."""


def _native(name: str, text: str, result: type | None, *args: type) -> Callable[..., int]:
    machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
    pause, declaration = _PAUSES.get(machine, ("", ""))
    text = text.replace("PAUSE", pause).replace("PATIENCE", str(PATIENCE)) + declaration + "\n"
    if "YIELD" in text:
        text = text.replace("YIELD", f"call i32 @{_YIELD}()") + f"\ndeclare i32 @{_YIELD}()\n"
    return ctypes.CFUNCTYPE(result, *args)(compiler.address(name, text))


class Team:
    """The threads of this process that walk programs."""

    def __init__(self) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._alone = _native("alone", _ALONE, None, *(pointer,) * 5)
        self._publish = _native("publish", _PUBLISH, number, pointer, pointer, pointer, number, pointer, pointer)
        self._lead = _native("lead", _LEAD, None, pointer)
        self._work = _native("work", _WORK, number, pointer, number, number, number)
        self._wake = _native("wake", _WAKE, number, pointer, number)
        block = np.zeros(256 + 64 * (host().cores + 1) + 64, np.uint8)
        self._memory = block[-block.ctypes.data % 64 :]
        self._at = self._memory.ctypes.data
        self._busy = threading.Lock()
        self._beds: list[threading.Lock] = []

    def run(self, code: int, slots: int, threads: int, where: int = 0, objects: int = 0) -> None:
        """Walks the program at `code` on the addresses at `slots`; returns when all of it is done.

        `where` and `objects`, if given, bind the arrays of a tuple first: see `objects.BIND`.
        """
        if threads <= 1 or host().cores == 1 or not self._busy.acquire(blocking=False):
            self._alone(code, slots, self._at, where, objects)
            return
        threads = min(threads, host().cores)
        try:
            while len(self._beds) < threads - 1 and self._hire():
                pass
            threads = min(threads, len(self._beds) + 1)
            if self._publish(self._at, code, slots, threads, where, objects):
                for i in range(1, threads):
                    if self._wake(self._at, i):
                        self._beds[i - 1].release()
            self._lead(self._at)
        finally:
            self._busy.release()

    def _hire(self) -> bool:
        """One thread more, if the system has one: not at its limit, nor while the interpreter ends."""
        bed = threading.Lock()
        bed.acquire()
        self._beds.append(bed)
        index, seen = len(self._beds), int(self._memory[:8].view(np.int64)[0])
        thread = threading.Thread(target=self._live, args=(index, bed, seen), name=f"striate-{index}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._beds.pop()
            return False
        return True

    def _live(self, index: int, bed: threading.Lock, last: int) -> None:
        """`last` is the generation that is over: what comes after it is work."""
        while True:
            last = self._work(self._at, index, last, SPIN_CYCLES)
            bed.acquire()


_team: Team | None = None
_making = threading.Lock()


def team() -> Team:
    """The team of this process; a forked child makes its own."""
    global _team
    if _team is None:
        with _making:
            if _team is None:
                _team = Team()
    return _team


def _forget() -> None:
    global _team, _making
    _team, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
