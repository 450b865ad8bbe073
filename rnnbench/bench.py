"""Drives benchmarks/ (pytest-benchmark) and pairs what must be compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnbench.errors import RnnbenchError, Unavailable, choices

CELLS = ("elman", "gru", "lstm")
RUNTIMES = ("eager", "torchscript", "onnxruntime")


@dataclass(frozen=True)
class Plan:
    """What is measured; empty means everything that there is.

    Attributes:
        cells: elman, gru, lstm.
        runtimes: eager, torchscript, onnxruntime.
        devices: cpu, cuda.
        hidden: sizes of the state.
        batch: batch sizes.
        time: steps.
        threads: inside one operation, the same in every runtime.
        quick: fewer rounds.
    """

    cells: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    hidden: tuple[int, ...] = (32, 128)
    batch: tuple[int, ...] = (1,)
    time: tuple[int, ...] = (32,)
    threads: int = 1
    quick: bool = False


@dataclass(frozen=True)
class Pair:
    """The forms of one recurrence under the same conditions: median latencies in microseconds.

    Attributes:
        cell: elman, gru or lstm.
        runtime: what ran it.
        device: where.
        batch: rows.
        time: steps.
        hidden: the size of the state.
        loop: the cell loop as it is written; None where it was not measured.
        exported: the cell loop as `export` turns it into an artifact; None for eager.
        fused: the fused layer.
        ratio: loop / fused.
    """

    cell: str
    runtime: str
    device: str
    batch: int
    time: int
    hidden: int
    loop: float | None
    exported: float | None
    fused: float | None
    ratio: float | None


@dataclass(frozen=True)
class Against:
    """Our ONNX of one fused layer against the one of torch.onnx.export(dynamo=False).

    Attributes:
        cell: elman, gru or lstm.
        hidden: the size of the state.
        state: `given` or `zero` (the model makes it).
        ours: median latency in microseconds.
        stock: the other's.
        ratio: the median over interleaved rounds of ours / stock.
        quartiles: the middle half of those ratios.
    """

    cell: str
    hidden: int
    state: str
    ours: float
    stock: float
    ratio: float
    quartiles: tuple[float, float]


@dataclass(frozen=True)
class Results:
    """What the suite measured.

    Attributes:
        pairs: loop against fused.
        against: ours against the stock exporter.
        threads: inside one operation.
        ok: every benchmark ran, and what it timed was right.
    """

    pairs: tuple[Pair, ...]
    against: tuple[Against, ...]
    threads: int
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """The results as JSON values."""
        return asdict(self)


def numbers(what: str, given: str) -> tuple[int, ...]:
    """`1,32` -> (1, 32).

    Raises:
        RnnbenchError: one is not a whole number above 0.
    """
    try:
        found = tuple(dict.fromkeys(int(part) for part in given.split(",")))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise RnnbenchError(f"{what} {given!r}: give whole numbers above 0, as in 1,32,128")
    return found


def run_suite(plan: Plan) -> Results:
    """Runs pytest over benchmarks/ in a process of its own; its progress goes to stderr.

    Raises:
        RnnbenchError: a name is unknown, the suite or a tool is missing, or nothing was measured.
    """
    for what, given, possible in (
        ("cell", plan.cells, CELLS),
        ("runtime", plan.runtimes, RUNTIMES),
        ("device", plan.devices, ("cpu", "cuda")),
    ):
        for name in given:
            if name not in possible:
                raise choices(what, name, possible)
    folder = _suite()
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "results.json"
        code = subprocess.run(
            command(plan, folder, file),
            stdout=sys.stderr,
            stdin=subprocess.DEVNULL,
            env=alone(),
            check=False,
        ).returncode
        try:
            data = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            raise RnnbenchError(
                "nothing was measured: pytest says why above, or run `pytest benchmarks/`"
            ) from None
    results = read_results(data, ok=code == 0)
    if not results.pairs and not results.against:
        raise RnnbenchError("nothing was measured: ask for a runtime and a device that are here")
    return results


def alone() -> dict[str, str]:
    """The environment without what tells pytest-benchmark that others run beside it."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}


