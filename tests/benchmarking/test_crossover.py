"""`bench --crossover`: where two change places, found with few of the measurements of a grid."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbench import RnnbenchError
from rnnbench import __main__ as cli
from rnnbench.benchmarking.axis import PART, Axis
from rnnbench.benchmarking.crossings import crossings, in_words
from rnnbench.benchmarking.plan import Plan
from rnnbench.benchmarking.refusals import check_plan
from rnnbench.benchmarking.results import Ratio, Side, read_file
from rnnbench.benchmarking.searching import Search, items_of, searched

FASTER, SLOWER, UNKNOWN = "faster", "slower", "cannot tell"


def run(axis, answer):
    """The search, and what each size that it asked for said, in the order of the asking."""
    search = Search(axis.sizes, axis.most)
    while (size := search.next()) is not None:
        assert size in axis.sizes
        assert size not in search.answers
        search.answers[size] = answer(size)
    return search


@settings(max_examples=300, deadline=None)
@given(
    low=st.integers(1, 16),
    count=st.integers(130, 400),
    at=st.floats(0, 1),
    width=st.floats(0, 0.3),
)
def test_one_crossing_is_found_to_the_next_size(low, count, at, width):
    """With an interval around it in which it cannot be told."""
    axis = Axis("hidden", low, low * count, low)
    begin = axis.sizes[int(at * (len(axis.sizes) - 1))]
    end = begin * (1 + width)

    def answer(size):
        return FASTER if size < begin else UNKNOWN if size < end else SLOWER

    search = run(axis, answer)
    assert len(search.answers) <= max(5, len(axis.sizes) // PART)
    known = sorted(search.answers)
    for side in (FASTER, SLOWER):
        truly = [size for size in axis.sizes if answer(size) == side]
        found = [size for size in known if search.answers[size] == side]
        assert bool(found) == bool(truly)
        if truly:
            assert (min(found), max(found)) == (min(truly), max(truly))


def test_there_and_back_again_is_found_where_the_first_looks_see_it():
    axis = Axis.parse("time=1..256")
    search = run(axis, lambda size: SLOWER if 10 <= size <= 40 else FASTER)
    answers = [search.answers[size] for size in sorted(search.answers)]
    assert SLOWER in answers
    assert [search.answers[size] for size in (9, 10, 40, 41)] == [FASTER, SLOWER, SLOWER, FASTER]


def test_what_cannot_be_measured_is_left_out():
    axis = Axis.parse("hidden=8..1024")
    search = run(axis, lambda size: None if size > 600 else FASTER if size < 200 else SLOWER)
    assert search.answers[192] == FASTER
    assert search.answers[200] == SLOWER
    assert len(search.answers) <= len(axis.sizes) // PART


def test_a_grid_costs_a_fifth_at_most_whatever_the_answers_are():
    axis = Axis.parse("hidden=8..1024")
    search = run(axis, lambda size: (FASTER, SLOWER, UNKNOWN)[size // 8 % 3])
    assert len(search.answers) <= axis.most == len(axis.sizes) // PART


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("hidden=8..1024", Axis("hidden", 8, 1024, 8)),
        ("time = 1 .. 7 : 3", Axis("time", 1, 7, 3)),
    ],
)
def test_an_axis_is_read(given, found):
    assert Axis.parse(given) == found
    assert Axis.parse(str(found)) == found
    assert found.sizes[0] == found.low
    assert found.sizes[-1] == found.high


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hidden", "give an axis, the least and the largest size"),
        ("hidden=8..8", "sizes are above 0 and rise"),
        ("hidden=0..8", "sizes are above 0 and rise"),
        ("hidden=8..16:0", "sizes are above 0 and rise"),
        ("width=8..16", "unknown axis 'width'"),
    ],
)
def test_what_is_no_axis_is_refused(given, said):
    with pytest.raises(RnnbenchError, match=said):
        Axis.parse(given)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(crossover="time=1..9", streams=(1,)), "--crossover and --streams: give one"),
        (
            Plan(("rnnbench.models:make",), crossover="hidden=8..64"),
            "has a size of its own: give time, batch or threads",
        ),
    ],
)
def test_what_says_nothing_is_refused(plan, said):
    with pytest.raises(RnnbenchError, match=said):
        check_plan(plan)


def line_of(item, verdict):
    entry = {"extra_info": {"verdict": verdict}}
    said = {"entry": entry} if verdict else {"skipped": {}}
    return {"id": f"{item.kind} {item.id}", **said}


PLAN = Plan(("lstm",), ("eager", "onnxruntime"), time=(4,), crossover="hidden=8..400")


def test_each_pair_is_searched_by_itself_and_from_where_a_run_stopped():
    def answer(item):
        return (
            FASTER if item.conditions.hidden < 100 * (1 + (item.what == "loop/fused")) else SLOWER
        )

    lines, asked = [], []
    for item in searched(PLAN, lines):
        asked.append(item)
        lines.append(line_of(item, answer(item)))
    assert len({item.id for item in asked}) == len(asked)
    assert {item.kind for item in asked} == {"ratio"}
    assert {item.id for item in items_of(PLAN)} <= {item.id for item in asked}
    pairs = {(item.what, item.way, item.versus) for item in asked}
    for what, way, versus in pairs:
        sizes = {
            i.conditions.hidden for i in asked if (i.what, i.way, i.versus) == (what, way, versus)
        }
        edge = 200 if what == "loop/fused" else 104
        assert {edge - 8, edge} <= sizes
    for done in (1, 7, len(lines)):  # lines of a run that was stopped are not asked for again
        again = list(lines[:done])
        more = []
        for item in searched(PLAN, again):
            if not any(line["id"] == f"{item.kind} {item.id}" for line in again):
                more.append(item)
                again.append(line_of(item, answer(item)))
        assert [item.id for item in [*asked[:done], *more]] == [item.id for item in asked]


def ratio(hidden, value, stable=True):
    low, high = 0.98 * value, 1.02 * value
    verdict = FASTER if high < 0.99 else SLOWER if low > 1.01 else UNKNOWN
    return Ratio(
        **dict.fromkeys(("name", "group", "model", "cell", "mode", "device"), "cpu"),
        **{"form": "loop", "runtime": "c", "batch": 1, "time": 1, "layers": 1, "threads": 1},
        hidden=hidden,
        what="loop/fused",
        versus=Side("cpu", "fused", "c"),
        ratio=value,
        low=low,
        high=high,
        rounds=9,
        verdict=verdict,
        stable=stable,
    )


def said(*rows):
    (found,) = crossings(rows, "hidden")
    return in_words(found, 50).splitlines()


def test_what_was_found_is_said_with_its_intervals():
    rows = [ratio(8, 0.5), ratio(64, 0.9), ratio(72, 1.0), ratio(80, 1.1, stable=False)]
    assert said(*reversed(rows), ratio(400, 2.0)) == [
        "faster up to 64: 0.9 (0.882 to 0.918)",
        "slower from 80: 1.1 (1.08 to 1.12, unstable)",
        "5 of 50 sizes measured",
    ]
    assert said(ratio(8, 0.5), ratio(16, 0.6)) == [
        "faster 8 to 16: 0.5 (0.49 to 0.51); 0.6 (0.588 to 0.612)",
        "2 of 50 sizes measured",
    ]
    assert said(ratio(8, 0.5), ratio(16, 1.0)) == [
        "faster 8 to 8: 0.5 (0.49 to 0.51); 0.5 (0.49 to 0.51); elsewhere it cannot be told",
        "2 of 50 sizes measured",
    ]
    assert said(ratio(8, 1.0))[0] == "it cannot be told at any size"
    there_and_back = said(ratio(8, 0.5), ratio(16, 2.0), ratio(32, 3.0), ratio(64, 0.5))
    assert there_and_back[1] == "slower 16 to 32: 2 (1.96 to 2.04); 3 (2.94 to 3.06)"


def test_pairs_are_kept_apart():
    other = replace(ratio(8, 2.0), runtime="eager")
    assert len([*crossings([ratio(8, 0.5), other, ratio(16, 0.5)], "hidden")]) == 2


def test_the_command_searches_and_writes_what_it_measured(tmp_path, capsys):
    words = ["gru", "--crossover", "time=1..24", "--runtime", "onnxruntime,c", "--hidden", "8"]
    words += ["--precision", "float16", "--quick", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", *words])
    assert caught.value.code == 0
    out = capsys.readouterr()
    assert "Where they change places, at time 1 to 24" in out.out
    assert "of 24 sizes measured" in out.out
    assert "10 measurements or more" in out.err
    path = next(tmp_path.rglob("*.json"))
    found = read_file(path)
    assert not found.latencies
    assert {row.time for row in found.ratios} >= {1, 24}
    assert {row.runtime for row in found.ratios} == {"onnxruntime", "c"}
    plan = json.loads(path.read_text())["machine_info"]["rnnbench"]["plan"]
    assert plan["crossover"] == "time=1..24"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--crossover hidden=8..64 --hidden 8", "the search chooses it"),
        ("--crossover time=9..1", "sizes are above 0 and rise"),
    ],
)
def test_errors_of_the_command_are_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", "gru", *words.split()])
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
