"""Which engine runs which built-in model right, and in which form of its file.

    python benchmarks/portability.py [--engine tract --engine emx ...] [--model lstm ...]

It is `rnnbench conform --engine all` over 31 models; writes benchmarks/results/portability.json,
with a row as `conform --json` has them, and .md. What was not asked for stays as it is there.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnbench
from rnnbench import Model, TensorSpec, runtimes
from rnnbench.checking.conformance.engines import ALL, find_engine_jobs, run_engines
from rnnbench.checking.conformance.matrix import format_matrix
from rnnbench.checking.conformance.rows import ConformanceRow, name_of, versions_of
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.models import variants
from rnnbench.runtimes.job import Job

RESULTS = Path(__file__).parent / "results"
SCHEMA = 2
SIZES = {"input_size": 5, "hidden_size": 4, "output_size": 4}
INTRODUCTION = """\
# Which engine runs which model right, in which form

Made by `python benchmarks/portability.py` on {date}: {versions}.
Each is run over the golden cases, at once and, where the model has states, step by step. `plain` is
`model.onnx`; an engine's own name is the form of `export --for ENGINE`, and `portable` that of
`export --profile portable`. IREE, emx and `tract:pinned` get each shape in a file of its own.
**WRONG** is a wrong result without an error.

"""


class Backwards(torch.nn.Module):
    """A layer that runs from the end to the beginning only."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x.flip(0))[0].flip(0)


class Ragged(torch.nn.Module):
    """A layer over rows of unequal length, with everything that it returns."""

    def __init__(self, kind: str, bidirectional: bool) -> None:
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(5, 4, bidirectional=bidirectional)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, last = self.rnn(pack_padded_sequence(x, lengths, enforce_sorted=False))
        y, _ = pad_packed_sequence(y, total_length=x.size(0))
        return (y, *last) if isinstance(last, tuple) else (y, last)


X = TensorSpec("x", ("time", "batch", 5))
LENGTHS = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
OWN = {
    "lstm, backwards": (Backwards, (), (X,), ("y",)),
    "gru, rows of unequal length": (Ragged, ("GRU", False), (X, LENGTHS), ("y", "h")),
    "lstm, bidirectional, rows of unequal length": (
        Ragged,
        ("LSTM", True),
        (X, LENGTHS),
        ("y", "h", "c"),
    ),
}


def models() -> dict[str, dict]:
    """Name -> the variant, its options, and how it is exported; nothing for one of `OWN`."""
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
    return found | {name: {} for name in OWN}


def export(name: str, out: Path, formats: tuple[str, ...]) -> Bundle:
    said = dict(models()[name])
    title = re.sub(r"[^a-z0-9]+", "-", name)
    if not said:
        torch.manual_seed(0)
        build, options, inputs, outputs = OWN[name]
        model = Model(build(*options), inputs, outputs, name=title)
        return rnnbench.export(model, formats=formats, out=out)
    variant, keep = said.pop("variant"), said.pop("keep_loops", False)
    ids = variants.reads(variant) == "ids"
    layers = {"num_layers": 1} | said
    options = variants.Options(**SIZES, **layers, vocabulary=9 if ids else None)
    model = variants.model(variant, options, bundle_name=title)
    return rnnbench.export(model, formats=formats, out=out, keep_loops=keep)


def wanted(engines: list[str] | None) -> list[Job]:
    """Those that are asked for; else all that are installed, in every mode."""
    if engines:
        return find_engine_jobs(engines)
    here = [n for n in runtimes.engines() if not runtimes.get(n).missing()]
    return [job for job in find_engine_jobs([ALL]) if job.runtime in here]


def order(row: ConformanceRow) -> tuple[int, str, int, str]:
    """By model and runtime; `plain` first, `portable` behind an engine's own form."""
    places = {"plain": 0, "portable": 2}
    return (list(models()).index(row.model), row.target, places.get(row.profile, 1), row.profile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", action="append", metavar="NAME[:MODE]")
    parser.add_argument("--model", action="append", choices=list(models()))
    parser.add_argument("--out", type=Path, default=RESULTS / "portability.json")
    given = parser.parse_args()
    try:
        jobs = wanted(given.engine)
    except RnnbenchError as error:
        parser.error(str(error))
    formats = tuple(dict.fromkeys(job.format for job in jobs))
    done: dict[tuple[str, str, str], ConformanceRow] = {}
    if given.out.is_file():
        stored = [
            ConformanceRow.from_json(row)
            for row in json.loads(given.out.read_text("utf-8"))["rows"]
        ]
        done = {(row.model, row.target, row.profile): row for row in stored}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.model or models():
            bundle = export(name, Path(folder), formats)
            for row in run_engines(bundle, jobs):
                print(name, name_of(row), row.verdict, row.reason, sep=" | ", flush=True)
                if row.profile:  # else it is not installed
                    done[name, row.target, row.profile] = replace(row, model=name)
    rows = sorted(done.values(), key=order)
    date = datetime.now(UTC).date().isoformat()
    said = {"schema": SCHEMA, "date": date, "rows": [row.to_json() for row in rows]}
    given.out.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    introduction = INTRODUCTION.format(date=date, versions=", ".join(versions_of(rows)))
    text = introduction + format_matrix(rows, markdown=True) + "\n"
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
