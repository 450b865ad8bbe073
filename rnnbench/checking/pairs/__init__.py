"""Two artifacts that rnnbench did not write, compared: neither is the reference.

What is compared is their difference, also relative to the size of the values, and the tolerance
needed: the smallest rtol = atol with which `np.allclose` agrees. Each file runs in a process of
its own. States are carried over a few chunks; one that a file keeps inside is found by calling it
twice, and such a file is loaded anew for each case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnbench.checking.pairs.inputs import Feeder, Given
from rnnbench.checking.pairs.match_ports import Side, job_of, match_outputs, same_bits
from rnnbench.core.documents import document, plain
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.ports import find_states
from rnnbench.core.tables import format_table
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.worker import Worker

TOLERANCE = 1e-5
"""About a hundred roundings of float32: sums in another order stay below it."""

CHUNKS = 4
_CONTEXT = (
    "they are called chunk after chunk: if one wants the end of the chunk before in front of its "
    "input, and the other keeps that itself, say so with --context NAME=N"
)
_HEADERS = (
    *("output", "other file's", "calls", "difference", "relative", "tolerance needed"),
    *("worst case", "verdict"),
)


@dataclass(frozen=True)
class PairRow:
    """One output of both files, over all cases and chunks.

    Attributes:
        output: its name in the first file.
        other: its name in the second.
        calls: how many pairs of calls were compared.
        error: the largest absolute difference; infinite where shapes differ or one is not finite.
        relative: that, relative to the largest value.
        tolerance_needed: the smallest rtol = atol with which `np.allclose` agrees.
        worst: the case and chunk of it.
        verdict: `same` or `DIFFERS`.
        reason: why there is no difference in numbers; empty where there is one.
    """

    output: str
    other: str
    calls: int
    error: float
    relative: float
    tolerance_needed: float
    worst: str
    verdict: Verdict = Verdict.SAME
    reason: str = ""


@dataclass(frozen=True)
class PairReport:
    """What the comparison of two files found.

    Attributes:
        files: the two paths.
        matching: what was matched, in words, in the order of the first file's inputs and outputs.
        rows: one for each pair of outputs.
        refused: case -> which file does not run it, and why; it was not compared.
        tolerance: above which outputs differ.
        ok: something was compared, and nothing differs.
    """

    files: tuple[str, str]
    matching: tuple[str, ...]
    rows: tuple[PairRow, ...]
    refused: dict[str, str]
    tolerance: float
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON values; an infinite error is the string "inf"."""
        return document("check-pair", plain(self), ok=self.ok)


def check_pair(
    a: str | Path,
    b: str | Path,
    given: Given | None = None,
    *,
    tolerance: float = TOLERANCE,
    chunks: int = CHUNKS,
    seed: int = 0,
) -> PairReport:
    """Compares what two files compute for the same inputs.

    Args:
        a: an .onnx, TorchScript or .pt2 file, or OpenVINO's .xml with its .bin beside it.
        b: another.
        given: inputs, numbers, shapes and contexts, where the files do not say enough.
        tolerance: the largest `tolerance_needed` that is still the same.
        chunks: how many calls the states are carried over, where there are any.
        seed: of the random inputs.

    Raises:
        RnnbenchError: a file is none of these or damaged, or what to feed cannot be told.
    """
    given = given or Given()
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(job_of(Path(p)))) for p in (a, b)]
        sides = [_side(Path(p), w) for p, w in zip((a, b), workers, strict=True)]
        feeder = Feeder(sides[0], sides[1], given, seed)
        stateful = any(side.states for side in sides)
        inside = [_keeps_state(w, feeder, i) for i, w in enumerate(workers)]
        rounds = chunks if stateful or any(inside) or given.context else 1
        results, refused = [], {}
        for name, sizes in feeder.cases():
            for worker, kept in zip(workers, inside, strict=True):
                if kept:
                    worker.close()
            calls, why = _calls(workers, feeder, sizes, rounds)
            results += [(f"{name}, chunk {i + 1}" if rounds > 1 else name, *c) for i, c in calls]
            if why:
                refused[name] = why
    if not results:
        name, why = next(iter(refused.items()))
        raise RnnbenchError(f"nothing can be compared: {why} (at {name}): give --shape or --inputs")
    pairs = match_outputs(sides[0], sides[1], feeder.pairs, results[0][1], results[0][2])
    rows = tuple(_row(pair, results, tolerance) for pair in pairs)
    words = tuple(_describe(sides, feeder, pairs, inside))
    ok = bool(rows) and all(row.verdict == Verdict.SAME for row in rows)
    return PairReport((str(a), str(b)), words, rows, refused, tolerance, ok)


