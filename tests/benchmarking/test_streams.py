"""Streams: each keeps its own states, however they are held; what is said of them; refusals."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from rnnbench import Model, TensorSpec
from rnnbench import __main__ as cli
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.judging import WrongOutput
from rnnbench.benchmarking.measuring.measure import measure
from rnnbench.benchmarking.measuring.networks import Network
from rnnbench.benchmarking.measuring.sampling import Effort
from rnnbench.benchmarking.measuring.stream_cases import StreamTrial
from rnnbench.benchmarking.measuring.streaming import Caller, all_at_once
from rnnbench.benchmarking.plan import Conditions, Plan, items, streamers, timing_of
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.benchmarking.report import format_report, make_report
from rnnbench.benchmarking.report.page import make_page
from rnnbench.benchmarking.report.values import to_csv, to_json
from rnnbench.benchmarking.results import read_file
from rnnbench.benchmarking.streams import HELD, ONE_BATCH, ONE_SESSION, SESSIONS
from rnnbench.benchmarking.tables import format_results
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.hardware import usable_cores
from tests.helpers.made_results import streams, wrap, write_made

FAST = Effort(samples_s=0.005, warmup_s=0.02, rounds_s=0.01)
COUNT = 5

NET = '''
import torch
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(3, 6, batch_first=True)
    def forward(self, x, h):
        return self.gru(x, h)

class Alone(Net):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(3, 6)

class Leaking(Net):
    """Keeps more than the state that it gives back: what the call before left."""
    last = 0.0
    def forward(self, x, h):
        y, hn = self.gru(x, h)
        y = y + self.last
        self.last = hn.detach().mean()
        return y, hn

def model(module, **more):
    h = TensorSpec("h", (1, "batch", 6), role="state")
    specs = (TensorSpec("x", ("batch", "time", 3)), h)
    return Model(module, specs, ("y", "hn"), states={"h": "hn"}, frames_per_second=100, **more)

def build():
    return model(Net())

def alone():
    specs = TensorSpec("x", ("time", 3)), TensorSpec("h", (1, 6), role="state")
    return Model(Alone(), specs, ("y", "hn"), states={"h": "hn"})

def leaking():
    return model(Leaking())

def without():
    return Model(torch.nn.Linear(3, 2), (TensorSpec("x", ("batch", "time", 3)),), ("y",))

def in_eights():
    from rnnbench import Dim
    return model(Net(), dims={"time": Dim(multiple_of=8)})

def cell():
    class Cell(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.nn.GRUCell(3, 6)
        def forward(self, x, h):
            h = self.cell(x, h)
            return 2 * h, h
    specs = TensorSpec("x", ("batch", 3)), TensorSpec("h", ("batch", 6), role="state")
    return Model(Cell(), specs, ("y", "hn"), states={"h": "hn"})
'''


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return str(tmp_path / "net.py")


def measured(target, runtimes=("onnxruntime",), counts=(COUNT,), time=1):
    """Every item: what its entry says, or what it raises."""
    plan = Plan((target,), runtimes, time=(time,), hidden=(8,), streams=counts)
    found = {}
    with Artifacts() as artifacts:
        for item in items(plan):
            key = item.way.runtime, item.streams, item.held
            try:
                found[key] = measure(item, artifacts, FAST)
            except RnnbenchError as error:
                found[key] = error
    return found


# ---- states


def gru_of(trial, number):
    """The outputs of one stream by the module alone, step by step."""
    module, found = trial.model.module.eval(), []
    calls = trial.inputs([number])
    h = torch.from_numpy(calls[0]["h0"])
    for arrays in calls:
        with torch.no_grad():
            y, h = module(torch.from_numpy(arrays["x"]), h)
        found.append({"y": y.numpy(), "hn": h.numpy()})
    return found


def callers_of(held, sessions, trial):
    """Two callers with a batch, or one for each stream."""
    numbers = [(0, 1, 2, 3, 4), (1, 2, 3, 4, 0)] if held == ONE_BATCH else [*zip(range(COUNT))]
    used = sessions if held == SESSIONS else sessions[:1] * len(numbers)
    return [
        Caller(session, streams, trial.inputs(streams), trial.model.states)
        for session, streams in zip(used, numbers, strict=True)
    ]


@pytest.mark.parametrize("runtime", streamers())
@pytest.mark.parametrize("held", HELD)
def test_streams_do_not_mix_their_states(runtime, held):
    """In threads that call all at once, each is what the module alone makes of that stream."""
    plan = Plan(("gru",), (runtime,), time=(2,), hidden=(8,), streams=(COUNT,))
    way, alone = next(items(plan)).way, Conditions(time=2, hidden=8, layers=1)
    with Artifacts() as artifacts:
        trial = artifacts.stream_trial("gru", way.form, alone)
        source = artifacts.source("gru", way, alone)
        source = artifacts.fit(source, way, trial.inputs([0])[0])
        sessions = [timing_of(runtime).open(source, 1, 2) for _ in range(COUNT)]
        callers = callers_of(held, sessions, trial)
        all_at_once(callers, lambda caller, _: caller.go_on(0, 0))  # states are left behind
        found = all_at_once(callers, lambda caller, _: caller.from_start())
    for caller, outputs in zip(callers, found, strict=True):
        trial.assert_right(caller.streams, outputs, 4.0)
        for row, number in enumerate(caller.streams):
            for expected, call in zip(gru_of(trial, number), outputs, strict=True):
                for name, array in expected.items():
                    np.testing.assert_allclose(call[name][:, [row]], array, atol=1e-5)
        others = [(number + 1) % COUNT for number in caller.streams]
        with pytest.raises(WrongOutput, match=r"where stream \d is alone"):
            trial.assert_right(others, outputs, 4.0)


def test_one_call_of_another_stream_is_no_measurement():
    conditions = Conditions(time=1, hidden=8, layers=1)
    with Artifacts() as artifacts:
        trial = artifacts.stream_trial("gru", "fused", conditions)
        first, second = (gru_of(trial, number) for number in (0, 1))
    trial.assert_right([0], first, 1.0)
    with pytest.raises(WrongOutput, match="where stream 1 is alone"):
        trial.assert_right([0], [*first[:3], second[3], *first[4:]], 1.0)


def test_a_module_that_keeps_more_than_its_states_is_not_measured(net):
    found = measured(f"{net}:leaking", ("eager",))
    wrong = found["eager", COUNT, ONE_SESSION]
    assert isinstance(wrong, WrongOutput)
    assert "where stream" in str(wrong)


def test_what_a_thread_raises_is_raised():
    def fail(_stream, barrier):
        if not seen:
            seen.append(1)
            raise ValueError("the session is broken")
        barrier.wait()

    seen = []
    with pytest.raises(ValueError, match="the session is broken"):
        all_at_once([None] * 4, fail)


# ---- what is measured


def test_rows_say_what_a_core_holds(net):
    found = measured(net, ("onnxruntime", "eager"), counts=(1, COUNT))
    assert {key[1:] for key in found} == {(1, ONE_BATCH), *((COUNT, held) for held in HELD)}
    for (_, count, held), row in found.items():
        info = row.info
        assert info["kind"] == "streams"
        assert (info["streams"], info["held"]) == (count, held)
        assert info["batch"] == (count if held == ONE_BATCH else 1)
        assert 0 < info["p50"] <= info["p99"]
        assert info["low"] <= info["steps_per_s"] <= info["high"]
        threads = usable_cores() if held == ONE_BATCH else count
        assert info["cores"] == min(threads, usable_cores())
        assert info["steps_per_core"] == info["steps_per_s"] / info["cores"]
        assert info["streams_per_core"] == info["steps_per_core"] / 100
        assert info["rounds"] == len(row.seconds)


def test_a_model_that_takes_one_step_has_streams(net):
    found = measured(f"{net}:cell")
    assert not [row for row in found.values() if isinstance(row, Exception)]
    rows = [row.info for row in found.values()]
    assert {row["streams_per_core"] for row in rows} == {None}
    assert measured(f"{net}:in_eights", time=8)["onnxruntime", COUNT, ONE_BATCH].info["time"] == 8


def test_a_model_without_a_batch_has_the_other_ways(net):
    found = measured(f"{net}:alone")
    assert "cannot be rows of one batch" in str(found["onnxruntime", COUNT, ONE_BATCH])
    assert found["onnxruntime", COUNT, SESSIONS].info["p99"] > 0


# ---- refusals


@pytest.mark.parametrize(
    ("function", "time", "said"),
    [
        ("without", 1, r"Linear has no states to hand on: feed whole sequences; --streams needs"),
        ("cell", 3, "Cell makes one step a call: give --time 1, not 3"),
        ("in_eights", 3, "takes 8 or more, a multiple of 8 steps a call, not 3: give --time 8"),
    ],
)
def test_what_has_no_streams_is_one_line(net, function, time, said):
    (row, *_) = measured(f"{net}:{function}", time=time).values()
    with pytest.raises(RnnbenchError, match=said):
        raise row


def test_code_that_is_not_here_cannot_judge():
    state = TensorSpec("h", (1, "batch", 2), role="state")
    model = Model(nn.Identity(), (state,), ("hn",), states={"h": "hn"})
    with pytest.raises(RnnbenchError, match="judged by the model's code"):
        StreamTrial(Network(model, runnable=False), Conditions(time=1), ())


def test_plans_that_say_nothing_of_streams_are_refused():
    plan = {"streams": (8,)}
    for more, said in (
        ({"training": True}, "--streams and --training"),
        ({"batch": (1, 8)}, "--batch 1,8: the rows of a batch are the streams"),
        ({"devices": ("cuda",)}, "--streams on cuda: .* give --device cpu"),
    ):
        with pytest.raises(RnnbenchError, match=said):
            check_plan(Plan(**plan, **more))
    assert not [i for i in items(Plan(("gru",))) if i.kind == "streams"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--streams 0", "streams '0': give whole numbers above 0"),
        ("--streams x", "streams 'x': give whole numbers above 0"),
        ("--streams 2 --training", "give one of them"),
        (
            "--streams 2 --runtime tract",
            "tract is not timed with streams: choose from c, eager, onnxruntime",
        ),
    ],
)
def test_errors_of_the_command_are_one_line(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", "gru", *words.split(), "--out", str(tmp_path)])
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error


def test_a_session_that_would_not_fit_is_refused(net, monkeypatch):
    from rnnbench.benchmarking.measuring import streams as measuring

    monkeypatch.setattr(measuring, "_ROOM", 0.0)
    found = measured(net)
    assert "5 sessions of 0 MB each have no room" in str(found["onnxruntime", COUNT, SESSIONS])


# ---- the command, the report


def test_bench_streams_writes_rows_that_report_reads(net, tmp_path, capsys):
    words = ["--streams", "1,3", "--quick", "--runtime", "onnxruntime", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", net, *words])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "Streams: calls of each, one behind the other, all at once" in said
    assert "one batch" in said
    assert "N sessions" in said
    assert "real time" in said
    (path,) = tmp_path.glob("*/*.json")
    rows = read_file(path).streams
    assert [(row.streams, row.held) for row in rows] == [(1, ONE_BATCH), *((3, h) for h in HELD)]
    assert json.loads(path.read_text())["machine_info"]["rnnbench"]["plan"]["streams"] == [1, 3]
    report = make_report([path])
    assert report.cards[0].where == "Streams of Net, 1 step a call"


WHERE = {"model": "gru", "cell": "gru", "form": "fused", "runtime": "onnxruntime", "mode": ""}
WHERE |= {"device": "cpu", "time": 1, "hidden": 128, "layers": 1, "threads": 1, "batch": 1}
WHERE |= {"frames_per_second": 100.0}


def rows_of(where=WHERE, **more):
    return [
        streams(where, 1, ONE_BATCH, 20_000, p99=0.0001),
        streams(where | {"batch": 64}, 64, ONE_BATCH, 31_000, **more),
        streams(where, 64, ONE_SESSION, 12_000),
        streams(where, 64, SESSIONS, 11_000),
        streams(where | {"runtime": "eager"}, 64, ONE_BATCH, 9_000),
    ]


def report_of(tmp_path, rows):
    return make_report([write_made(tmp_path / "made.json", wrap(rows, skipped=[]))])


def test_the_report_answers_how_many_a_core_holds(tmp_path):
    report = report_of(tmp_path, rows_of())
    line = "310 a core in real time: as one batch of 64 in ONNX Runtime (p99 of a step 1.90 ms)"
    text = format_report(report)
    assert text.startswith(f"Streams of GRU, hidden 128, 1 step a call: {line}\n")
    for fact in (
        "As 64 threads of one session: 120 a core in real time (p99 of a step 1.90 ms).",
        "As 64 sessions: 110 a core in real time",
        "As one batch of 64 in eager: 90.0 a core in real time",
        "As one stream at a time: 200 a core in real time (p99 of a step 100 us).",
        "Each core has a batch of its own, so that all are at work.",
    ):
        assert fact in text
        assert fact in format_report(report, "markdown")
        assert fact in make_page(report)
    assert line.split(": ")[0] in make_page(report)
    assert "* **Streams of GRU" in format_report(report, "markdown")
    said = to_json(report)
    assert [row["held"] for row in said["streams"]] == [
        row["extra_info"]["held"] for row in rows_of()
    ]
    assert said["cards"][0]["headline"].endswith(line)
    assert to_csv(report.material).count("\nstreams,") == 5
    table = format_results(read_file(tmp_path / "made.json"))
    assert max(map(len, table.splitlines())) <= 100


def test_the_report_says_what_makes_the_answer_doubtful(tmp_path):
    rows = rows_of(stable=False, why_unstable="the second half is slower", p99=0.02)
    (card,) = report_of(tmp_path, rows).cards
    assert card.provisional
    assert card.answer == "provisional: 310 a core in real time"
    assert any("the second half is slower" in fact for fact in card.facts)
    assert any("more than the 10.0 ms that it lasts in real time" in fact for fact in card.facts)


def test_what_does_not_keep_up_is_not_the_answer(tmp_path):
    """64 streams a core, of 100 steps a second, are 6,400: one of 5,000 falls behind."""
    where = WHERE | {"batch": 64}
    rows = [streams(where, 64, ONE_BATCH, 5_000), streams(WHERE, 8, SESSIONS, 4_000)]
    (card,) = report_of(tmp_path, rows).cards
    assert card.numbers.startswith("as 8 sessions")
    (card,) = report_of(tmp_path, rows[:1]).cards
    assert any("None of them keeps up" in fact for fact in card.facts)


def test_without_a_rate_steps_are_said(tmp_path):
    report = report_of(tmp_path, rows_of(WHERE | {"frames_per_second": None}))
    assert "31,000 steps a second a core: as one batch of 64" in format_report(report)
    assert "real time" not in format_report(report)


def test_a_number_that_cannot_be_is_named(tmp_path):
    rows = rows_of()
    rows[0]["extra_info"]["steps_per_core"] = 0
    path = write_made(tmp_path / "made.json", wrap(rows))
    with pytest.raises(RnnbenchError, match=r"one batch: steps_per_core is 0\): measure again"):
        read_file(path)
