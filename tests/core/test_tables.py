"""On a terminal every table fits; elsewhere it is the same at any width."""

import json
import os
import re
import sys
from pathlib import Path

import hypothesis.strategies as st
import onnx
import pytest
from hypothesis import example, given

from rnnbench import __main__ as cli
from rnnbench.benchmarking.results import read_file
from rnnbench.benchmarking.tables import format_results
from rnnbench.checking.conformance.matrix import format_matrix
from rnnbench.checking.conformance.rows import ConformanceRow, format_conformed
from rnnbench.checking.drift import DriftCurve, DriftReport, format_drift
from rnnbench.commands._console import say
from rnnbench.core.tables import folded, format_table
from rnnbench.core.verdicts import Verdict
from rnnbench.models import variants
from tests.helpers import handmade
from tests.helpers.made_results import make_results, write_made

WIDTHS = (80, 100, 120, 200)
RESULTS = Path(__file__).parents[2] / "benchmarks/results/Linux-CPython-3.11-64bit"
COLOUR = re.compile(r"\x1b\[\d+m")

words = st.text("abcXYZ01/_.:,-", min_size=1, max_size=30)
cells = st.lists(words, max_size=12).map(" ".join) | st.floats(-1e6, 1e6).map("{:.3e}".format)
tables = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(words, min_size=n, max_size=n, unique=True),
        st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=5),
    )
)


def letters(text):
    """What is in it but for spaces, rules and the numbers of rows: in any order."""
    return sorted(re.sub(r"[\s]|-{2,}", "", text))


@given(tables, st.sampled_from(WIDTHS), st.integers(0, 3))
@example((["a", "b"], [["x" * 300, "1"]]), 80, 0)
def test_no_line_is_wider_and_nothing_is_lost(table, width, taken):
    headers, rows = table
    text = format_table(headers, rows, width=width, least=headers[:taken])
    assert max(map(len, text.splitlines())) <= width
    printed = re.sub(r"\s", "", text)
    for row in rows:
        for cell in row:
            for word in cell.split():
                # A long word is broken, and its parts may stand in different lines.
                assert word in printed or all(c in printed for c in word)
    for i, header in enumerate(headers):
        if any(row[i] for row in rows) and len(header) <= 8:
            assert header in printed or set(header) <= set(printed)


@given(tables)
def test_what_is_dropped_stands_below(table):
    """Each cell of a column without room is in a line that names the column."""
    headers, rows = table
    headers = [f"h{i}" for i in range(len(headers))]
    rows = [[f"cell{i}of{k}" for i in range(len(headers))] for k in range(len(rows))]
    text = format_table(headers, rows, width=40)
    for k, row in enumerate(rows):
        for i, cell in enumerate(row):
            assert cell in text
            in_table = any(cell in line and ":" not in line for line in text.splitlines())
            assert in_table or f"h{i}: {cell}" in re.sub(r"\s+", " ", text), (k, i)


@given(tables)
def test_elsewhere_each_row_is_a_line(table):
    headers, rows = table
    lines = format_table(headers, rows).split("\n")
    assert len(lines) == 2 + len(rows)
    starts = [match.start() for match in re.finditer(r"-+", lines[1])]
    assert len(starts) == len(headers)
    for row, line in zip(rows, lines[2:], strict=True):
        ends = [*starts[1:], len(line) + 2]
        found = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        assert found == [cell.strip() for cell in row]


def test_numbers_are_right_and_words_left():
    rows = [["gru", "1.5e-07", "3.1 to 3.2", "same"], ["lstm-loop", "22", "", "DIFFERS"]]
    assert format_table(["model", "error", "interval", "verdict"], rows).splitlines() == [
        "model        error    interval  verdict",
        "---------  -------  ----------  -------",
        "gru        1.5e-07  3.1 to 3.2  same",
        "lstm-loop       22              DIFFERS",
    ]
    in_markdown = format_table(["model", "error"], [row[:2] for row in rows], style="markdown")
    assert re.search(r"^\|:-+\|-+:\|$", in_markdown, re.MULTILINE)


def test_words_are_folded_and_the_least_is_said_below():
    rows = [["gru", "a reason that is far longer than the terminal is wide", "12", "cpu"]] * 2
    text = format_table(["model", "reason", "cases", "device"], rows, width=37, least=["cases"])
    assert text.splitlines() == [
        "model  reason                cases",
        "-----  --------------------  -----",
        "gru    a reason that is far     12",
        "       longer than the",
        "       terminal is wide",
        "gru    a reason that is far     12",
        "       longer than the",
        "       terminal is wide",
        "device: cpu",
    ]
    rows = [["gru", "a reason that is long", "12"], ["gru", "another reason", "13"]]
    text = format_table(["model", "reason", "cases"], rows, width=18, least=["cases"])
    assert text.splitlines()[-3:] == ["          reason", "1: cases: 12", "2: cases: 13"]


