"""Measurements as pytest-benchmark's JSON, and the journal of a run that may be cut short.

The statistics of an entry, and the facts about machine and commit, are pytest-benchmark's own, so
its `compare` reads what is written here.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.whole import LOCKS, lock, unlock, write_file

if TYPE_CHECKING:
    from rnnbench.benchmarking.measuring.measure import Measured

JOURNAL = ".journal"


def to_entry(measured: Measured) -> dict[str, Any]:
    """An entry of `benchmarks`, of the same name as under `pytest benchmarks/`."""
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for value in measured.seconds:
        stats.update(float(f"{value:.5g}"))  # a clock of 60 ns has no more digits
    item = measured.item
    name = f"test_{item.kind}[{item.id}]"
    return {
        "group": measured.group,
        "name": name,
        "fullname": f"benchmarks/test_plan.py::{name}",
        "params": {"item": item.id},
        "param": item.id,
        "extra_info": measured.info,
        "options": {"timer": "perf_counter_ns", "disable_gc": True},
        "stats": {**stats.as_dict(), "data": stats.data, "iterations": measured.calls},
    }


def to_results(
    entries: list[dict[str, Any]],
    facts: dict[str, Any],
    machine_info: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of a results file.

    Args:
        entries: of `benchmarks`.
        facts: ours about the machine, which go to `machine_info["rnnbench"]`.
        machine_info: pytest-benchmark's own; those of this machine unless given.
    """
    import pytest_benchmark
    from pytest_benchmark.utils import get_commit_info

    return {
        "machine_info": {**(machine_info or describe_for_pytest()), "rnnbench": facts},
        "commit_info": get_commit_info(),
        "benchmarks": entries,
        "datetime": datetime.now(UTC).isoformat(),
        "version": pytest_benchmark.__version__,
    }


def describe_for_pytest() -> dict[str, Any]:
    """pytest-benchmark's own facts of this machine."""
    from pytest_benchmark.plugin import pytest_benchmark_generate_machine_info

    return dict(pytest_benchmark_generate_machine_info())


def machine_id() -> str:
    """What pytest-benchmark calls machines like this one."""
    from pytest_benchmark.utils import get_machine_id

    return str(get_machine_id())


def machine_folder(out: Path) -> Path:
    """Where pytest-benchmark keeps the results of machines like this one."""
    return out / machine_id()


def next_file(folder: Path, name: str) -> Path:
    """`0007_name.json` after 0006, whatever that was called."""
    taken = [p.name[:4] for p in folder.glob("[0-9][0-9][0-9][0-9]_*")]
    return folder / f"{max(map(int, taken), default=0) + 1:04}_{name}.json"


def write_results(path: Path, data: dict[str, Any]) -> None:
    """Writes a results file, whole or not at all."""
    text = json.dumps(data, separators=(",", ":"), default=str) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path.parent, error) from None
    write_file(path, text.encode(), "choose another --out")


class Journal:
    """A line of JSON for each thing that was measured, on the disk before the next one begins.

    The first line is the head: the plan and the machine. A last line that was cut is left out.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self.path = results.with_suffix(JOURNAL)
        self._held: int | None = None

    def begin(self, head: dict[str, Any]) -> bool:
        """Starts anew; False where another run that began at the same time has taken the number."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(exist_ok=False)
        except FileExistsError:
            return False
        except OSError as error:
            raise _cannot_write(self.path.parent, error) from None
        self.hold()
        self.add(head)
        return True

    def hold(self) -> bool:
        """Makes it known that a run writes here; False where another does."""
        self._held = lock(self.path)
        return self._held is not None or not LOCKS

    def end(self, *, finished: bool) -> None:
        """The run has ended; what is left of one that was stopped is there for `--resume`."""
        unlock(self._held)
        if finished:
            self.path.unlink()

    def add(self, line: dict[str, Any]) -> None:
        """Appends one line, to the disk."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RnnbenchError(
                f"cannot write {self.path} ({error.strerror or one_line(error)}): make room, and "
                "go on with --resume"
            ) from None

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The head, and the whole lines after it; what is left of a cut one is removed."""
        text = self.path.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self.path.write_text(whole, encoding="utf-8")
        try:
            head, *lines = [json.loads(line) for line in whole.splitlines()]
        except (ValueError, RecursionError) as error:
            raise RnnbenchError(
                f"{self.path} cannot be read ({one_line(error)}): remove it, and start anew"
            ) from None
        return head, lines


def find_journal(folder: Path, name: str | None) -> Journal:
    """The newest run that stopped before its end.

    Raises:
        RnnbenchError: there is none.
    """
    found = sorted(folder.glob(f"[0-9][0-9][0-9][0-9]_{name or '*'}{JOURNAL}"))
    for path in reversed(found):
        journal = Journal(path.with_suffix(".json"))
        if journal.hold():  # else it runs still
            return journal
    called = f" of the name {name!r}" if name else ""
    raise RnnbenchError(f"no run{called} in {folder} was stopped: start one without --resume")


def _cannot_write(folder: Path, error: OSError) -> RnnbenchError:
    return RnnbenchError(
        f"cannot write to {folder} ({error.strerror or one_line(error)}): choose another --out"
    )
