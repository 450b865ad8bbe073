"""How long a process computes, which limits of time count: a busy machine is nobody's fault."""

from __future__ import annotations

import contextlib
import os
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
        self._first: float | None = None  # what it had computed at the first look
        self._over = False

    def __enter__(self) -> Self:
        self._start = self._began = monotonic()
        self.due = self._start + self._pause
        _watch.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        _watch.remove(self)

    def look(self) -> bool:
        """Looks at the process, and gives up where it must; whether there is more to look for.

        It gives up as well where there is no memory to look with: nobody would end it then. Where
        it cannot look for another reason (too many open files), the clock on the wall decides.
        """
        try:
            late = self._is_late()
        except MemoryError:
            late = True
        except Exception:  # the limits of others are looked at by the same thread
            late = self._waited()
        self.due = monotonic() + self._pause
        if late and not self._over:
            with contextlib.suppress(Exception):
                self._give_up()
        return not late

    def _waited(self) -> bool:
        return monotonic() - self._start >= _PATIENCE * self._seconds

    def _is_late(self) -> bool:
        now, spent = monotonic(), cpu_seconds(self._pid)
        if self._first is None:
            self._first = self._last = spent
            return False
        if spent - self._last >= _AWAKE * self._seconds or wants_to_run(self._pid):
            self._began, self._last = now, spent
        asleep = now - self._began >= self._seconds
        return spent - self._first >= self._seconds or asleep or self._waited()


class _Watch:
    """One thread that looks at the processes of all limits.

    A call that is watched takes less than a thread takes to start. The first look is after a while:
    it reads about every process of the machine, which takes longer than most of what is watched.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limits: list[Limit] = []
        self._thread: threading.Thread | None = None
        self._wakes = 0.0  # when the thread looks next

    def add(self, limit: Limit) -> None:
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._wakes = limit.due
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()  # or there is no memory for one, and the limit has not begun
            elif limit.due < self._wakes:
                self._wakes = limit.due
                self._changed.notify()
            self._limits.append(limit)

    def remove(self, limit: Limit) -> None:
        with self._changed:
            if limit in self._limits:
                self._limits.remove(limit)

    def _run(self) -> None:
        """Looks whenever a limit is due; ends where there is none at such a time."""
        while True:
            with self._changed:
                while (pause := self._wakes - monotonic()) > 0:
                    self._changed.wait(pause)
                if not self._limits:
                    self._thread = None
                    return
                due = [limit for limit in self._limits if limit.due <= monotonic()]
            for limit in due:
                if not limit.look():
                    self.remove(limit)
            with self._changed:
                dues = [limit.due for limit in self._limits]
                self._wakes = min(dues, default=monotonic())


_watch = _Watch()


def _watch_anew() -> None:
    """In a fork there is no thread, and a lock may be held by one that there was."""
    global _watch
    _watch = _Watch()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch_anew)


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