def test_a_sentence_is_folded_on_a_terminal_alone():
    sentence = "a sentence that is longer than forty characters, as many are"
    assert folded(sentence) == sentence
    assert folded(sentence, 40).splitlines() == [
        "a sentence that is longer than forty",
        "  characters, as many are",
    ]


@pytest.fixture(params=WIDTHS)
def terminal(request, monkeypatch, capsys):
    """A verb on a terminal of some width -> its code and lines."""
    width = request.param

    def run(*arguments):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        with pytest.raises(SystemExit) as ended:
            cli.main([str(a) for a in arguments])
        lines = COLOUR.sub("", capsys.readouterr().out).splitlines()
        assert lines
        assert max(map(len, lines)) <= width, max(lines, key=len)
        return ended.value.code, lines

    return run


@pytest.fixture(scope="module")
def bundle(shared):
    model = variants.model("gru-loop", variants.Options(4, 5), bundle_name="streaming-denoiser")
    return shared.export("width", lambda: model, ("onnx", "torchscript", "pt2"))


def test_list(terminal):
    assert terminal("list", "variants", "tasks", "formats")[0] == 0
    assert terminal("embed", "--list")[0] == 0


def test_check(terminal, bundle):
    assert terminal("check", bundle.path)[0] == 0
    assert terminal("check", bundle.path, "--details")[0] == 0


def test_two_files(terminal, bundle):
    files = [bundle.artifacts[f].path for f in ("onnx", "torchscript")]
    assert terminal("check", files[0], "--against", files[1])[0] == 0
    assert terminal("inspect", *files)[0] == 0


def test_inspect(terminal, tmp_path):
    proto = handmade.onnx_gru(handmade.gru())
    for node in proto.graph.node:
        if node.op_type == "GRU":
            node.name = "/encoder/streaming_block.0/recurrent_core/GRU"
    onnx.save(proto, str(tmp_path / "a.onnx"))
    terminal("inspect", tmp_path / "a.onnx")


def test_report_and_compare(terminal, tmp_path):
    assert terminal("report", RESULTS / "0001_quick.json")[0] == 0
    assert terminal("report", RESULTS)[0] == 0
    for factor in (1.0, 1.3):
        write_made(tmp_path / f"{factor}.json", make_results(scale=factor))
    terminal("compare", tmp_path / "1.0.json", tmp_path / "1.3.json")
    terminal("compare", RESULTS / "0001_quick.json", RESULTS / "0002_full.json")


@pytest.mark.parametrize("width", WIDTHS)
def test_what_bench_conform_and_drift_print(monkeypatch, capsys, width):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    row = ConformanceRow(
        "onnxruntime:pinned", verdict=Verdict.SAME, model="denoiser", profile="portable", cases=9
    )
    texts = [
        *(format_results(read_file(path)) for path in RESULTS.glob("*.json")),
        format_conformed([row, row]),
        format_matrix([row, row]),
        format_drift(_drift()),
    ]
    for text in texts:
        say(text)
        lines = COLOUR.sub("", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) <= width, max(lines, key=len)


def test_bench_says_how_far_each_is_from_the_best():
    text = format_results(read_file(RESULTS / "0001_quick.json"))
    lines = text.partition("\n\n")[0].splitlines()
    head = next(line for line in lines if "relative" in line)
    end = head.index("relative") + len("relative")
    found = {}
    for line in lines[lines.index(head) + 2 :]:
        if line.startswith(("elman", "gru", "lstm")):
            found.setdefault(line.split()[0], []).append(float(line[:end].split()[-1]))
    assert {model: min(values) for model, values in found.items()} == dict.fromkeys(found, 1.0)
    assert all(max(values) > 1.5 for values in found.values())


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_a_real_terminal_has_colours_and_fits(tmp_path):
    import fcntl
    import pty
    import struct
    import subprocess
    import termios

    (tmp_path / "old.json").write_text(json.dumps(make_results()))
    (tmp_path / "new.json").write_text(json.dumps(make_results(scale=1.3)))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    hidden = ("NO_COLOR", "COLUMNS")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    process = subprocess.Popen(
        [sys.executable, "-m", "rnnbench", "compare", "old.json", "new.json"],
        cwd=tmp_path,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    os.close(theirs)
    read = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # it is closed
            break
        if not part:
            break
        read += part
    os.close(ours)
    assert process.wait() == 1
    text = read.decode()
    assert "\x1b[31mslower:" in text
    assert "\x1b[31mREGRESSION" in text
    head = next(line for line in text.splitlines() if line.startswith(("what", " #  what")))
    assert "interval)" in head, "what changed by how much stays in the table"
    assert max(len(COLOUR.sub("", line)) for line in text.splitlines()) <= 80


def _drift():
    ends = (10, 100, 1000, 10_000, 100_000, 1_000_000)
    curve = DriftCurve("torchscript", "torchscript", (1e-7,) * 6, Verdict.SAME)
    return DriftReport("denoiser", 10**6, ends, (1.0,) * 6, (curve,), "float64", (), True)
