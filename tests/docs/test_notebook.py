"""The notebooks of docs/examples/ run as they are, and are stored with their outputs."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import DOCS, ROOT

NOTEBOOKS = sorted((DOCS / "examples").glob("*.ipynb"))


def outputs_of(cell):
    """The kinds of what a cell prints and shows."""
    kinds = set()
    for output in cell.outputs:
        kinds |= {*output.get("data", {})} or {output.output_type}
    return kinds


def test_there_is_one():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_what_is_stored(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    fresh = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources=resources).execute()
    code = [(a, b) for a, b in zip(stored.cells, fresh.cells, strict=True) if a.cell_type == "code"]
    assert all(a.execution_count for a, _ in code), "it is stored as it ran"
    for a, b in code:
        assert outputs_of(a) - {"stream"} == outputs_of(b) - {"stream"}, a.source
    shown = [b for _, b in code if b.outputs]
    assert len(shown) >= 4
    data = [output.get("data", {}) for cell in shown for output in cell.outputs]
    tables = [each["text/html"] for each in data if "text/html" in each]
    assert len(tables) >= 3
    assert "DIFFERS" not in "".join(tables)
    verdicts = tables[0]
    assert len(re.findall(r">same *<", verdicts)) >= 4, verdicts
    assert str(tmp_path) not in path.read_text("utf-8")
