"""Jobs in processes of their own, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

from rnnbench.runtimes.job import Job
from rnnbench.runtimes.worker import Worker

Result = TypeVar("Result")


@dataclass(frozen=True)
class Isolation:
    """The limits of the processes.

    Attributes:
        seconds: of CPU, for loading, and for each call.
        memory: bytes of each.
        workers: processes at a time; as many as there are cores where it is 0.
    """

    seconds: float = 60.0
    memory: int = 4 * 2**30
    workers: int = 0


def in_processes(
    jobs: Sequence[Job], use: Callable[[Job, Worker], Result], limits: Isolation
) -> Iterator[Result]:
    """What `use` makes of each job and its process, as they end.

    Args:
        jobs: what the processes load.
        use: starts the process (`with worker:`) and asks it; from a thread of its own where there
            are several at a time.
        limits: of each process.

    Whatever ends this, Ctrl-C too: nothing is left running, and nothing starts any more.
    """
    workers = [Worker(job, seconds=limits.seconds, memory=limits.memory) for job in jobs]
    count = limits.workers or os.cpu_count() or 1
    try:
        if count == 1:
            for job, worker in zip(jobs, workers, strict=True):
                yield use(job, worker)
            return
        with ThreadPoolExecutor(count) as pool:
            waiting = [pool.submit(use, *pair) for pair in zip(jobs, workers, strict=True)]
            try:
                for future in as_completed(waiting):
                    yield future.result()
            finally:
                for future in waiting:
                    future.cancel()
                for worker in workers:  # the executor waits for its threads, which wait for these
                    worker.kill()
    finally:
        for worker in workers:
            worker.kill()
