"""How long a process computes, which limits of time count: a busy machine is nobody's fault."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

import psutil

_AWAKE = 0.02  # of the time: a process that gets less, and asks for none, sleeps
_PATIENCE = 20  # times the limit, by the clock on the wall


class Limit:
    """Gives up once a process has computed for too long (context manager).

    What it has started itself counts as well. A process that does nothing for as long, waiting for
    something that never comes, is given up, too.

    Args:
        pid: of the process.
        seconds: of CPU; what it computes before the first look does not count.
        give_up: called once, from another thread.
    """

    def __init__(self, pid: int, seconds: float, give_up: Callable[[], object]) -> None:
        self._pid, self._seconds, self._give_up = pid, seconds, give_up
        self._pause = min(0.5, seconds / 8)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    def _watch(self) -> None:
        """Gives up as well where there is no memory to watch with: nobody would end it then.

        The first look is after a while: it reads about every process of the machine, which takes
        longer than most of what is watched.
        """
        try:
            if not self._over.wait(self._pause):
                self._ends()
        except MemoryError:
            self._give_up()

    def _ends(self) -> None:
        start = began = monotonic() - self._pause
        first = last = cpu_seconds(self._pid)
        while not self._over.wait(self._pause):
            now, spent = monotonic(), cpu_seconds(self._pid)
            if spent - last >= _AWAKE * self._seconds or wants_to_run(self._pid):
                began, last = now, spent
            asleep = now - began >= self._seconds
            if spent - first >= self._seconds or asleep or now - start >= _PATIENCE * self._seconds:
                self._give_up()
                return


def wants_to_run(pid: int) -> bool:
    """Whether a process computes now, or would if the machine were not busy."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_RUNNING)
    except psutil.Error:
        return False


def cpu_seconds(pid: int) -> float:
    """What a process and all that it has started have computed; 0 where it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0.0
    total = 0.0
    for one in family:
        try:
            times = one.cpu_times()
        except psutil.Error:  # it ended meanwhile
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total