def command(plan: Plan, folder: Path, file: Path) -> list[str]:
    """The call of pytest that measures `plan` and writes its JSON to `file`."""
    lists = {
        "cells": plan.cells,
        "runtimes": plan.runtimes,
        "devices": plan.devices,
        "hidden": plan.hidden,
        "batch": plan.batch,
        "time": plan.time,
        "threads": (plan.threads,),
    }
    options = [f"--{name}={','.join(map(str, values))}" for name, values in lists.items() if values]
    quick = ["--quick", "--benchmark-max-time=0.1", "--benchmark-min-rounds=5"]
    return [
        *(sys.executable, "-m", "pytest", str(folder), "-q", "--no-header", "--benchmark-quiet"),
        *(f"--rootdir={folder.parent}", f"--benchmark-json={file}", "-p", "no:cacheprovider"),
        *("-p", "no:xdist"),
        *options,
        *(quick if plan.quick else []),
    ]


def read_results(data: dict[str, Any], *, ok: bool) -> Results:
    """Pairs the entries of a pytest-benchmark JSON by what they say in `extra_info`."""
    forms: dict[tuple[Any, ...], dict[str, float]] = {}
    against, threads = [], 1
    for entry in data["benchmarks"]:
        info = entry["extra_info"]
        threads = int(info.get("threads", threads))
        if info.get("kind") == "loop-against-fused":
            key = tuple(
                info[name] for name in ("cell", "runtime", "device", "batch", "time", "hidden")
            )
            forms.setdefault(key, {})[info["form"]] = 1e6 * float(entry["stats"]["median"])
        elif info.get("kind") == "ours-against-stock":
            against.append(_against(info))
    pairs = [_pair(key, found) for key, found in forms.items()]
    return Results(tuple(pairs), tuple(against), threads, ok)


def format_results(results: Results) -> str:
    """The tables."""
    from tabulate import tabulate

    blocks = []
    if results.pairs:
        headers = ["cell", "runtime", "device", "batch", "time", "hidden"]
        headers += ["loop", "loop, as exported", "fused", "loop/fused"]
        rows: list[list[str]] = [
            [
                *(p.cell, p.runtime, p.device, str(p.batch), str(p.time), str(p.hidden)),
                *map(_microseconds, (p.loop, p.exported, p.fused)),
                "" if p.ratio is None else f"{p.ratio:.2f}",
            ]
            for p in results.pairs
        ]
        title = f"Median latency of a call in microseconds, threads: {results.threads}"
        blocks += [title, _table(tabulate, headers, rows)]
    if results.against:
        headers = ["cell", "hidden", "state", "ours", "stock", "ours/stock", "middle half"]
        rows = [
            [
                *(a.cell, str(a.hidden), a.state, f"{a.ours:.1f}", f"{a.stock:.1f}"),
                *(f"{a.ratio:.2f}", f"{a.quartiles[0]:.2f} to {a.quartiles[1]:.2f}"),
            ]
            for a in results.against
        ]
        title = "One step, batch 1, in ONNX Runtime: ours against torch.onnx.export(dynamo=False)"
        blocks += ["", title, _table(tabulate, headers, rows)]
    return "\n".join(blocks).strip("\n")


def _table(tabulate: Any, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = ["left" if h in ("cell", "runtime", "device", "state") else "right" for h in headers]
    return str(tabulate(rows, headers=headers, disable_numparse=True, colalign=align))


def _pair(key: tuple[Any, ...], forms: dict[str, float]) -> Pair:
    loop, fused = forms.get("loop"), forms.get("fused")
    ratio = loop / fused if loop is not None and fused else None
    cell, runtime, device, batch, time, hidden = key
    return Pair(
        *(cell, runtime, device, batch, time, hidden),
        loop=loop,
        exported=forms.get("exported"),
        fused=fused,
        ratio=ratio,
    )


def _against(info: dict[str, Any]) -> Against:
    low, high = info["quartiles"]
    return Against(
        cell=info["cell"],
        hidden=int(info["hidden"]),
        state=info["state"],
        ours=float(info["ours_us"]),
        stock=float(info["stock_us"]),
        ratio=float(info["ratio"]),
        quartiles=(float(low), float(high)),
    )


def _microseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _suite() -> Path:
    """Where benchmarks/ is: beside the package in a checkout, or in the current folder."""
    for package in ("pytest", "pytest_benchmark"):
        if find_spec(package) is None:
            raise Unavailable(f"{package} is not installed: pip install 'rnnbench[bench]'")
    for root in (Path(__file__).parent.parent, Path.cwd()):
        if (root / "benchmarks" / "test_loop_against_fused.py").is_file():
            return root / "benchmarks"
    raise Unavailable("benchmarks/ is not here: it is part of the source, run it in a checkout")
