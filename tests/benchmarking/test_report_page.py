"""The page: its size, contrast, alternative texts, contents, and what may run in it."""

import base64
import hashlib
import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from rnnbench.benchmarking.report import make_report
from rnnbench.benchmarking.report.page import LIMIT, make_page
from rnnbench.benchmarking.report.page_style import DARK, GRAPHIC_PAIRS, LIGHT, TEXT_PAIRS
from rnnbench.benchmarking.report.plots import sections
from rnnbench.benchmarking.report.plots.crossover import ink_on
from rnnbench.benchmarking.report.svg import compact, shared
from tests.helpers.browser import Browser
from tests.helpers.made_results import make_results, write_made

RESULTS = sorted(Path("benchmarks/results").glob("*/*.json"))


@pytest.fixture(scope="module", params=RESULTS, ids=lambda path: path.stem)
def stored(request):
    """A report of stored results and its page."""
    report = make_report([request.param])
    return report, make_page(report, "rnnbench report 'my results.json' --html page.html")


def test_a_page_is_small(stored):
    _, page = stored
    assert len(page.encode()) <= LIMIT == 300_000


def test_a_page_of_everything_is_small(tmp_path):
    """Thousands of rows: the page says that there are more."""
    data = make_results(
        cells=("elman", "gru", "lstm"),
        batch=(1, 2, 4, 8),
        time=(1, 8, 32),
        hidden=(8, 32, 128, 256),
        samples=6,
    )
    page = make_page(make_report([write_made(tmp_path / "x.json", data)]))
    assert len(page.encode()) <= LIMIT
    assert re.search(r"\d+ more: <code>rnnbench report --csv", page)
    assert "ship ONNX Runtime" in page


