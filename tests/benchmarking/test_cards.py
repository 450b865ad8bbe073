"""Answer cards: what to ship, what the next best costs, what changes if; provisional and wrong."""

import json
import re
from pathlib import Path

import pytest

from rnnbench.benchmarking.report import format_report, make_report
from rnnbench.benchmarking.report.page import make_page
from rnnbench.benchmarking.report.values import to_json
from rnnbench.benchmarking.results import read_file
from rnnbench.benchmarking.tables import results_parts
from tests.benchmarking.test_recommendation import WHERE, row
from tests.helpers.made_results import latency, ratio, wrap, write_made

QUICK = Path("benchmarks/results/Linux-CPython-3.11-64bit/0001_quick.json")
FULL = QUICK.with_name("0002_full.json")


def report_of(tmp_path, *rows):
    return make_report([write_made(tmp_path / "x.json", wrap(list(rows)))])


def at(runtime, us, seed=0, form="fused", stable=True, **sizes):
    """Made samples of a runtime at some sizes."""
    entry = row(runtime, us, seed=seed, form=form)
    data = entry["stats"]["data"]
    more = {} if stable else {"stable": False, "why_unstable": "the second half is slower"}
    return latency(WHERE | {"runtime": runtime, "form": form} | sizes, data, **more)


def test_stored_results_have_a_card_each():
    cards = make_report([QUICK]).cards
    assert [card.where for card in cards] == [
        f"{model}, hidden 128, batch 1, 32 steps" for model in ("Elman RNN", "GRU", "LSTM")
    ]
    assert cards[1].headline == (
        "GRU, hidden 128, batch 1, 32 steps: ship ONNX Runtime with bound buffers (onnxruntime), "
        "fused: 2.24 us a step, 4.21 times as fast as eager, fused (4.21 to 4.22)"
    )
    assert cards[1].facts[0] == "How sure: paired, 67 rounds."
    assert "cannot be told from its exported form" in cards[0].facts[0]
    assert (
        cards[1]
        .facts[1]
        .startswith("Next best: ONNX Runtime (fused): costs 61.7 ns more a step (2.30 us), 1.027 (")
    )
    assert not any("changes" in fact for card in cards for fact in card.facts)  # one size alone
    assert not any(card.provisional or card.wrong for card in cards)


def test_only_the_middle_conditions_come_first():
    report = make_report([FULL])
    assert [card.first for card in report.cards] == [True] * 3 + [False] * 9
    assert report.more == "9 other conditions are in the table of what is fastest"
    text = format_report(report)
    assert text.count("Next best: ") == 3
    assert report.more in text
    page = make_page(report)
    assert page.count('<article class="card') == 12
    assert report.more not in page


def test_what_changes_is_said_where_it_was_measured(tmp_path):
    rows = [
        *(at("eager", 400), at("onnxruntime", 100, 1)),
        *(at("eager", 600, batch=8), at("onnxruntime", 200, 1, batch=8)),
        *(at("eager", 40, time=1), at("onnxruntime", 80, 1, time=1)),
        *(at("eager", 900, hidden=512), at("onnxruntime", 900, 1, hidden=512)),
        *(at("eager", 400, threads=2), at("onnxruntime", 60, 1, threads=2)),
        *(at("eager", 4, batch=8, time=1), at("onnxruntime", 3, 1, batch=8, time=1)),
    ]
    (card,) = [
        card
        for card in report_of(tmp_path, *rows).cards
        if card.where == "LSTM, hidden 128, batch 1, 32 steps"
    ]
    assert [fact for fact in card.facts if fact.startswith("If ")] == [
        "If the batch changes: at 8: the same, 6.25 us a step.",
        "If the length changes: at 1 step: eager (fused), 40.1 us a step.",
        "If the hidden size changes: at 512: it cannot be told (ONNX Runtime (fused) looks "
        "fastest, 28.1 us a step).",
        "If the number of threads changes: with 2 threads: the same, 1.88 us a step.",
    ]


def test_the_next_best_is_another_runtime_or_cannot_be_told(tmp_path):
    rows = [
        at("eager", 400),
        at("onnxruntime", 100, 1),
        at("onnxruntime", 103, 1, form="exported"),
        at("openvino", 200, 2),
    ]
    (card,) = report_of(tmp_path, *rows).cards
    (said,) = [fact for fact in card.facts if fact.startswith("Next best")]
    assert said.startswith("Next best: OpenVINO (fused): costs 3.1")
    assert said.endswith(") times the time.")
    (card,) = report_of(tmp_path, *rows, at("torchscript", 100, 3)).cards
    (said,) = [fact for fact in card.facts if fact.startswith("Next best")]
    assert "TorchScript (fused): 3.1" in said or "ONNX Runtime (fused): 3.1" in said
    assert said.endswith("which cannot be told from the best.")


