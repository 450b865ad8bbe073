"""What `bench` measured, as `report` and `compare` read it: pytest-benchmark's JSON, and extras.

Each entry of `benchmarks` has a `kind` in its `extra_info`: `latency` (one form in one runtime),
`ratio` (two of them, interleaved), `cost` (what comes before the first steady call) or `streams`
(many at once, step by step). Entries without one are not rnnbench's and are left out. Facts about
the machine are in `machine_info["rnnbench"]`, beside pytest-benchmark's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.benchmarking.entry import Entry
from rnnbench.benchmarking.fields import facts_wrong
from rnnbench.benchmarking.streams import Streams
from rnnbench.benchmarking.summary import Summary
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.price import Price

SCHEMA = 1
FOLDER = Path("benchmarks/results")
MATRIX = "portability.json"  # what runs where: no timings in it
VERDICTS = ("faster", "slower", "cannot tell")


@dataclass(frozen=True, kw_only=True)
class Latency(Entry):
    """Seconds of a call in the steady state.

    Attributes:
        median: of the samples.
        samples: seconds a call, in the order in which they were taken; each may be the mean of
            `calls` calls in a row. Where they were not kept: the median alone.
        summary: of samples that were not kept; None where they were.
        calls: calls in one sample.
        p50: half of the samples are at most this.
        p95: 95 % are.
        p99: 99 % are.
        stable: whether the samples agree with one another.
        why_unstable: in words; empty where they do.
        warmup_s: seconds until the calls were steady.
        recompile_s: of those, what the runtime took to compile again (TorchScript); None where
            it does not.
        cuda_event_s: the median by CUDA's own events; None elsewhere.
        weight_bytes: of weights, which every call must read once.
        input_bytes: of the inputs of a call.
        output_bytes: of its outputs.
        flops: floating-point operations of the matrix products of a call; 0 where not known.
        recurrent_flops: of those, what a step needs the step before for.
    """

    median: float
    samples: tuple[float, ...]
    calls: int
    p50: float
    p95: float
    p99: float
    stable: bool
    why_unstable: str
    warmup_s: float
    recompile_s: float | None
    cuda_event_s: float | None
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    flops: int
    recurrent_flops: int = 0
    summary: Summary | None = None

    @property
    def count(self) -> int:
        """How many samples there were."""
        return len(self.samples) if self.summary is None else self.summary.count

    def percentile(self, q: int) -> float:
        """Of the samples, in seconds; of a summary, one of those that it holds."""
        if self.summary is not None:
            return self.summary.percentiles[q]
        return float(np.percentile(self.samples, q))


WRONG = "wrong output"
"""How the reason begins why something was not measured that computes something else."""


@dataclass(frozen=True)
class Side:
    """The other of two that were compared; the conditions are the entry's own."""

    model: str
    form: str
    runtime: str
    mode: str = ""
    precision: str = ""


@dataclass(frozen=True, kw_only=True)
class Ratio(Entry):
    """Two subjects, interleaved round by round: the first is the entry's, `versus` the other.

    Attributes:
        what: `loop/fused`, `ours/stock`, `runtime/runtime`, `precision/float32`, `harness` or
            `judge`.
        versus: the other.
        ratio: time of this / time of the other, the median over rounds.
        low: of the interval that covers the ratio in 95 of 100 runs (bootstrap over rounds).
        high: of it.
        rounds: how many.
        verdict: `faster`, `slower`, or `cannot tell` where the interval comes within 1 % of 1.
        stable: whether the rounds agree with one another.
        why_unstable: in words; empty where they do.
    """

    what: str
    versus: Side
    ratio: float
    low: float
    high: float
    rounds: int
    verdict: str
    stable: bool = True
    why_unstable: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost(Entry):
    """What comes before the first steady call; None where it does not apply.

    Attributes:
        export_s: seconds to export the artifact.
        load_s: seconds to load it, in a process of its own.
        first_call_s: seconds of the first call there.
        peak_memory_bytes: the most memory of that process.
        baseline_memory_bytes: the memory of that process before it loaded anything of the model.
        artifact_bytes: of the file, with its external data; of C, its constants.
        price: what weights in fewer bits cost.
    """

    export_s: float | None
    load_s: float | None
    first_call_s: float | None
    peak_memory_bytes: int | None
    baseline_memory_bytes: int | None = None
    artifact_bytes: int | None
    price: Price | None = None


@dataclass(frozen=True)
class Skipped:
    """What could not run here, and why."""

    what: str
    reason: str

    @property
    def is_wrong(self) -> bool:
        """Whether it ran, and computes something else."""
        return self.reason.startswith(WRONG)


