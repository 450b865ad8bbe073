"""Where the arrays of a run lie in the workspace: those not needed at once share a place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy

_TYPICAL = 64  # of each size that is open, to compare arrays by
_STATEMENT = re.compile(r"    (?![ }])")  # a line that begins one of the function's own statements
_COMMENT = re.compile(r"\s*/\*.*\*/$")
_POINTER = re.compile(r"\*const \w+ = ")


@dataclass(frozen=True)
class Room:
    """An array in the workspace.

    Attributes:
        c_type: of its elements.
        item: the bytes of one.
        count: how many it has room for, as an expression of C.
        elements: the same as a number or an expression of SymPy.
    """

    c_type: str
    item: int
    count: str
    elements: Any

    @property
    def typical(self) -> int:
        """Its bytes where each open size is 64."""
        elements = sympy.sympify(self.elements)
        return self.item * int(elements.subs(dict.fromkeys(elements.free_symbols, _TYPICAL)))


@dataclass
class Place:
    """A place that some arrays have, one after the other.

    Attributes:
        rooms: the arrays, by name.
        needed: the statements from and to which each is needed.
    """

    rooms: dict[str, Room] = field(default_factory=dict)
    needed: list[tuple[int, int]] = field(default_factory=list)

    def sizes(self) -> list[str]:
        """The bytes of its arrays as expressions of C, none twice."""
        return list(dict.fromkeys(f"sizeof({r.c_type}), {r.count}" for r in self.rooms.values()))

    def is_free(self, first: int, last: int) -> bool:
        """Whether nothing has it from one statement to another."""
        return all(last < start or end < first for start, end in self.needed)


def places_of(rooms: Mapping[str, Room], lines: Sequence[str]) -> list[Place]:
    """Gives each array a place that nothing else needs while it is needed.

    An array is needed from the first of the function's statements that names it to the last one; a
    loop is one statement, so that what one step leaves for the next stays. The largest are placed
    first, each in the smallest place that is free.

    Args:
        rooms: the arrays, by name.
        lines: of the function, each statement of its own with an indent of 4.
    """
    needed = _needed(rooms, lines)
    places: list[Place] = []
    for name in sorted(rooms, key=lambda n: -rooms[n].typical):
        free = next((p for p in reversed(places) if p.is_free(*needed[name])), None)
        if free is None:
            free = Place()
            places.append(free)
        free.rooms[name] = rooms[name]
        free.needed.append(needed[name])
    return places


def _needed(rooms: Mapping[str, Room], lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The first and the last statement that names each array; (0, 0) where none does.

    To which array a pointer of another name leads is not followed: one that is pointed into is
    needed to the end.
    """
    needed: dict[str, tuple[int, int]] = {}
    statement = 0
    for line in lines:
        if _COMMENT.match(line):
            continue
        statement += bool(_STATEMENT.match(line))
        last = len(lines) if _POINTER.search(line) else statement
        for name in rooms.keys() & set(re.findall(r"\w+", line)):
            first, before = needed.get(name, (statement, statement))
            needed[name] = first, max(before, last)
    return dict.fromkeys(rooms, (0, 0)) | needed
