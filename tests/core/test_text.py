"""Names are data: in no table, line, page or file do they do anything."""

import re

import click
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rnnbench import __main__ as cli
from rnnbench.benchmarking.report import format_report, make_report
from rnnbench.benchmarking.report.page import make_page
from rnnbench.core.tables import format_table
from rnnbench.core.text import harmless, harmless_lines, in_html, in_markdown
from tests.helpers.made_results import make_results, write_made

CLEARS = "\x1b[2J\x1b]0;title\x07"
MARKUP = "<img src=x>|`code`\n[a](javascript:x)"
EVIL = CLEARS + MARKUP
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@given(st.text())
def test_nothing_that_controls_a_terminal_is_left(text):
    for shown in (harmless(text), in_markdown(text), in_html(text)):
        assert not CONTROLS.search(shown)
        assert "\n" not in shown
    assert not CONTROLS.search(harmless_lines(text).replace("\t", "")) or "\x1b[3" in text


def test_what_is_harmless_stays():
    for text in ("encoder.rnn", "größe", "模型", "x_1 / y-2 (é)", ""):
        assert harmless(text) == harmless_lines(text) == in_html(text) == text


def test_our_own_colours_stay_and_others_do_not():
    word = click.style("DIFFERS", fg="red")
    assert harmless_lines(f"a\n{word}: b\x1b[8m") == f"a\n{word}: b\\x1b[8m"


def test_tables_show_names_as_they_are():
    rows = [[EVIL, "1"]]
    text = format_table(["name", "n"], rows)
    assert not CONTROLS.search(text)
    assert len(text.splitlines()) == 3
    assert not CONTROLS.search(format_table(["name", "n"], rows, width=40).replace("\n", ""))
    markdown = format_table(["name", "n"], rows, style="markdown")
    assert len(markdown.splitlines()) == 3
    assert "\\<img" in markdown
    assert "\\[a](" in markdown
    assert "\\`code\\`" in markdown
    assert "<img" not in format_table(["name", "n"], rows, style="html")


@pytest.fixture
def evil(tmp_path):
    """A valid file, all of whose names are hostile."""
    weights = [
        numpy_helper.from_array(np.full((1, 12, n), 0.1, np.float32), name)
        for n, name in ((3, "W"), (4, "R"))
    ]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    layer = helper.make_node("GRU", ["x", "W", "R"], ["y"], hidden_size=4, name=f"gru{EVIL}")
    squeeze = helper.make_node("Squeeze", ["y", "axes"], [f"out{EVIL}"], name=f"squeeze{EVIL}")

    def value(name, size):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"T{EVIL}", "B", size])

    graph = helper.make_graph(
        [layer, squeeze],
        f"graph{EVIL}",
        [value("x", 3)],
        [value(f"out{EVIL}", 4)],
        [*weights, axes],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 18)],
        producer_name=f"maker{EVIL}",
        ir_version=8,
    )
    path = tmp_path / "evil.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    "words",
    [("inspect", "{}"), ("inspect", "{}", "{}", "--diff"), ("check", "{}", "--against", "{}")],
)
def test_a_hostile_file_says_nothing_to_the_terminal(evil, words, capsys):
    with pytest.raises(SystemExit):
        cli.main([word.format(evil) for word in words])
    out, err = capsys.readouterr()
    assert out + err
    assert not CONTROLS.search(out + err)
    if words[0] == "inspect":
        assert "maker\\x1b[2J" in out or "--diff" in words


def test_hostile_results_are_a_page_and_markdown(tmp_path):
    data = make_results(cells=("gru",))
    for entry in data["benchmarks"]:
        entry["extra_info"]["model"] = f"m{EVIL}"
    data["machine_info"]["rnnbench"]["cpu"] = f"cpu{EVIL}"
    report = make_report([write_made(tmp_path / "x.json", data)])
    page = make_page(report)
    assert not CONTROLS.search(page)
    assert "<img src=x" not in page
    markdown = format_report(report, "markdown")
    assert not CONTROLS.search(markdown)
    assert not re.search(r"(?<!\\)(<img|`code|\[a\])", markdown)