def format_pair(report: PairReport) -> str:
    """The matching, and a table with a row for each pair of outputs."""
    table = [
        [
            *(r.output, r.other, str(r.calls)),
            *(f"{v:.1e}" for v in (r.error, r.relative, r.tolerance_needed)),
            *(r.worst, r.verdict),
        ]
        for r in report.rows
    ]
    lines = [f"{report.files[0]} against {report.files[1]}"]
    lines += [f"  {line}" for line in report.matching]
    lines += [format_table(_HEADERS, table)]
    lines += [f"{r.output} at {r.worst}: {r.reason}" for r in report.rows if r.reason]
    if any(
        ", chunk " in r.worst and not r.reason and r.verdict != Verdict.SAME for r in report.rows
    ):
        lines += [_CONTEXT]
    lines += [f"not compared at {case}: {why}" for case, why in report.refused.items()]
    lines += [f"Neither is the reference; same: tolerance needed <= {report.tolerance:g}"]
    return "\n".join(lines)


def _side(path: Path, worker: Worker) -> Side:
    signature = worker.signature()
    return Side(path, worker.job, signature, find_states(signature))


def _keeps_state(worker: Worker, feeder: Feeder, side: int) -> bool:
    """Whether the same call gives something else the second time."""
    for _, sizes in feeder.cases():
        inputs = _with_context(feeder, side, feeder.chunk(sizes, 0)[side], {})
        try:
            first, second = (worker(inputs | feeder.start(side, sizes)) for _ in range(2))
        except RnnbenchError:
            continue  # not at this size
        return not same_bits(first, second)
    return False


def _calls(
    workers: list[Worker], feeder: Feeder, sizes: Mapping[str, int], rounds: int
) -> tuple[list[tuple[int, tuple[Arrays, Arrays]]], str]:
    """The outputs of both files for each chunk; and which file refuses them, and why."""
    states = [feeder.start(side, sizes) for side in (0, 1)]
    before: list[Arrays] = [{}, {}]
    done: list[tuple[int, tuple[Arrays, Arrays]]] = []
    for index in range(rounds):
        data = feeder.chunk(sizes, index)
        outputs = []
        for side, worker in enumerate(workers):
            inputs = _with_context(feeder, side, data[side], before[side])
            try:
                outputs.append(worker(inputs | states[side]))
            except RnnbenchError as error:
                return done, f"{feeder.sides[side].path.name} refuses: {one_line(error)[:200]}"
            carried = feeder.sides[side].states
            states[side] = {n: outputs[side][carried[n]] for n in states[side]}
        before = data
        done.append((index, (outputs[0], outputs[1])))
    return done, ""


def _with_context(feeder: Feeder, side: int, data: Arrays, before: Arrays) -> Arrays:
    """The data with the end of the chunk before in front, where an input wants that."""
    full = dict(data)
    for name, count in feeder.given.context.items():
        if name in data:
            past = before.get(name, np.zeros_like(data[name]))[..., -count:]
            full[name] = np.concatenate([past, data[name]], axis=-1)
    return full


def _row(
    pair: tuple[str, str], results: list[tuple[str, Arrays, Arrays]], tolerance: float
) -> PairRow:
    row = PairRow(*pair, 0, 0.0, 0.0, 0.0, "")
    size = 0.0
    for case, ours, theirs in results:
        x, y = (np.asarray(o[n], np.float64) for o, n in zip((ours, theirs), pair, strict=True))
        error, needed, why = np.inf, np.inf, ""
        if x.shape == y.shape and np.array_equal(np.isfinite(x), np.isfinite(y)):
            finite = np.isfinite(y)
            apart = np.abs(x[finite] - y[finite])
            error = float(apart.max(initial=0.0))
            needed = float((apart / (1 + np.abs(y[finite]))).max(initial=0.0))
            size = max(size, float(np.abs(y[finite]).max(initial=0.0)))
        else:
            why = _apart(x, y)
        worst = case if needed > row.tolerance_needed or not row.worst else row.worst
        row = replace(
            row,
            calls=row.calls + 1,
            error=max(row.error, error),
            tolerance_needed=max(row.tolerance_needed, needed),
            worst=worst,
            reason=row.reason or why,
        )
    verdict = Verdict.SAME if row.tolerance_needed <= tolerance else Verdict.DIFFERS
    return replace(row, relative=row.error / size if size else row.error, verdict=verdict)


def _apart(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Why two arrays have no difference in numbers."""
    if x.shape != y.shape:
        return (
            f"the shapes are {list(x.shape)} and {list(y.shape)}: compare at other sizes with "
            "--shape, or outputs that belong together"
        )
    only = np.isfinite(x) != np.isfinite(y)
    return f"{int(only.sum())} of {only.size} values are NaN or infinite in one of the files alone"


def _describe(
    sides: list[Side], feeder: Feeder, pairs: list[tuple[str, str]], inside: list[bool]
) -> Iterator[str]:
    inputs = ", ".join(f"{a} = {b}" for a, b in feeder.pairs.items())
    yield f"inputs   {inputs}"
    yield f"outputs  {', '.join(f'{a} = {b}' for a, b in pairs)}"
    for side, kept in zip(sides, inside, strict=True):
        if side.states:
            carried = ", ".join(f"{i} <- {o}" for i, o in side.states.items())
            yield f"states   {carried} (of {side.path.name})"
        if kept:
            yield f"states   kept inside of {side.path.name}, which is loaded anew for each case"
