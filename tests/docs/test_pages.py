"""Links lead somewhere, every verb has a page, every hazard a heading and an example."""

import importlib
import warnings

import pytest

import rnnbench
from rnnbench.core import plugins
from rnnbench.core.manual import page
from tests.docs.pages import DOCS, GENERATED, OTHERS, README, ROOT, anchors, blocks, links, pages

WRITTEN = [page for page in pages() if page.name not in GENERATED]
INSPECT = ROOT / page("inspect.md")


@pytest.mark.parametrize(
    "page", [*pages(), *(ROOT / name for name in OTHERS)], ids=lambda page: page.stem
)
def test_links_and_anchors_lead_somewhere(page):
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.read_text("utf-8").splitlines()) <= 220


@pytest.mark.parametrize("verb", plugins.names("commands"))
def test_every_verb_is_on_a_page(verb):
    texts = [page.read_text("utf-8") for page in WRITTEN if page != README]
    assert any(f"rnnbench {verb}" in text for text in texts)


def test_every_page_is_in_the_index():
    index = (DOCS / "index.md").read_text("utf-8")
    missing = [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index]
    assert missing == ["index.md"]


def test_every_hazard_has_a_heading_and_an_example_that_has_it(tmp_path, monkeypatch):
    examples = [b.text for b in blocks(INSPECT) if b.language == "python" and not b.file]
    (tmp_path / "hazard_examples.py").write_text("\n\n".join(examples))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("hazard_examples")
    text = " ".join(INSPECT.read_text("utf-8").split())
    for name in plugins.names("hazards"):
        assert name in anchors(INSPECT)
        (file,) = tmp_path.glob(f"{name}.*")
        found = {hazard.name: hazard for hazard in rnnbench.inspect(file).hazards}
        assert name in found
        section = text.partition(f"### {name} ")[2].partition("### ")[0]
        assert "**Remedy:**" in section, name
        assert f"*{found[name].severity}" in section, name
