"""Which engine runs which model right, and in which form of its ONNX file.

    python benchmarks/portability.py [--runtime tract --runtime emx ...] [--model lstm ...]

Writes benchmarks/results/portability.json and .md; what was not asked for stays as it is there.
Each file runs in a process of its own. `WRONG` is the cell to fear: results, and no error.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

import rnnbench
from rnnbench import Model, TensorSpec, plugins, variants
from rnnbench.bundle import Bundle
from rnnbench.cases import Case, read_cases
from rnnbench.compare import compare
from rnnbench.errors import RnnbenchError, one_line
from rnnbench.job import Job
from rnnbench.portable import rewrite
from rnnbench.worker import Worker, WorkerError

RESULTS = Path(__file__).parent / "results"
PACKAGES = {
    "openvino": ("openvino",),
    "tract": ("tract",),
    "iree": ("iree-base-compiler", "iree-base-runtime"),
    "emx": ("emx-onnx-cgen",),
}
RUNTIMES = ("openvino", "tract", "tract:pinned", "iree", "emx")
CASES = ("traced", "batch-1", "time-1", "wider", "longer", "zero-state", "large")
FEW = ("traced", "batch-1", "time-1")  # where each shape is compiled for seconds
SIZES = {"input_size": 5, "hidden_size": 4, "output_size": 4}
LIMIT_S = 300.0


class Backwards(torch.nn.Module):
    """A layer that runs from the end to the beginning only."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x.flip(0))[0].flip(0)


@dataclass(frozen=True)
class Cell:
    """What one engine made of one model in one form of its file.

    Attributes:
        model: its name.
        runtime: with its mode.
        profile: `plain` is the file as `export` writes it.
        verdict: `right`, `WRONG` (silently), `refused`, `died`.
        cases: how many were compared.
        error: the largest absolute one; None where nothing is right.
        reason: of anything but `right`.
    """

    model: str
    runtime: str
    profile: str
    verdict: str
    cases: int = 0
    error: float | None = None
    reason: str = ""


def models() -> dict[str, dict]:
    """Name -> the variant, its options, and how it is exported."""
    found: dict[str, dict] = {}
    for name in variants.names():
        loop = name.endswith("-loop")
        found[name] = {"variant": name}
        found[f"{name}, 2 layers"] = {"variant": name, "num_layers": 2}
        if loop:
            found[f"{name}, kept a loop"] = {"variant": name, "keep_loops": True}
            continue
        found[f"{name}, bidirectional"] = {"variant": name, "bidirectional": True}
        found[f"{name}, bidirectional, 2 layers"] = {
            "variant": name,
            "bidirectional": True,
            "num_layers": 2,
        }
    found["lstm, backwards"] = {}
    return found


def export(name: str, out: Path) -> Bundle:
    said = dict(models()[name])
    title = re.sub(r"[^a-z0-9]+", "-", name)
    if not said:
        torch.manual_seed(0)
        model = Model(Backwards(), (TensorSpec("x", ("time", "batch", 5)),), ("y",), name=title)
        return rnnbench.export(model, formats=("onnx",), out=out)
    variant, keep = said.pop("variant"), said.pop("keep_loops", False)
    ids = variants.reads(variant) == "ids"
    layers = {"num_layers": 1} | said
    options = variants.Options(**SIZES, **layers, vocabulary=9 if ids else None)
    model = variants.model(variant, options, bundle_name=title)
    return rnnbench.export(model, formats=("onnx",), out=out, keep_loops=keep)


def run(name: str, bundle: Bundle, runtime: str, profile: str, cases: list[Case]) -> Cell:
    path = bundle.artifacts["onnx"].path
    plugin, _, mode = runtime.partition(":")
    accuracy = getattr(plugins.load("runtimes", plugin), "ACCURACY", 0.0)
    errors = []
    try:
        if profile != "plain":
            source, path = path, path.with_name(f"{profile}.onnx")
            rewrite(source, path, profile)
        with Worker(Job(plugin, "onnx", path, bundle.path, mode), seconds=LIMIT_S) as worker:
            for case in cases:
                outputs = worker(case.inputs)
                for output in bundle.outputs:
                    exact, eager = case.reference[output], case.eager[output]
                    found = compare(outputs[output], exact, eager, absolute=accuracy)
                    if found.reason:
                        said = f"{output} at {case.name}: {found.reason}"
                        return Cell(name, runtime, profile, "WRONG", len(cases), None, said)
                    errors.append(found.error)
    except WorkerError as error:
        return Cell(name, runtime, profile, "died", reason=one_line(error))
    except RnnbenchError as error:
        reason = re.sub(r"^\S+ is not ONNX that (.*?) \((.*)\):.*$", r"\2", one_line(error))
        return Cell(name, runtime, profile, "refused", reason=reason[:200])
    return Cell(name, runtime, profile, "right", len(cases), float(np.max(errors)))


