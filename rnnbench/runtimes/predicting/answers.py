"""What `run` prints, as text and as JSON, and how arrays are said without their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnbench.core.documents import document, plain
from rnnbench.core.model import Arrays
from rnnbench.core.shown import Part, Shown
from rnnbench.core.text import harmless_lines
from rnnbench.core.whole import whole_file


@dataclass(frozen=True, repr=False)
class Answer(Shown):
    """What came out.

    Attributes:
        text: for people.
        values: the same for programs, as JSON values.
        notes: remarks that are not part of the answer.
    """

    text: str
    values: Any
    notes: tuple[str, ...] = ()

    def parts(self) -> list[Part]:
        """What came out."""
        return [*self.text.split("\n"), *self.notes]

    def to_markdown(self) -> str:
        """The same as a block of text."""
        return f"```text\n{self.text}\n```"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(harmless_lines(self.text))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """What `run --json` prints."""
        found: dict[str, Any] = document("run", self.values)
        return found


def facts_of(array: NDArray[Any]) -> dict[str, Any]:
    """What is said of an array in the place of its numbers."""
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array.reshape(-1)
    facts = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if finite.size:
        facts |= {"least": plain(finite.min().item()), "greatest": plain(finite.max().item())}
    wrong = array.size - finite.size
    return facts | ({"not_finite": int(wrong)} if wrong else {})


def summary(named: tuple[str, NDArray[Any]]) -> str:
    """`y float32[1, 16, 3]: -0.21 to 0.98`."""
    name, array = named
    facts = facts_of(array)
    said = f"{name} {facts['dtype']}{facts['shape']}"
    if "least" in facts:
        said += f": {facts['least']:.6g} to {facts['greatest']:.6g}"
    return said + (f", {facts['not_finite']} not finite" if "not_finite" in facts else "")


def save_arrays(outputs: Arrays, path: Path) -> None:
    """Writes all or nothing: a file that was there stays until the new one is whole."""
    with whole_file(path, "give another --save") as file:
        np.savez(file, **outputs)  # type: ignore[arg-type]
