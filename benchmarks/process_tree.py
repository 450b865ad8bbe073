"""What a command takes, with every process that it starts: CPU seconds, seconds, memory.

    python benchmarks/process_tree.py '{"command": ["rnnbench", "list"], ...}'

Prints `Cost` as JSON. It is a process of its own, because the system adds up the CPU seconds of the
children that a process has waited for, and never says whose they were. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
_FAREWELL = 10.0  # seconds that processes have to end after the command itself
_EVERY = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """What one command took.

    Attributes:
        code: its exit code.
        cpu_s: user and system seconds of all its processes.
        wall_s: seconds until it ended.
        largest: bytes in memory of its largest process, at the worst moment.
        together: bytes of all at once, a page that several share counted once; 0: not asked for.
    """

    code: int
    cpu_s: float
    wall_s: float
    largest: int
    together: int


def cost_of(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    together: bool = False,
) -> Cost:
    """Runs a command, and says what it took.

    Args:
        command: its words.
        folder: where it runs; what it prints is written there, to `printed.txt`.
        environment: of it.
        together: look at the memory of all processes at once, which takes some time of its own.

    Raises:
        OSError: it cannot be started.
    """
    asked = {"command": [*command], "folder": str(folder), "together": together}
    done = subprocess.run(
        [sys.executable, "-I", __file__, json.dumps(asked)],
        env=dict(environment),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise OSError(f"{command[0]} was not run: exit code {done.returncode}")
    return Cost(**json.loads(done.stdout))


def _run(command: Sequence[str], folder: Path, together: bool) -> Cost:
    # What a server forked, and left behind, becomes a child of this process.
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    start = monotonic()
    with (folder / "printed.txt").open("wb") as printed:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed
        )
    ended = threading.Event()
    most = [0]
    watch = threading.Thread(target=_watch, args=(ended, most), daemon=True)
    if together:
        watch.start()
    code = process.wait()
    wall = monotonic() - start
    ended.set()
    if together:
        watch.join()
    _wait_for_the_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(code, used.ru_utime + used.ru_stime, wall, 1024 * used.ru_maxrss, most[0])


def _wait_for_the_rest() -> None:
    """Waits for those whose parent has ended; ends them where they do not end."""
    late = monotonic() + _FAREWELL
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if monotonic() > late:
                for left in descendants(os.getpid()):
                    os.kill(left, signal.SIGKILL)
            sleep(0.02)


def _watch(ended: threading.Event, most: list[int]) -> None:
    while not ended.wait(_EVERY):
        most[0] = max(most[0], sum(map(memory_of, descendants(os.getpid()))))


def memory_of(pid: int) -> int:
    """The bytes that a process has in memory; of a page that several share its part."""
    return 1024 * int(_field(pid, "smaps_rollup", "Pss") or 0)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            parent = _field(int(path.name), "status", "PPid")
            parents.setdefault(int(parent or 0), []).append(int(path.name))
    found, left = [], [*parents.get(pid, ())]
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], ())
    return found


def _field(pid: int, file: str, name: str) -> str:
    """What a file of /proc says of a process; empty where it has just ended."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text("utf-8")
    except OSError:
        return ""
    found = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    return found[1] if found else ""


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    found = _run(given["command"], Path(given["folder"]), given["together"])
    print(json.dumps(asdict(found)))
