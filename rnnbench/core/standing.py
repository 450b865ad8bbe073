"""Folders that stand for a file while a verb works: in what is said, the file has its own name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ARTIFACT = r"(?:/model\.\w+)?"  # what the file is called there
_standing: dict[str, str] = {}


@contextmanager
def stands_for(folder: Path, path: Path) -> Iterator[None]:
    """While the block runs, `as_given` says the path where a text has the folder.

    Args:
        folder: a temporary bundle.
        path: the file that it was made of.
    """
    _standing[str(folder)] = str(path)
    try:
        yield
    finally:
        _standing.pop(str(folder), None)


def as_given(text: str) -> str:
    """A text with the names of files in the places of the folders that stand for them."""
    for folder, path in [*_standing.items()]:
        if folder in text:
            parts = re.split(re.escape(folder) + _ARTIFACT, text)
            text = path.join(parts)
    return text