@dataclass(frozen=True)
class Results:
    """One results file.

    Attributes:
        path: the file.
        machine: pytest-benchmark's `machine_info`; rnnbench's own facts under `rnnbench`.
        commit: pytest-benchmark's `commit_info`.
        created: when, in ISO 8601.
        latencies: one form in one runtime each.
        ratios: two of them, interleaved.
        costs: of loading and first calls.
        streams: many at once, step by step.
        skipped: what could not run.
        facts: of the machine, rnnbench's own: `cpu`, `caches`, `limits`, `versions` ...
    """

    path: Path
    machine: dict[str, Any]
    commit: dict[str, Any]
    created: str
    latencies: tuple[Latency, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    costs: tuple[Cost, ...] = ()
    streams: tuple[Streams, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


KINDS: dict[str, type[Entry]] = {
    "latency": Latency,
    "ratio": Ratio,
    "cost": Cost,
    "streams": Streams,
}


def read_results(paths: Iterable[str | Path] = ()) -> list[Results]:
    """Reads results files; a folder stands for all that are in it.

    Args:
        paths: files and folders; `benchmarks/results` where none are given.

    Raises:
        RnnbenchError: there are none, or one is damaged, foreign or of another schema.
    """
    given = [Path(path) for path in paths] or [FOLDER]
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(f for f in path.glob("**/*.json") if f.name != MATRIX)
        elif path.is_file():
            found.append(path)
        elif path != FOLDER:
            raise RnnbenchError(f"there are no results at {path}: give a file, or a folder of them")
    if not found:
        raise RnnbenchError(
            f"there are no results in {', '.join(map(str, given))}: make some with `rnnbench bench`"
        )
    return [read_file(path) for path in dict.fromkeys(found)]


def read_file(path: Path) -> Results:
    """Reads one results file.

    Raises:
        RnnbenchError: it is damaged, was not written by rnnbench, or is of another schema.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RnnbenchError(f"{path} cannot be read ({one_line(error)}): measure again") from None
    return read_data(path, data)


def read_data(path: Path, data: Any) -> Results:
    """The content of a results file.

    Args:
        path: where it is from.
        data: what JSON has there.

    Raises:
        RnnbenchError: it is damaged, was not written by rnnbench, or is of another schema.
    """
    facts = _facts(path, data)
    try:
        entries = [_read_entry(e) for e in data["benchmarks"] if "kind" in e["extra_info"]]
        skipped = tuple(Skipped(**each) for each in facts.get("skipped", ()))
        commit, created = dict(data["commit_info"]), str(data["datetime"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RnnbenchError(f"{path} is damaged ({one_line(error)}): measure again") from None
    return Results(
        path=path,
        machine=data["machine_info"],
        commit=commit,
        created=created,
        latencies=tuple(e for e in entries if isinstance(e, Latency)),
        ratios=tuple(e for e in entries if isinstance(e, Ratio)),
        costs=tuple(e for e in entries if isinstance(e, Cost)),
        streams=tuple(e for e in entries if isinstance(e, Streams)),
        skipped=skipped,
        facts=facts,
    )


def name_of_machine(facts: Mapping[str, Any]) -> str:
    """`AMD EPYC 7B13, 2 cores`: processor, cores and GPU, as rnnbench's own facts have them."""
    cpu, cores, gpu = (facts.get(name) for name in ("cpu", "cores", "gpu"))
    counted = f"{cores} core{'' if cores == 1 else 's'}" if cores else ""
    parts = [str(part) for part in (cpu, counted, gpu) if part]
    return ", ".join(parts) or "an unknown machine"


def _facts(path: Path, data: Any) -> dict[str, Any]:
    """What rnnbench says of the machine; refuses files of others."""
    machine = data.get("machine_info") if isinstance(data, dict) else None
    facts = machine.get("rnnbench") if isinstance(machine, dict) else None
    if not isinstance(facts, dict):
        raise RnnbenchError(f"{path} was not written by `rnnbench bench`: give a file that was")
    if facts.get("schema") != SCHEMA:
        raise RnnbenchError(
            f"{path} has schema {facts.get('schema')!r}, and this rnnbench reads {SCHEMA}: "
            "measure again, or use the rnnbench that wrote it"
        )
    wrong = facts_wrong(facts)
    if wrong:
        raise RnnbenchError(f"{path} is damaged ({wrong}): measure again")
    return facts


def _read_entry(entry: Mapping[str, Any]) -> Entry:
    kind = entry["extra_info"]["kind"]
    if kind not in KINDS:
        raise ValueError(f"{entry['name']} is of the unknown kind {kind!r}")
    return KINDS[kind].read(entry)