def test_long_texts_of_others_do_not_fill_the_page(tmp_path):
    data = make_results(cells=("gru",), samples=6)
    for entry in data["benchmarks"]:
        entry["extra_info"]["model"] = "m" * 20_000
    page = make_page(make_report([write_made(tmp_path / "x.json", data)]))
    assert len(page.encode()) <= LIMIT


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """WCAG 2.2's ratio of two colours."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXT_PAIRS, 4.5), (GRAPHIC_PAIRS, 3.0)])
def test_colours_stand_out(colours, pairs, least):
    low = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: value for pair, value in low.items() if value < least} == {}


def test_every_colour_of_a_page_is_in_a_pair():
    named = {name for pair in (*TEXT_PAIRS, *GRAPHIC_PAIRS) for name in pair}
    assert LIGHT.keys() == DARK.keys()
    assert LIGHT.keys() - named == {"faint"}  # of grids and lines between rows: ornament


def test_numbers_on_colours_stand_out():
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    for n in range(256):
        colour = colormaps["PuOr_r"](n)
        assert contrast(to_hex(colour), ink_on(colour)) >= 4.5


def test_every_figure_says_what_it_shows(stored):
    report, page = stored
    alts = [unescape(alt) for alt in re.findall(r'<svg aria-label="([^"]*)"', page)]
    assert len(alts) == page.count("<svg ") > 3
    assert all(re.search(r"\bfrom .*\d.* to .*\d", alt) for alt in alts)
    assert len(set(alts)) == len(alts)
    names = [plot.name for section in sections(report.material) for plot in section.plots]
    assert len(set(names)) == len(names)


def test_the_latency_picture_names_the_extremes():
    (quick,) = [path for path in RESULTS if path.stem == "0001_quick"]
    page = unescape(make_page(make_report([quick])))
    assert "gru: p50 from 71.8 us (onnxruntime (bound), fused) to 505 us (eager, loop)." in page


def test_the_contents_lead_to_everything(stored):
    _, page = stored
    contents = page[page.index("<nav") : page.index("</nav>")]
    targets = re.findall(r'href="#([^"]+)"', contents)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(targets) <= set(ids)
    named = re.findall(r'<(?:section|details)[^>]* id="([^"]+)"|<details id="([^"]+)"', page)
    assert [a or b for a, b in named] == targets
    assert targets[0] == "answers"


def test_where_it_is_from_is_said(stored):
    report, page = stored
    assert "rnnbench report &#x27;my results.json&#x27; --html page.html" in page
    (machine,) = report.material.machines
    for results in machine.results:
        assert results.commit["id"][:12] in page
        assert f"torch {results.facts['versions']['torch']}" in page
    from rnnbench import __version__

    assert re.search(rf"<th scope=row>this page.*{re.escape(__version__)}", page)


def test_nothing_but_the_one_script_and_style_is_allowed(stored):
    _, page = stored
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, kind in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert not re.search(r"<[a-z][^>]* (style|on[a-z]+)=", page)


def test_print_and_phones_have_their_rules(stored):
    _, page = stored
    assert "@media print" in page
    assert "@media screen and (prefers-color-scheme: dark)" in page  # print is on white paper
    assert re.search(r"\.k \{ position: sticky", page)
    assert "<td class=k>" in page


BROKEN = r"""[...document.querySelectorAll("th, td")].flatMap((cell) => {
  const found = [], walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());)
    for (const match of node.data.matchAll(/[^\s\/_.,-]{2,}/g)) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const lines = new Set([...range.getClientRects()].map((r) => Math.round(r.top)));
      if (lines.size > 1) found.push(match[0] + " in " + cell.textContent);
    }
  return found;
})"""
"""Words in cells that are on two lines."""


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_no_word_of_a_table_is_broken(tmp_path, monkeypatch, width):
    results = RESULTS[0].resolve()
    rows = [
        {"model": "Tagger", "format": "onnx", "runtime": "openvino", "verdict": verdict}
        | {"worst_error": 0.1, "tolerance_needed": 4.2e-7, "reason": "y: off by 0.1"}
        for verdict in ("DIFFERS", "same")
    ]
    monkeypatch.chdir(tmp_path)  # a name may be wider than a phone
    check = Path("exports/Tagger/check.json")
    check.parent.mkdir(parents=True)
    check.write_text(json.dumps({"schema": "rnnbench-check-1", "rows": rows}))
    page = tmp_path / "page.html"
    page.write_text(make_page(make_report([results, check])), encoding="utf-8")
    with Browser() as browser:
        browser.size(width)
        browser.open(page.as_uri(), "document.querySelector('main')")
        assert browser.value("document.querySelectorAll('td').length") > 100
        assert browser.value(BROKEN) == []
        assert browser.value("document.documentElement.scrollWidth") == width


def test_every_file_that_took_part_is_named(tmp_path):
    check = tmp_path / "check.json"
    row = {"model": "gru", "format": "onnx", "runtime": "onnxruntime", "verdict": "same"}
    check.write_text(json.dumps({"schema": "rnnbench-check-1", "rows": [row]}))
    page = make_page(make_report([RESULTS[0], check])).replace("<wbr>", "")
    took_part = page[page.index("What took part (") :]
    for path in (RESULTS[0], check):
        assert f"<th scope=row>{path}" in took_part


def test_pictures_are_made_small_and_stay_the_same():
    long = (
        '<svg height="1pt" viewBox="0 0 9 9" width="1pt"><!-- no --><defs><style>*{}</style></defs>'
        '<g id="axes_1"><g id="line2d_3"><path d="M 1.2345 2 \nL 3.98 4.04 \n" style="fill: none; '
        'stroke: #123456"/></g></g><g id="keep"><text style="font-family: \'A\', b; fill: #000000" '
        'transform="rotate(-0 1.5 2)">a < b</text></g></svg>'
    )
    small = compact(long)
    assert small == (
        '<svg viewBox="0 0 9 9" role="img"><path d="M1.2 2L4 4" '
        'style="fill:none;stroke:#123456"/><g id="keep">'
        '<text style="fill:#000000">a < b</text></g></svg>'
    )
    style, pictures = shared([small, small.replace("keep", "other")])
    assert style == ".s0{fill:none;stroke:#123456}.s1{fill:#000000}"
    assert [re.findall('id="([^"]*)"', picture) for picture in pictures] == [["i0"], ["i1"]]
