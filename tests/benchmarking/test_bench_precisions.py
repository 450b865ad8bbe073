"""`bench --precision`: each precision beside float32, judged by the module with rounded weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rnnbench
from rnnbench import RnnbenchError
from rnnbench import __main__ as cli
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.judging import WrongOutput
from rnnbench.benchmarking.plan import Conditions, Implementation, Plan, items, keeps
from rnnbench.benchmarking.precisions import Choice, Choices, best_of, find_choices, row_of, to_ship
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.benchmarking.report import make_report
from rnnbench.benchmarking.report.plots import precisions as plot
from rnnbench.benchmarking.report.values import to_csv
from rnnbench.benchmarking.results import Cost, Latency, Ratio, read_file
from rnnbench.core.errors import Unavailable
from rnnbench.core.price import Price
from rnnbench.models.sources import load

SIZES = Conditions(batch=2, time=4, hidden=16, layers=1)
TAGGER = """
import torch
from rnnbench import Model, TensorSpec


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(8, 16, batch_first=True)
        self.out = torch.nn.Linear(16, 3)

    def forward(self, x, h):
        y, hn = self.rnn(x, h)
        return self.out(y), hn


def make():
    x = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(1))

    def evaluate(module):
        y, _ = module(x, torch.zeros(1, 2, 16))
        return {"mean": 1 + float(y.mean())}

    inputs = TensorSpec("x", ("batch", "time", 8)), TensorSpec("h", (1, "batch", 16), role="state")
    return Model(Net(), inputs, ("y", "hn"), states={"h": "hn"}, evaluate=evaluate)
