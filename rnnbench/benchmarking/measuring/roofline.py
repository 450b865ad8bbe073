"""The machine's own limits, measured: how fast it reads memory, and multiplies at these sizes.

A roofline (Williams, Waterman and Patterson, Roofline: an insightful visual performance model,
2009): a call cannot be faster than its weights can be read, nor than its products can be computed.
Runs in a process of its own, since the thread count of
numpy's BLAS is fixed when it is loaded. Needs numpy alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from rnnbench.core.collector import ending_at_once
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.processes import end_with_parent, run_module
from rnnbench.runtimes.training import TRAINING

COLUMNS = 64  # of the matrix-matrix product
_REPEATS = 64  # products in one call of numpy, so that calling it does not count
_BEST_OF_S = 0.05
_READ_BYTES = 2**28
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure_limits(threads: Iterable[int], hidden: Sequence[int]) -> dict[str, Any]:
    """The limits for each thread count, as a results file holds them.

    Raises:
        RnnbenchError: the process that measures failed.
    """
    return {"threads": {str(n): _in_process(n, hidden) for n in threads}}


def limit_seconds(row: Mapping[str, Any], facts: Mapping[str, Any]) -> float | None:
    """The least time that a call can take on this machine; None where there are no limits for it.

    The weights are read once a call, or once a step where they do not fit the last-level cache.
    The products of the inputs can be done for all steps at once (matrix-matrix); those of the
    state, step by step (matrix-vector for one row).

    Args:
        row: the `extra_info` of a latency.
        facts: `machine_info["rnnbench"]`.
    """
    limits = (facts.get("limits") or {}).get("threads", {}).get(str(row["threads"]))
    if not limits or row["device"] != "cpu" or row["mode"] == TRAINING:
        return None  # the work that is known is that of the forward
    steps = row["time"] if row["weight_bytes"] > _last_level(facts) else 1
    moved = row["weight_bytes"] * steps + row["input_bytes"] + row["output_bytes"]
    reading = moved / limits["read_bytes_per_s"]
    matrix, vector = limits["gemm_flops"], limits["gemv_flops"]
    known = str(row["hidden"])
    product = matrix.get(known) or max(matrix.values())
    recurrent = row.get("recurrent_flops", 0)
    step = product
    if row["batch"] == 1 and known in vector:
        step = max(vector[known], 1.0)
    computing = (row["flops"] - recurrent) / product + recurrent / step
    return float(max(reading, computing))


def measure(hidden: Sequence[int]) -> dict[str, Any]:
    """The limits in this process: bytes a second, and operations a second by hidden size."""
    return {
        "read_bytes_per_s": _read_speed(),
        "gemv_flops": {str(h): _product_speed(h, 1) for h in hidden},
        "gemm_flops": {str(h): _product_speed(h, COLUMNS) for h in hidden},
    }


def _read_speed() -> float:
    """Of an array that no cache holds, by the faster of two ways to read it once."""
    array = np.ones(_READ_BYTES // 4, np.float32)
    seconds = min(_best(lambda: np.dot(array, array)), _best(lambda: array.max()))
    return array.nbytes / seconds


def _product_speed(hidden: int, columns: int) -> float:
    """Of [4 hidden, hidden] times [hidden, columns]; the same matrix again and again."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((4 * hidden, hidden)).astype(np.float32)
    other = rng.standard_normal((hidden, columns)).astype(np.float32)
    stacked = np.broadcast_to(matrix, (_REPEATS, *matrix.shape))
    others = np.broadcast_to(other, (_REPEATS, *other.shape))
    seconds = _best(lambda: np.matmul(stacked, others))
    return _REPEATS * 2 * 4 * hidden * hidden * columns / seconds


def _best(run: Callable[[], Any]) -> float:
    """A limit is the best that was seen."""
    run()
    best, spent = float("inf"), 0.0
    while spent < _BEST_OF_S:
        start = perf_counter()
        run()
        seconds = perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
    return best


def _last_level(facts: Mapping[str, Any]) -> float:
    return max((facts.get("caches") or {}).values(), default=float("inf"))


def _in_process(threads: int, hidden: Sequence[int]) -> dict[str, Any]:
    """The limits with so many threads, which a process cannot change once it has started."""
    environment = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    try:
        said = run_module(__spec__.name, *map(str, hidden), environment=environment)
    except RnnbenchError as error:
        raise RnnbenchError(f"the machine's limits could not be measured ({error})") from None
    found: dict[str, Any] = json.loads(said)
    return found


if __name__ == "__main__":
    end_with_parent()
    ending_at_once()
    print(json.dumps(measure([int(size) for size in sys.argv[1:]])))
