"""One item of a plan, measured: what its entry in a results file says."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from rnnbench.benchmarking.measuring import coldstart
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.inference_mode import inference_mode, training_mode
from rnnbench.benchmarking.measuring.networks import inputs_for, work_of
from rnnbench.benchmarking.measuring.paired import Compared, interleave
from rnnbench.benchmarking.measuring.sampling import Effort, Samples, sample
from rnnbench.benchmarking.measuring.streaming import Times
from rnnbench.benchmarking.plan import Item, timing_of
from rnnbench.core.cuda import event_seconds
from rnnbench.core.errors import Unavailable
from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.runtimes.training import TRAINING

_EVENT_CALLS = 100


@dataclass(frozen=True)
class Measured:
    """An entry to be.

    Attributes:
        item: what was measured.
        group: what it belongs to.
        info: pytest-benchmark's `extra_info`.
        seconds: of a call, each the mean of `calls` in a row.
        calls: in one of them.
    """

    item: Item
    group: str
    info: dict[str, Any]
    seconds: tuple[float, ...]
    calls: int


def measure(item: Item, artifacts: Artifacts, effort: Effort) -> Measured:
    """Measures one item.

    Raises:
        Unavailable: something that it needs is not on this machine.
        WrongOutput: what was to be timed computes something else.
        RnnbenchError: it cannot be exported, loaded or run.
    """
    function = _KINDS[item.kind]
    mode = training_mode if item.way.mode == TRAINING else inference_mode
    try:
        with mode(item.conditions.threads):
            return function(item, artifacts, effort)
    finally:
        if (
            "torch._dynamo" in sys.modules
        ):  # its caches are for each function, and give up when full
            import torch

            with torchscript_deprecation():  # torch 2.11 uses it where this imports
                torch.compiler.reset()


def describe_samples(samples: Samples, *, recompiles: bool) -> dict[str, Any]:
    """The statistics of an entry of kind `latency`."""
    p50, p95, p99 = (float(np.percentile(samples.seconds, q)) for q in (50, 95, 99))
    return {
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "stable": not samples.why_unstable,
        "why_unstable": samples.why_unstable,
        "warmup_s": samples.warmup.seconds,
        "recompile_s": samples.warmup.recompile_s if recompiles else None,
    }


def describe_comparison(compared: Compared, what: str) -> dict[str, Any]:
    """The statistics of an entry of kind `ratio`."""
    return {
        "what": what,
        "ratio": compared.ratio,
        "low": compared.low,
        "high": compared.high,
        "rounds": compared.rounds,
        "verdict": compared.verdict,
        "stable": not compared.why_unstable,
        "why_unstable": compared.why_unstable,
        "other_s": median(compared.second),
    }


def _latency(item: Item, artifacts: Artifacts, effort: Effort) -> Measured:
    # the work is counted first, so that nothing disturbs the samples
    network, arrays = _made(item, artifacts)
    todo = asdict(work_of(network, item.conditions, arrays))
    recompiles = timing_of(item.way.runtime).recompiles
    subject = artifacts.subject(item.target, item.way, item.conditions, first_call=not recompiles)
    samples = sample(subject.run, effort)
    artifacts.assert_subject(subject, item.target, item.way, item.conditions)
    events = event_seconds(subject.launch, _EVENT_CALLS) if subject.launch else None
    info = describe_samples(samples, recompiles=recompiles)
    return _entry(item, artifacts, todo | info | {"cuda_event_s": events}, samples)


def _ratio(item: Item, artifacts: Artifacts, effort: Effort) -> Measured:
    assert item.versus is not None
    first, second = (
        artifacts.subject(item.target, way, item.conditions) for way in (item.way, item.versus)
    )
    compared = interleave(first.run, second.run, effort)
    model = artifacts.network(item.target, item.versus, item.conditions).model.name
    info = describe_comparison(compared, item.what)
    return _entry(
        item, artifacts, info | {"versus": {"model": model, **asdict(item.versus)}}, compared
    )


def _cost(item: Item, artifacts: Artifacts, effort: Effort) -> Measured:
    network, arrays = _made(item, artifacts)
    source = artifacts.source(item.target, item.way, item.conditions)
    exported = None
    if source.path is not None:
        exported = artifacts.file(item.target, item.way, item.conditions)
    elif source.module is None:
        raise Unavailable("the code of the model is not on this machine")
    source = artifacts.fit(source, item.way, arrays)
    start = coldstart.start_cold(item, source, arrays, artifacts.folder)
    artifacts.assert_outputs(start.outputs, item.target, item.way, item.conditions)
    info = {
        "export_s": exported.seconds if exported else None,
        "load_s": start.load_s,
        "first_call_s": start.first_call_s,
        "peak_memory_bytes": start.peak_memory_bytes,
        "baseline_memory_bytes": start.baseline_memory_bytes,
        "artifact_bytes": exported.bytes if exported else None,
        "price": network.price,
    }
    return _entry(item, artifacts, info, start.first_call_s)


def _streams(item: Item, artifacts: Artifacts, effort: Effort) -> Measured:
    network, _ = _made(item, artifacts)
    alone = replace(item.conditions, batch=1)
    found = artifacts.held(item.target, item.way, alone, item.streams, effort)[item.held]
    if isinstance(found, Exception):
        raise found
    info = {"streams": item.streams, "held": item.held}
    info |= found.to_info(network.model.frames_per_second)
    return _entry(item, artifacts, info, found)


_KINDS = {"latency": _latency, "ratio": _ratio, "cost": _cost, "streams": _streams}


def _made(item: Item, artifacts: Artifacts) -> tuple[Any, Any]:
    network = artifacts.network(item.target, item.way, item.conditions)
    return network, inputs_for(network.model, item.conditions)


def _entry(
    item: Item,
    artifacts: Artifacts,
    info: dict[str, Any],
    timed: Samples | Compared | Times | float,
) -> Measured:
    network, _ = _made(item, artifacts)
    conditions = item.conditions
    if isinstance(timed, Samples):
        seconds, calls = timed.seconds, timed.calls
    elif isinstance(timed, Compared):
        seconds, calls = timed.first, 1
    elif isinstance(timed, Times):
        seconds, calls = timed.seconds, 1
    else:
        seconds, calls = (timed,), 1
    names = {"kind": item.kind, "model": network.model.name, "cell": network.cell}
    said = names | asdict(item.way) | asdict(conditions)
    said["frames_per_second"] = network.model.frames_per_second
    said |= {"precision": network.precision, "of": network.of}
    return Measured(item, f"{network.model.name} on {conditions}", said | info, seconds, calls)