def test_where_both_were_measured_a_fact_says_loop_against_fused(tmp_path):
    rows = [
        *(at("eager", 400), at("eager", 800, 4, form="loop")),
        *(at("onnxruntime", 100, 1), at("onnxruntime", 300, 1, form="loop")),
        at("torchscript", 200, 1),
    ]
    pair = ratio(WHERE | {"runtime": "onnxruntime", "form": "loop"}, 2.9, {"form": "fused"})
    (card,) = report_of(tmp_path, *rows, pair).cards
    (said,) = [fact for fact in card.facts if fact.startswith("Loop against fused layer")]
    assert said.startswith(
        "Loop against fused layer, in times the time: 2.9 (2.8 to 3.0) in ONNX Ru"
    )
    assert re.search(r"; (1\.9|2\.0)\d \(.*\) in eager\.$", said)
    assert "TorchScript" not in said
    (card,) = report_of(tmp_path, *rows[::2]).cards
    assert not any(fact.startswith("Loop") for fact in card.facts)


def test_what_was_not_measured_is_a_doubt(tmp_path):
    reasons = [
        "wrong output: h off by 0.1",
        "wrong output: y off by 0.1",
        "tract is not here",
    ]
    skipped = [{"what": f"row {n}", "reason": why} for n, why in enumerate(reasons)]
    data = wrap([at("eager", 400), at("onnxruntime", 100, 1)], skipped=skipped)
    report = make_report([write_made(tmp_path / "x.json", data)])
    assert report.doubts == (
        "row 0 computes something else, and 1 more: wrong output: h off by 0.1",
        "row 2 could not be measured: tract is not here",
    )


def test_an_unstable_latency_is_provisional_in_the_headline(tmp_path):
    """Also where a paired ratio decides."""
    rows = [at("eager", 400), at("onnxruntime", 100, 1, stable=False)]
    pair = ratio(WHERE | {"runtime": "eager", "form": "fused"}, 4.0, {"runtime": "onnxruntime"})
    for more in ([], [pair]):
        report = report_of(tmp_path, *rows, *more)
        (card,) = report.cards
        assert card.provisional
        assert ": provisional: ship ONNX Runtime (onnxruntime), fused: " in card.headline
        assert (
            "Provisional, since ONNX Runtime (fused) is unstable: the second half is slower."
            in card.facts
        )
        assert "provisional: ship" in format_report(report).splitlines()[0]
        assert "**LSTM" in format_report(report, "markdown").splitlines()[0]
        assert '<article class="card provisional">' in make_page(report)


def test_what_only_an_unstable_latency_says_looks_fastest(tmp_path):
    shaky = row("eager", 115, noise=0.1, samples=400, stable=False, why_unstable="it drifts")
    rows = [shaky, row("onnxruntime", 100, noise=0.1, samples=400, seed=1)]
    report = report_of(tmp_path, *rows)
    (card,) = report.cards
    assert "provisional: ONNX Runtime (onnxruntime), fused looks fastest: " in card.headline
    assert report.unanswered == ()


@pytest.mark.parametrize(
    "rows",
    [
        [at("eager", 100), at("onnxruntime", 100, 1)],
        [at("eager", 100)],
        [row("eager", 100, samples=3), row("onnxruntime", 50, samples=3)],
    ],
)
def test_without_an_answer_there_is_no_card(tmp_path, rows):
    report = report_of(tmp_path, *rows)
    assert report.cards == ()
    assert report.unanswered == report.sentences
    assert "cannot tell" in format_report(report).splitlines()[0]
    assert "cannot tell" in make_page(report)


def test_what_computes_something_else_is_not_to_be_shipped(tmp_path):
    results = write_made(tmp_path / "x.json", wrap([at("eager", 400), at("onnxruntime", 100, 1)]))
    check = tmp_path / "check.json"
    row_ = {"model": "lstm", "format": "onnx", "runtime": "onnxruntime", "verdict": "DIFFERS"}
    check.write_text(json.dumps({"schema": "rnnbench-check-1", "rows": [row_]}))
    report = make_report([results, check])
    (card,) = report.cards
    assert (
        ": do not ship ONNX Runtime (onnxruntime), fused, the fastest: onnx DIFFERS there: "
        in card.headline
    )
    assert '<article class="card wrong">' in make_page(report)


def test_cards_are_lines_of_text_and_markdown_lists():
    report = make_report([QUICK])
    lines = format_report(report).splitlines()
    assert lines[0] == report.cards[0].headline
    assert lines[1:5] == [*(f"  {fact}" for fact in report.cards[0].facts), ""]
    markdown = format_report(report, "markdown").splitlines()
    assert markdown[0].startswith("* **Elman RNN, hidden 128")
    assert markdown[1].startswith("  * How sure: ")


def test_cards_are_in_the_json():
    report = make_report([QUICK])
    cards = to_json(report)["cards"]
    assert [card["headline"] for card in cards] == [card.headline for card in report.cards]
    assert cards[0]["facts"] == list(report.cards[0].facts)
    assert cards[0]["provisional"] is False


def test_tables_name_a_runtime_as_bench_does_and_the_headline_says_both_names():
    report = make_report([QUICK])
    named = []
    for parts in (results_parts(read_file(QUICK)), report.parts()):
        heads = [p for p in parts if "runtime" in getattr(p, "headers", ())]
        named.append({row[heads[0].headers.index("runtime")] for row in heads[0].rows})
    assert named[0] == named[1] >= {"onnxruntime", "onnxruntime (bound)", "eager", "torchscript"}
    text = format_report(report)
    assert "ONNX Runtime with bound buffers (onnxruntime), fused" in " ".join(text.split())
    assert "eager (eager)" not in text
