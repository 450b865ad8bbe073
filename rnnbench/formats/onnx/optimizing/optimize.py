"""Improves an ONNX file: finds, rewrites, proves, writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.optimizing import passes
from rnnbench.formats.onnx.optimizing.findings import Finding, OptimizeReport, Outcome
from rnnbench.formats.onnx.optimizing.graph import Graph
from rnnbench.formats.onnx.optimizing.loading import Given, graph_of, load
from rnnbench.formats.onnx.optimizing.proving import Proof, Reference
from rnnbench.formats.onnx.optimizing.saving import refuse_same, save, save_copy
from rnnbench.formats.onnx.optimizing.shapes import forget_shapes


def optimize(path: str | Path, out: str | Path) -> OptimizeReport:
    """Writes a file that computes the same as another, its recurrences as fused operators.

    Args:
        path: an .onnx file, whoever wrote it; it is not written to.
        out: the new file.

    Raises:
        RnnbenchError: the file cannot be read or run, or `out` cannot be written.
    """
    source, target = Path(path), Path(out)
    given = load(source)
    refuse_same(source, target)
    work = _Work(given, given.proto)
    for module in passes.every():
        work.do(module)
    nodes = len(given.proto.graph.node), len(work.proto.graph.node)
    if any(f.done for f in work.findings):
        save(given, work.proto, target, work.made())
    else:
        save_copy(given, target)
    sizes = source.stat().st_size, target.stat().st_size
    return OptimizeReport(source, target, tuple(work.findings), nodes, sizes)


@dataclass
class _Work:
    """A file while it is rewritten.

    Attributes:
        given: as it was.
        proto: as it is by now.
        findings: of the passes so far.
    """

    given: Given
    proto: Any
    findings: list[Finding] = field(default_factory=list)
    _exact: dict[tuple[str, int], int] = field(default_factory=dict)
    _likely: tuple[int, ...] = ()
    _reference: Reference | None = None
    _made: set[str] = field(default_factory=set)
    _keep: frozenset[str] = frozenset()
    _key: tuple[Any, ...] = ()

    def do(self, module: Any) -> None:
        """One pass: what changes an output is left out, and the rest is tried again."""
        skipped: dict[str, str] = {}
        kept: list[Finding] = []
        self._keep = frozenset()
        while True:
            proto, graph, outcome = self._tried(module, frozenset(skipped))
            if outcome.frozen - self._keep:
                self._keep |= outcome.frozen
                continue
            if not outcome.places:
                self.findings += [*outcome.findings, *kept]
                return
            proof = self._compare(proto, outcome)
            if proof.ok:
                break
            failed = self._culprits(module, outcome, frozenset(skipped), str(proof))
            kept += [f.refused(failed[f.place]) for f in outcome.findings if f.place in failed]
            skipped |= failed
        self.findings += [f.proved(str(proof)) for f in outcome.findings] + kept
        self.proto = proto
        self._exact |= outcome.exact
        self._likely = tuple(dict.fromkeys((*self._likely, *outcome.likely)))
        self._made |= graph.added

    def made(self) -> set[str]:
        """The initializers that are new."""
        return self._made

    def _tried(self, module: Any, skip: frozenset[str]) -> tuple[Any, Graph, Outcome]:
        proto = type(self.proto)()
        proto.CopyFrom(self.proto)
        graph = graph_of(proto, self.given.path.parent)
        outcome: Outcome = module.find(graph, skip, self._keep)
        if outcome.places:
            graph.write_back()
            forget_shapes(self.proto, proto)
        return proto, graph, outcome

    def _compare(self, proto: Any, outcome: Outcome) -> Proof:
        """The rewritten file against the given one, at sizes that this can take."""
        exact = self._exact | outcome.exact
        likely = tuple(dict.fromkeys((*self._likely, *outcome.likely)))
        key = (frozenset(exact.items()), likely)
        if self._reference is None or key != self._key:
            folder = self.given.path.parent
            self._reference = Reference(self.given.proto, folder, exact, likely)
            self._key = key
        if self._reference.unknown:
            raise RnnbenchError(
                f"{self.given.path} cannot be run ({self._reference.why}), so that nothing can be "
                "proved: give a file that ONNX Runtime runs"
            )
        return self._reference.compare(proto)

    def _culprits(
        self, module: Any, outcome: Outcome, skip: frozenset[str], why: str
    ) -> dict[str, str]:
        """The places at which a pass changes an output: all where none does alone."""
        found = {}
        places = {*outcome.places}
        for place in outcome.places if len(places) > 1 else ():
            proto, _, alone = self._tried(module, skip | (places - {place}))
            proof = self._compare(proto, alone) if alone.places else None
            if proof is not None and not proof.ok:
                found[place] = str(proof)
        return found or dict.fromkeys(places, why)