def format_cells(cells: list[Cell], versions: dict[str, str], when: str) -> str:
    """The matrix as Markdown, then everything that is not right."""
    columns = list(dict.fromkeys((cell.runtime, cell.profile) for cell in cells))
    columns.sort(key=lambda c: (RUNTIMES.index(c[0]), c[1] != "plain", c[1] == "portable"))
    known = {(cell.model, cell.runtime, cell.profile): cell for cell in cells}
    names = [name for name in models() if any(name == cell.model for cell in cells)]
    lines = [
        "# Which engine runs which model right, in which form",
        "",
        f"Made by `python benchmarks/portability.py` on {when}: "
        + ", ".join(f"{package} {version}" for package, version in versions.items())
        + ". `plain` is `model.onnx`; the others are `export --for ENGINE` and "
        "`export --profile portable`. IREE and emx get each shape in a file of its own, as "
        "`tract:pinned` does. **WRONG** is a wrong result without an error.",
        "",
        "| model | " + " | ".join(f"{runtime}, {profile}" for runtime, profile in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name in names:
        row = [known.get((name, *column)) for column in columns]
        shown = ["" if c is None else _shown(c) for c in row]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    lines += ["", "## What is not right", ""]
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for cell in cells:
        if cell.verdict != "right":
            reason = re.sub(r"[\d.]+(e-?\d+)?", "N", cell.reason) if cell.verdict != "WRONG" else ""
            key = (cell.runtime, cell.profile, cell.verdict, reason)
            groups.setdefault(key, []).append(cell.model)
    for (runtime, profile, verdict, _), which in groups.items():
        first = known[which[0], runtime, profile].reason.replace("|", "/")
        lines.append(f"- {runtime}, {profile}: **{verdict}** for {'; '.join(which)}: {first}")
    never = [
        f"{name} in {runtime}"
        for name in names
        for runtime in PACKAGES
        if not any(
            c.verdict == "right" and c.model == name and c.runtime.startswith(runtime)
            for c in cells
        )
    ]
    lines += ["", f"Right under no profile: {'; '.join(never) or 'nothing'}.", ""]
    return "\n".join(lines)


def _shown(cell: Cell) -> str:
    return f"**{cell.verdict}**" if cell.verdict in ("WRONG", "died") else cell.verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", action="append", choices=RUNTIMES)
    parser.add_argument("--model", action="append", choices=list(models()))
    parser.add_argument("--out", type=Path, default=RESULTS / "portability.json")
    given = parser.parse_args()
    done: dict[tuple[str, str, str], Cell] = {}
    if given.out.is_file():
        stored = json.loads(given.out.read_text("utf-8"))
        done = {(c["model"], c["runtime"], c["profile"]): Cell(**c) for c in stored["cells"]}
    wanted = given.runtime or [
        r for r in RUNTIMES if not plugins.load("runtimes", r.partition(":")[0]).available()
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in given.model or models():
            bundle = export(name, Path(folder))
            by_name = {case.name: case for case in read_cases(bundle)}
            for runtime in wanted:
                plugin = runtime.partition(":")[0]
                some = FEW if plugin in ("iree", "emx") else CASES
                cases = [by_name[case] for case in some if case in by_name]
                for profile in ("plain", plugin, "portable"):
                    cell = run(name, bundle, runtime, profile, cases)
                    done[name, runtime, profile] = cell
                    print(name, runtime, profile, cell.verdict, cell.reason, sep=" | ", flush=True)
    cells = [done[k] for k in sorted(done, key=lambda k: (list(models()).index(k[0]), *k[1:]))]
    names = [
        p for r in PACKAGES for p in PACKAGES[r] if any(c.runtime.startswith(r) for c in cells)
    ]
    versions = {package: metadata.version(package) for package in names}
    when = datetime.now(UTC).date().isoformat()
    said = {"schema": 1, "date": when, "versions": versions, "cells": [asdict(c) for c in cells]}
    given.out.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(format_cells(cells, versions, when), encoding="utf-8")


if __name__ == "__main__":
    main()
