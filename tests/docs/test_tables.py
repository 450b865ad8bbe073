"""The tables of docs/ that are made from records are those of today's records."""

import importlib.util

from tests.docs.pages import DOCS

SPEC = importlib.util.spec_from_file_location("docs_tables", DOCS / "tables.py")
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)


def test_the_tables_are_current():
    page = tables.PAGE.read_text("utf-8")
    assert page.count("<!-- made by docs/tables.py: ") == len(tables.TABLES)
    assert tables.current(page) == page  # else: python docs/tables.py


def test_a_cell_says_which_layers_and_what_becomes_of_them():
    text = tables.gap_table()
    assert "| clip |" in text
    assert "**wrong** (RNN) → right; **wrong** (GRU, LSTM)" in text
    assert "| 1.17.3 | up to 20 | up to 9 | **refused**: it has IR 10 |" in tables.release_table()
