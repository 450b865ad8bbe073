"""The tasks: one real data set per file, there without a network.

A file has the same few names as its neighbours: `available()` (None, or why it cannot be used) and
`load()`, which reads the data into a `Task`; the first line of its docstring describes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnbench.core import plugins
from rnnbench.core.errors import Unavailable, choices

if TYPE_CHECKING:
    from rnnbench.models.task import Task


def names() -> tuple[str, ...]:
    """Every task, sorted."""
    return plugins.names("tasks")


def describe(name: str) -> str:
    """One line about a task: the first of its docstring, read without importing it."""
    if name not in names():
        raise choices("task", name, names())
    return plugins.describe("tasks", name)


def available(name: str) -> str | None:
    """None, or the one-line reason why the task's data are not on this machine."""
    reason: str | None = plugins.load("tasks", name).available()
    return reason


def load(name: str) -> Task:
    """Reads a task's data.

    Raises:
        RnnbenchError: there is no such task.
        Unavailable: its data are not on this machine; the message says how to get them.
    """
    plugin = plugins.load("tasks", name)
    reason = plugin.available()
    if reason is not None:
        raise Unavailable(f"task {name!r}: {reason}")
    task: Task = plugin.load()
    return task
