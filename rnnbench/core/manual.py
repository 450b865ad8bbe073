"""Where a page of the documentation lies: in a checkout, or beside what pip installed."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2] / "docs"


@cache
def page(name: str) -> str:
    """The path of a page, as `docs/inspect.md`; in full where only the package is installed."""
    if (_CHECKOUT / name).is_file():
        return f"docs/{name}"
    try:
        files = metadata.files("rnnbench") or ()
    except metadata.PackageNotFoundError:  # a plain copy of the package
        files = ()
    for file in files:
        if file.parts[-2:] == ("rnnbench", name):
            return str(Path(str(file.locate())).resolve())
    return f"docs/{name}"
