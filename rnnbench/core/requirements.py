"""What must be installed, and the one line that says what is not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec


def not_installed(requires: Mapping[str, str]) -> str | None:
    """The line on what is missing; None where nothing is. Nothing is imported.

    Args:
        requires: module -> the distribution that brings it.
    """
    missing = [package for module, package in requires.items() if not _found(module)]
    if not missing:
        return None
    return f"{missing[0]} is not installed: pip install {' '.join(missing)}"


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the namespace
        return False
