"""The tables of engines.md that are made from the adapters' records.

python docs/tables.py        writes them anew, between their marks
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rnnbench import runtimes
from rnnbench.core.gaps import LAYERS, WORDS, Gap
from rnnbench.core.markdown import table
from rnnbench.formats.onnx import DEFAULT_OPSET, IR_VERSION

PAGE = Path(__file__).with_name("engines.md")
ONLY = {"P": ("LSTM",), "input_forget": ("LSTM",), "linear_before_reset=0": ("GRU",), "": ("RNN",)}
"""Attribute -> the layers that can have it, where that is not all."""


def gap_table() -> str:
    """What a layer may have, by engine; an empty cell is right."""
    engines = {name: known for name, known in runtimes.every().items() if known.gaps}
    order = sorted(engines, key=lambda name: (name == "reference", name != "onnxruntime", name))
    head = ["a layer with", *(_version(engines[name].gaps) for name in order)]
    rows = [
        [_shown(attribute), *(_cell(attribute, engines[name].gaps) for name in order)]
        for attribute in WORDS
    ]
    return table(head, [row for row in rows if any(row[1:])])


def _version(gaps: Iterable[Gap]) -> str:
    (version,) = {gap.version for gap in gaps}
    return version.removeprefix("the ")


def _shown(attribute: str) -> str:
    return WORDS[attribute] if attribute else "(RNN itself)"


def _cell(attribute: str, gaps: Iterable[Gap]) -> str:
    """`**wrong** (GRU, LSTM) → right`; no layers are named where it is all that can have it."""
    groups: dict[str, list[str]] = {}
    for gap in gaps:
        if gap.attribute == attribute:
            does = "**wrong**" if gap.behaviour == "wrong" else "refused"
            where = " unless sizes are fixed" if gap.sizes == "dynamic" else ""
            mended = " → right" if gap.rewrite else ""
            groups.setdefault(f"{does}|{where}{mended}", []).append(gap.op)
    parts = []
    for text, ops in groups.items():
        does, rest = text.split("|")
        which = "" if tuple(ops) == ONLY.get(attribute, LAYERS) else f" ({', '.join(ops)})"
        parts.append(f"{does}{which}{rest}")
    return "; ".join(parts)


def release_table() -> str:
    """What each release of a runtime loads, and whether it loads what is written."""
    head = ["onnxruntime", "opset", "IR version", "`model.onnx`", "`--for onnxruntime==VERSION`"]
    rows = []
    for release in runtimes.get("onnxruntime").releases:
        loads = release.opset >= DEFAULT_OPSET and release.ir_version >= IR_VERSION
        written = f"opset {DEFAULT_OPSET}, IR {min(IR_VERSION, release.ir_version)}"
        said = "loads" if loads else f"**refused**: it has IR {IR_VERSION}"
        numbers = [f"up to {release.opset}", f"up to {release.ir_version}"]
        rows.append([release.tried, *numbers, said, written])
    return table(head, rows)


TABLES = {"gaps": gap_table, "releases": release_table}
_MARKED = re.compile(r"(<!-- made by docs/tables.py: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def current(text: str) -> str:
    """A page with its tables made anew."""
    return _MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[4]}", text)


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text("utf-8")), "utf-8")
