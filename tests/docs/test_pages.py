"""Links lead somewhere, every verb has a page, every hazard a heading and an example."""

import warnings

import pytest

import rnnbench
from rnnbench.core import plugins
from rnnbench.inspection.inspect import PAGE
from tests.docs.pages import DOCS, GENERATED, OTHERS, README, ROOT, anchors, blocks, links, pages

WRITTEN = [page for page in pages() if page.name not in GENERATED]
INSPECT = ROOT / PAGE


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


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The files that the page on hazards writes."""
    folder = tmp_path_factory.mktemp("hazards")
    names = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        for block in blocks(INSPECT):
            if block.language == "python" and not block.file:
                exec(compile(block.text, str(block), "exec"), names)
    return folder


@pytest.mark.parametrize("name", plugins.names("hazards"))
def test_every_hazard_has_a_heading_and_an_example_that_has_it(examples, name):
    assert name in anchors(INSPECT)
    (file,) = examples.glob(f"{name}.*")
    found = {hazard.name: hazard for hazard in rnnbench.inspect(file).hazards}
    assert name in found
    text = " ".join(INSPECT.read_text("utf-8").split())
    section = text.partition(f"### {name} ")[2].partition("### ")[0]
    assert "**Remedy:**" in section
    assert f"*{found[name].severity}" in section
