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
from rnnbench.benchmarking.report.names import implementation_of, implementation_title
from rnnbench.benchmarking.report.recommendation import Ratios
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


SHAKY = {"stable": False, "why_unstable": "the middle half spreads over 70% of the median"}


def heavy(runtime, us, *, form="fused", **more):
    """Samples of a busy machine: every tenth call waits for somebody else's turn."""
    entry = row(runtime, us, form=form, seed=us)
    data = [20 * value if n % 10 == 0 else value for n, value in enumerate(entry["stats"]["data"])]
    return latency(WHERE | {"runtime": runtime, "form": form}, data, **more)


def test_what_is_three_times_as_slow_is_no_rival_for_its_outliers(tmp_path):
    rows = [row("eager", 900), heavy("onnxruntime", 203), heavy("torchscript", 618, **SHAKY)]
    (said,) = sentences(tmp_path, *rows)
    assert "cannot be told from" not in said
    near = [row("eager", 900), heavy("onnxruntime", 203), heavy("torchscript", 204, **SHAKY)]
    (said,) = sentences(tmp_path, *near)
    assert said.endswith("cannot be told from TorchScript")


def test_two_that_were_each_measured_in_turns_with_a_third_are_told_apart(tmp_path):
    """Where one is unstable alone: half of its samples were taken on a slow machine."""
    entry = row("torchscript", 150)["stats"]["data"]
    data = [value / 1.7 if n % 2 else value for n, value in enumerate(entry)]
    shaky = latency(WHERE | {"runtime": "torchscript", "form": "fused"}, data, **SHAKY)
    rows = [row("eager", 400), row("onnxruntime", 100), shaky]
    eager = WHERE | {"runtime": "eager", "form": "fused"}
    one, other = (
        ratio(eager, 4.0, {"runtime": "onnxruntime"}),
        ratio(eager, 3.0, {"runtime": "torchscript"}),
    )
    assert "torchscript" not in str(sentences(tmp_path, *rows, one, other)[0]).casefold()
    assert sentences(tmp_path, *rows, one)[0].endswith("cannot be told from TorchScript")
    report = make_report([write_made(tmp_path / "x.json", wrap([*rows, one, other]))])
    ((machine, advice),) = report.advices
    by_name = {r.runtime: r for r in advice.rows}
    found = Ratios(machine).of(by_name["torchscript"], by_name["onnxruntime"])
    assert found.ratio == pytest.approx(4 / 3)
    assert found.low == pytest.approx(4 / 3 * (1 / 1.03) ** 2**0.5, rel=1e-2)
    assert found.how == "by 2 pairs (paired, 20 rounds; paired, 20 rounds)"


def test_a_rival_is_named_with_its_form_where_that_is_another(tmp_path):
    """That a loop in another runtime cannot be told says nothing of the fused layer there."""
    rows = [row("eager", 900), heavy("openvino", 200), heavy("onnxruntime", 300)]
    loop = row("onnxruntime", 210, form="loop", noise=0.2, **SHAKY)
    (said,) = sentences(tmp_path, *rows, loop)
    assert said.endswith("cannot be told from ONNX Runtime (loop)")


def test_rivals_are_those_of_what_is_recommended(tmp_path):
    """Which may be another form than the fastest: the one that was measured in turns."""
    rows = [
        row("eager", 400),
        row("onnxruntime", 100, form="exported"),
        row("onnxruntime", 100.9, form="fused"),
        row("openvino", 100.8, seed=3),
    ]
    pair = ratio(WHERE | {"runtime": "eager", "form": "fused"}, 4.0, {"runtime": "onnxruntime"})
    report = make_report([write_made(tmp_path / "x.json", wrap([*rows, pair]))])
    ((_, advice),) = report.advices
    assert (advice.best.runtime, advice.best.form) == ("onnxruntime", "fused")
    assert {(r.runtime, r.form) for r in advice.rivals} == {
        ("onnxruntime", "exported"),
        ("openvino", "fused"),
    }


@examples(15)
@given(st.integers(0, 2**16))
def test_a_card_does_not_contradict_itself(seed):
    """What cannot be told from the best has no price, and what has one can be told from it."""
    rng = np.random.default_rng(seed)
    rows = []
    for runtime in ("eager", "onnxruntime", "torchscript", "openvino"):
        for form in ("loop", "fused"):
            us, noise = 100 * rng.choice([1.0, 1.01, 1.05, 3]), rng.choice([0.01, 0.05, 0.2])
            shaky = SHAKY if rng.random() < 0.5 else {}
            made = row(runtime, us, form=form, noise=noise, seed=int(rng.integers(2**16)), **shaky)
            rows.append(made)
    with tempfile.TemporaryDirectory() as folder:
        report = make_report([write_made(Path(folder) / "x.json", wrap(rows))])
    ((_, advice),) = report.advices
    for card in report.cards:
        (said,) = [fact for fact in card.facts if fact.startswith("Next best")]
        named = [r for r in advice.rows if said.startswith(f"Next best: {title(r)}: ")]
        assert ("costs" not in said) == (named[0] in advice.rivals)


def title(latency):
    return implementation_title(implementation_of(latency))


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
