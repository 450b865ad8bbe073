"""What was found in a file, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rnnbench.core.shown import Part, Shown, Table


@dataclass(frozen=True)
class Finding:
    """One recurrence, or one place around it.

    Attributes:
        place: what it is called in the file.
        found: what it is.
        done: whether it was rewritten.
        result: what it became; of what stays, why.
        proof: how that was proved; empty where nothing was done.
    """

    place: str
    found: str
    done: bool
    result: str
    proof: str = ""

    def proved(self, by: str) -> Finding:
        """The same with one more proof, where something was done."""
        if not self.done:
            return self
        return replace(self, proof="; ".join(filter(None, (by, self.proof))))

    def refused(self, why: str) -> Finding:
        """The same, left as it was."""
        return replace(self, done=False, result=why, proof="")


@dataclass
class Outcome:
    """What a pass did to a graph.

    Attributes:
        findings: in the order of the file.
        exact: (value, axis) -> the size that it must have for both files to compute the same: the
            given one reads no more steps, and no fewer.
        origins: value that is new -> the one that it is of, and which axis of that each of its is.
        likely: sizes that some dimension may have to have for that.
        frozen: places whose steps are read one by one: they have to be as many as they were.
    """

    findings: list[Finding] = field(default_factory=list)
    exact: dict[tuple[str, int], int] = field(default_factory=dict)
    origins: dict[str, tuple[str, tuple[int | None, ...]]] = field(default_factory=dict)
    likely: tuple[int, ...] = ()
    frozen: frozenset[str] = frozenset()

    def require(self, value: str, axis: int, size: int) -> None:
        """Notes that a value must have a size, or what it is of."""
        while value in self.origins:
            value, axes = self.origins[value]
            own = axes[axis] if axis < len(axes) else None
            if own is None:
                return
            axis = own
        self.exact[value, axis] = size

    @property
    def places(self) -> tuple[str, ...]:
        """Those where something was changed."""
        return tuple(f.place for f in self.findings if f.done)


@dataclass(frozen=True, repr=False)
class OptimizeReport(Shown):
    """What `optimize` found in a file, and what it did.

    Attributes:
        path: the given file.
        out: the new one.
        findings: a row for each recurrence and rewrite.
        nodes: before and after, with those in branches and bodies.
        bytes: of the file before and after, external data apart.
    """

    path: Path
    out: Path
    findings: tuple[Finding, ...]
    nodes: tuple[int, int]
    bytes: tuple[int, int]

    @property
    def changed(self) -> bool:
        """Whether the new file is another than the given one."""
        return any(f.done for f in self.findings)

    def parts(self) -> Iterable[Part]:
        """The table, then the sizes."""
        heads = ["where", "found", "done", "result, or why not", "proof"]
        rows = [
            [f.place, f.found, "yes" if f.done else "no", f.result, f.proof] for f in self.findings
        ]
        if rows:
            yield Table(heads, rows, ("proof", "where"))
        else:
            yield "nothing found that could be improved"
        yield ""
        if self.changed:
            (n, m), (b, c) = self.nodes, self.bytes
            yield f"{self.out}: {n:,} -> {m:,} nodes, {b:,} -> {c:,} bytes"
        else:
            yield f"{self.out}: a copy of {self.path}, byte for byte"

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "path": str(self.path),
            "out": str(self.out),
            "changed": self.changed,
            "nodes": list(self.nodes),
            "bytes": list(self.bytes),
            "findings": [vars(f) for f in self.findings],
        }
