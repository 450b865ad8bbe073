"""The recommendation and its intervals: what the data say, and when they cannot tell."""

import math
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnbench.benchmarking.report import make_report, units
from rnnbench.benchmarking.report.intervals import of_medians, resampled_medians
from rnnbench.benchmarking.results import read_file
from tests.helpers.made_results import latency, make_results, ratio, wrap, write_made
from tests.helpers.tiers import examples

WHERE = {"model": "lstm", "cell": "lstm", "mode": "", "device": "cpu", "batch": 1, "time": 32}
WHERE |= {"hidden": 128, "layers": 1, "threads": 1, "frames_per_second": None}


def row(runtime, us, *, noise=0.02, samples=50, form="fused", seed=0, **more):
    rng = np.random.default_rng(seed)
    data = us * 1e-6 * (1 + noise * rng.standard_normal(samples))
    return latency(WHERE | {"runtime": runtime, "form": form}, data.tolist(), **more)


def sentences(tmp_path, *rows, **facts):
    return make_report([write_made(tmp_path / "x.json", wrap(list(rows), **facts))]).sentences


def test_without_a_pair_the_bootstrap_decides_and_says_so(tmp_path):
    (said,) = sentences(tmp_path, row("eager", 400), row("onnxruntime", 100, seed=1))
    found = re.search(r"us a step, (\S+) \((\S+) to (\S+)\) times faster than eager", said)
    ratio, low, high = map(float, found.groups())
    assert low <= ratio <= high
    assert ratio == pytest.approx(4, rel=0.02)
    assert said.endswith("bootstrap over 50 and 50 samples")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row("eager", 100), row("onnxruntime", 100, seed=1)], "the interval holds 1"),
        ([row("eager", 100)], "nothing else was measured"),
        ([row("eager", 100, samples=3), row("onnxruntime", 50, samples=3)], "too few samples (3)"),
        (
            [
                row("eager", 115, noise=0.1, samples=400, stable=False, why_unstable="it drifts"),
                row("onnxruntime", 100, noise=0.1, samples=400, seed=1),
            ],
            "eager (fused) is unstable: it drifts",
        ),
    ],
)
def test_it_says_when_the_data_cannot_tell(tmp_path, rows, why):
    (said,) = sentences(tmp_path, *rows)
    assert f"cannot tell, {why}" in said


def test_an_unstable_row_is_still_faster_where_nearly_all_samples_are(tmp_path):
    shaky = row("onnxruntime", 100, stable=False, why_unstable="it drifts")
    (said,) = sentences(tmp_path, row("eager", 400), shaky)
    assert "times faster than eager" in said


def test_eager_can_be_the_best(tmp_path):
    (said,) = sentences(tmp_path, row("eager", 50), row("onnxruntime", 100, seed=1))
    assert "steps: eager (fused), 1.5" in said
    assert "times faster than the next, ONNX Runtime (fused)" in said


def test_bound_buffers_are_named_and_rivals_listed(tmp_path):
    bound = latency(
        WHERE | {"runtime": "onnxruntime", "form": "fused", "mode": "bound"}, [1e-4, 1.01e-4] * 9
    )
    (said,) = sentences(tmp_path, row("eager", 400), row("openvino", 101, seed=2), bound)
    assert "ONNX Runtime with bound buffers (fused)" in said
    assert said.endswith("cannot be told from OpenVINO")


def test_a_paired_ratio_of_a_slower_form_is_not_that_of_the_fastest(tmp_path):
    """Also where an unstable measurement cannot tell the two forms apart."""
    slow = row("onnxruntime", 160, stable=False, noise=0.4, samples=20, why_unstable="why")
    rows = [row("eager", 400), row("onnxruntime", 100, form="exported"), slow]
    pair = ratio(WHERE | {"runtime": "eager", "form": "fused"}, 2.5, {"runtime": "onnxruntime"})
    (said,) = sentences(tmp_path, *rows, pair)
    assert "ONNX Runtime (exported loop), 3.1" in said


def test_which_eager_form_is_faster_is_said_by_the_pair(tmp_path):
    """The machine was busy while the fused layer was measured alone."""
    rows = [row("eager", 400), row("eager", 300, form="loop"), row("onnxruntime", 100)]
    pair = ratio(WHERE | {"runtime": "eager", "form": "loop"}, 1.5, {"form": "fused"})
    assert "faster than eager (loop)" in sentences(tmp_path, *rows)[0]
    assert "faster than eager (fused)" in sentences(tmp_path, *rows, pair)[0]


@examples(15)
@given(st.floats(0.5, 2.0), st.integers(0, 2**16))
def test_the_interval_holds_its_estimate_and_turns_around(factor, seed):
    a, b = (_read(row(name, us, seed=seed + n)) for n, (name, us) in enumerate(_both(100 * factor)))
    there, back = of_latencies(a, b), of_latencies(b, a)
    assert there.low <= there.ratio <= there.high
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(back.inverse().low, rel=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_interval_covers_a_known_ratio(correlation):
    """Also where neighbouring samples are alike, as on a machine that others use."""
    model, covered, runs = _read(row("eager", 100)), 0, 100
    for seed in range(runs):
        a, b = (
            _correlated(model, us, correlation, 2 * seed + n) for n, us in enumerate((130, 100))
        )
        found = of_latencies(a, b)
        covered += found.low <= 1.3 <= found.high
    assert covered >= (90 if correlation == 0 else 75), f"{covered} of {runs}"


def _correlated(model, us, correlation, seed):
    rng = np.random.default_rng(seed)
    noise = [0.0]
    for step in rng.standard_normal(400):
        noise.append(correlation * noise[-1] + math.sqrt(1 - correlation**2) * step)
    samples = us * 1e-6 * (1 + 0.03 * np.asarray(noise[1:]))
    return replace(
        model, samples=tuple(samples.tolist()), p50=float(np.median(samples)), name=f"row {seed}"
    )


def _both(us):
    return (("eager", us), ("onnxruntime", 100.0))


def of_latencies(this, other):
    return of_medians(this, resampled_medians(this), other, resampled_medians(other))


def _read(entry):
    with tempfile.TemporaryDirectory() as folder:
        return read_file(write_made(Path(folder) / "x.json", wrap([entry]))).latencies[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.9e-5, "19.0 us"), (9.996e-4, "1.00 ms"), (0, "0 ns"), (12.0, "12.0 s"), (1e-9, "1.00 ns")],
)
def test_times_have_the_unit_that_fits(value, said):
    assert units.seconds(value) == said


def test_a_thousand_rows_have_few_first_lines(tmp_path):
    data = make_results(cells=("gru", "lstm"), time=(1, 8, 64), hidden=(8, 32, 128), samples=10)
    said = make_report([write_made(tmp_path / "x.json", data)]).sentences
    assert len(said) == 3
    assert "hidden 32, batch 1, 8 steps" in said[0]
    assert said[-1] == "16 other conditions are in the table of what is fastest"