"""


def run(words):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    return caught.value.code


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text(TAGGER)
    return f"{path}:make"


@pytest.fixture(scope="module")
def results(tagger, tmp_path_factory):
    """What `bench` wrote, of a module that is drawn anew whenever it is built."""
    out = tmp_path_factory.mktemp("results")
    options = ["--precision", "float16,int8-weights,int8-dynamic", "--quick", "--time", "1,4"]
    assert run(["bench", tagger, *options, "--runtime", "onnxruntime,c", "--out", str(out)]) == 0
    return next(out.rglob("*.json"))


def test_each_is_measured_and_compared_with_float32(results):
    found = read_file(results)
    latencies = {(row.runtime, row.precision, row.time) for row in found.latencies}
    kept = [("onnxruntime", p) for p in ("", "float16", "int8-weights")]
    kept += [("c", p) for p in ("", "float16", "int8-weights", "int8-dynamic")]
    assert latencies >= {(*each, time) for each in kept for time in (1, 4)}
    assert {row.of for row in found.latencies} == {"Net"}
    assert {row.model for row in found.latencies if row.precision == "float16"} == {"Net-float16"}
    for ratio in found.ratios:
        assert ratio.what == "precision/float32"
        assert ratio.versus.model == "Net"
        assert ratio.versus.precision == ""
        assert ratio.versus.runtime == ratio.runtime


def test_the_table_has_bytes_times_errors_and_decibels(results):
    found = read_file(results)
    onnx, c = find_choices(found.latencies, found.ratios, found.costs)
    assert (onnx.model, onnx.times, onnx.errors) == ("Net", (1, 4), ("mean",))
    assert [choice.precision for choice in c.choices][:3] == ["float32", "float16", "int8-weights"]
    plain, half, small, *_ = c.choices
    assert small.bytes < half.bytes < plain.bytes
    assert plain.price is None
    assert small.price.worst[1] < half.price.worst[1] < 300
    assert c.error(plain, "mean") == pytest.approx(half.price.before["mean"])
    cells = dict(zip(["precision", "bytes", "share"], row_of(c, half), strict=False))
    assert cells["share"] == f"{half.bytes / plain.bytes:.3f}"
    assert "ship " in to_ship(c)


def test_it_is_in_the_output_and_in_the_report(results, capsys, tmp_path):
    assert run(["report", str(results)]) == 0
    said = capsys.readouterr().out
    assert "What Net costs and saves in each precision; onnxruntime, cpu, batch 1" in said
    assert "Precision of Net, c, cpu, batch 1" in said
    report = make_report([results])
    said = json.loads(json.dumps(report.to_json()))
    prices = [row["price"] for row in said["costs"] if row["precision"] == "float16"]
    assert all(price["before"].keys() == {"mean"} for price in prices)
    assert "price" not in to_csv(report.material).splitlines()[0]
    drawn = next(plot.plots(report.material))
    assert drawn.title == "Net: mean against latency, in each precision"
    assert "int8-dynamic in c: " in drawn.alt
    assert run(["report", str(results), "--png", str(tmp_path)]) == 0
    assert (tmp_path / "precisions-Net.png").stat().st_size > 10_000


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8-weights"])
@pytest.mark.parametrize("target", ["lstm", "gru"])
def test_what_is_timed_has_the_rounded_weights_of_one_module(target, precision):
    """Not those of another draw: the judge is that module rounded, and the float32 one is wrong."""
    way = Implementation("fused", "onnxruntime", precision=precision)
    with Artifacts() as made, torch.inference_mode():
        subject = made.subject(target, way, SIZES)
        made.assert_subject(subject, target, way, SIZES)
        plain = replace(way, precision="")
        with pytest.raises(WrongOutput):
            made.assert_subject(subject, target, plain, SIZES)
        rounded, whole = (made.network(target, each, SIZES).model for each in (way, plain))
    assert rounded.name == f"{target}-{precision}"
    for name, weight in rounded.module.state_dict().items():
        other = whole.module.state_dict()[name]
        assert torch.equal(weight, other) == (weight.dim() < 2)


def test_bundles_that_were_exported_so_are_set_side_by_side(tagger, tmp_path):
    model = load(tagger)
    plain = rnnbench.export(model, formats=("onnx",), out=tmp_path)
    small = rnnbench.export(
        replace(model, name=f"{model.name}-int8-weights"),
        formats=("onnx",),
        precision="int8-weights",
        out=tmp_path,
    )
    out = tmp_path / "results"
    options = ["--quick", "--time", "4", "--runtime", "onnxruntime", "--out", str(out)]
    assert run(["bench", str(plain.path), str(small.path), *options]) == 0
    found = read_file(next(out.rglob("*.json")))
    choices, *_ = find_choices(found.latencies, found.ratios, found.costs)
    assert [choice.precision for choice in choices.choices] == ["float32", "int8-weights"]
    assert choices.choices[1].price.before.keys() == {"mean"}


def test_a_plan_has_float32_each_precision_and_nothing_else():
    plan = Plan(("lstm",), ("onnxruntime",), precisions=("float16",), time=(1,), hidden=(8,))
    found = [(item.kind, item.way.precision) for item in items(plan)]
    assert found == [
        *(("latency", ""), ("latency", "float16"), ("ratio", "float16")),
        *(("cost", ""), ("cost", "float16")),
    ]
    assert {item.way.form for item in items(plan)} == {"fused"}


def test_runtimes_are_those_whose_files_keep_it():
    ran = {item.way.runtime for item in items(Plan(("lstm",), precisions=("int8-weights",)))}
    assert ran
    assert all(keeps(runtime, "int8-weights") for runtime in ran)
    assert not keeps("torchscript", "int8-weights")
    assert not keeps("eager", "float16")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(precisions=("int4",)), "unknown precision 'int4'"),
        (Plan(precisions=("float16",), streams=(1,)), "--precision and --streams: give one"),
        (Plan(precisions=("float16",), training=True), "--precision and --training: give one"),
        (
            Plan(precisions=("float16",), runtimes=("torchscript",)),
            "has the weights of float16 as float32: choose from",
        ),
    ],
)
def test_what_says_nothing_is_refused(plan, said):
    with pytest.raises(RnnbenchError, match=said):
        check_plan(plan)


def test_a_bundle_is_not_rounded_again(tagger, tmp_path):
    bundle = rnnbench.export(load(tagger), formats=("onnx",), out=tmp_path)
    with pytest.raises(RnnbenchError, match="is a bundle, of weights in float32: give the model"):
        check_plan(Plan((str(bundle.path),), precisions=("float16",)))


def test_a_runtime_that_keeps_one_of_them_has_a_reason_for_the_other():
    way = Implementation("fused", "torchscript", precision="float16")
    with Artifacts() as made, pytest.raises(Unavailable, match="weights of float16 as float32"):
        made.source("lstm", way, SIZES)


def test_float32_alone_is_no_precision(capsys):
    assert run(["bench", "lstm", "--precision", "float32"]) == 2
    assert "give one beside float32" in capsys.readouterr().err


def test_a_damaged_price_is_said(results, tmp_path):
    data = json.loads(Path(results).read_text())
    cost = next(e for e in data["benchmarks"] if e["extra_info"].get("price"))
    cost["extra_info"]["price"]["signal_db"] = {"y": "loud"}
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(data))
    with pytest.raises(RnnbenchError, match="what rounding costs is no record of numbers"):
        read_file(path)


def choices_of(*errors):
    """Float32 of 1,000 bytes, and precisions of fewer and fewer, each with its error after."""
    entry = {
        **dict.fromkeys(("name", "group", "model", "cell", "form", "runtime", "mode"), "m"),
        **{"device": "cpu", "batch": 1, "time": 1, "hidden": None, "layers": None, "threads": 1},
        **dict.fromkeys(("export_s", "load_s", "first_call_s", "peak_memory_bytes")),
    }
    prices = [None, *(Price({"y": 50.0}, {"MAE": 2.0}, {"MAE": error}) for error in errors)]
    made = [
        Choice(str(n), (), (), Cost(**entry, artifact_bytes=1000 // (n + 1), price=price))
        for n, price in enumerate(prices)
    ]
    return Choices("m", "", (1,), tuple(made))


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ((2.0, 2.01), "2"),  # the smallest that is next to float32
        ((2.0, 2.1), "1"),
        ((1.5, 2.01), "2"),
        ((1.5,), None),  # another one, though a better
        ((None, 2.0), "2"),  # not finite
        ((2.1, None), None),
    ],
)
def test_the_smallest_whose_errors_are_next_to_those_of_float32(errors, best):
    found = best_of(choices_of(*errors))
    assert (found and found.precision) == best


def test_without_errors_nothing_is_recommended(results):
    found = choices_of(2.0)
    quiet = replace(found.choices[1], cost=replace(found.choices[1].cost, price=Price({"y": 50.0})))
    assert best_of(replace(found, choices=(found.choices[0], quiet))) is None
    assert to_ship(replace(found, choices=(found.choices[0], quiet))) == ""


def test_kinds_are_read_back(results):
    found = read_file(results)
    for kind, rows in ((Latency, found.latencies), (Ratio, found.ratios), (Cost, found.costs)):
        assert rows
        assert all(isinstance(row, kind) for row in rows)
