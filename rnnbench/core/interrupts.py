"""Ctrl-C, SIGTERM and SIGHUP end a command in order: none is lost, and each cleans up.

Python raises `KeyboardInterrupt` where it happens to be, and a callback of a C library (a trace
hook, a destructor, `ctypes`) may swallow that. So it is noted, and raised again every half a
second, until it is on its way: an exception of that kind is being handled, or the command has
ended.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

AGAIN = 0.5  # seconds


class Interrupts:
    """What has arrived while it is entered: the handlers are set, and put back.

    In another thread than the main one, and on a system without timers, Python's own stay.

    Attributes:
        signal: the first that arrived; None: none has.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}  # handlers
        self._alarm: tuple[Any, tuple[float, float]] | None = None  # somebody else's

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                # `nohup`, and a shell's background job, ask that it be ignored.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self.arrived)
            _current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in _current:
            _current.remove(self)
            self.over()
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def arrived(self, number: int, _frame: FrameType | None) -> None:
        """The handler."""
        self.signal = self.signal or number
        if self._alarm is None and hasattr(signal, "setitimer"):
            self._alarm = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
            signal.signal(signal.SIGALRM, self._later)
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        raise KeyboardInterrupt(number)

    def _later(self, _number: int, frame: FrameType | None) -> None:
        # Raised while all is put back, it would leave the timer on, for whoever comes after.
        if not _on_its_way() and not _ends(frame):
            raise KeyboardInterrupt

    def over(self) -> None:
        """Nothing is raised any more, and the timer is whose it was."""
        if self._alarm is not None:
            handler, timer = self._alarm
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *timer)
            self._alarm = None


_ENDING = {Interrupts.__exit__.__code__, Interrupts.over.__code__}


def _ends(frame: FrameType | None) -> bool:
    """Whether that frame, or one that called it, puts all back."""
    while frame is not None:
        if frame.f_code in _ENDING:
            return True
        frame = frame.f_back
    return False


def _on_its_way() -> bool:
    """Whether something is cleaned up for it: `finally`, `except` and `__exit__` see an error."""
    return came_of_one(sys.exc_info()[1])


def came_of_one(error: BaseException | None) -> bool:
    """Whether an error is `KeyboardInterrupt`, or came up as one was handled.

    Up to Python 3.11 one in `__set_name__`, as a class is made, becomes a RuntimeError.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


_current: list[Interrupts] = []


def taken_up() -> None:
    """For who catches `KeyboardInterrupt` to end in his own way: it is not raised again."""
    for interrupts in _current:
        interrupts.over()


def noted() -> Interrupts:
    """While it lasts, signals that ask to end are noted and raised; the handlers are put back."""
    return Interrupts()
