"""Names of variables in C."""

from __future__ import annotations

import re

_WORDS = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while inputs outputs workspace room base level mode off main abs exp log
    pow sin cos tan sqrt floor ceil round div index y0 y1 j0 j1 jn yn gamma
    """.split()  # noqa: SIM905
)


class Names:
    """The names of one function."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, stem: str) -> str:
        """A name that nothing else has."""
        stem = re.sub(r"\W", "_", stem).strip("_") or "v"
        stem = f"v_{stem}" if stem[0].isdigit() else stem
        name, count = stem, 1
        while name in self._taken or name in _WORDS:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name
