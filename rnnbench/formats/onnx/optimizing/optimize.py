"""Improves an ONNX file: finds, rewrites, proves, writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.inference import sizes
from rnnbench.formats.onnx.optimizing import passes
from rnnbench.formats.onnx.optimizing.branches import (
    Way,
    graph_at,
    graphs_along,
    taken,
    ways,
    write_back,
)
from rnnbench.formats.onnx.optimizing.findings import Finding, OptimizeReport, Outcome
from rnnbench.formats.onnx.optimizing.for_engine import check, for_engine
from rnnbench.formats.onnx.optimizing.graph import Graph, is_standard
from rnnbench.formats.onnx.optimizing.loading import Given, load, nodes
from rnnbench.formats.onnx.optimizing.proving import Proof, Reference
from rnnbench.formats.onnx.optimizing.saving import refuse_same, save, save_copy
from rnnbench.formats.onnx.optimizing.setting import written_down
from rnnbench.formats.onnx.optimizing.shapes import forget_shapes
from rnnbench.formats.onnx.wrong_shapes import correct, shown, wrong_shapes

_ABOUT = ("RNN", "GRU", "LSTM", "Scan", "Loop", "If", "MatMul", "Gemm")


def optimize(
    path: str | Path,
    out: str | Path,
    values: Mapping[str, float] | None = None,
    profile: str | None = None,
) -> OptimizeReport:
    """Writes a file that computes the same as another, its recurrences as fused operators.

    Args:
        path: an .onnx file, whoever wrote it; it is not written to.
        out: the new file.
        values: inputs that are one number, which is written down.
        profile: for whom the new file is written, see `rnnbench.formats.onnx.profiles`.

    Raises:
        RnnbenchError: the file cannot be read or run, or `out` cannot be written.
    """
    source, target = Path(path), Path(out)
    given = load(source)
    if profile is not None:
        check(profile)
    refuse_same(source, target)
    proto, findings = written_down(given, values or {})
    work = _Work(given, proto, proto, findings)
    for module in passes.every():
        done: set[Way] = set()
        while (way := _next(work.proto, done)) is not None:
            work.do(module, way)
            done.add(way)
    work.declare()
    if profile is None:
        work.save(target)
        last = work.proto
    else:
        with temporary_folder() as folder:
            work.save(Path(folder) / "optimized.onnx")
            last, said = for_engine(given, Path(folder) / "optimized.onnx", target, profile)
        work.findings.append(said)
    before, after = (sum(1 for _ in nodes(p.graph)) for p in (given.proto, last))
    large = source.stat().st_size, target.stat().st_size
    return OptimizeReport(source, target, tuple(work.findings), (before, after), large)


def _next(proto: Any, done: set[Way]) -> Way | None:
    """The graph of a file, then each branch that has anything that a pass may be about."""
    for way in ((), *ways(proto.graph)):
        own = graph_at(proto.graph, way).node
        if way not in done and (not way or any(is_standard(n, *_ABOUT) for n in own)):
            return way
    return None


@dataclass
class _Work:
    """A file while it is rewritten.

    Attributes:
        given: as it was.
        proto: as it is by now.
        before: what that is compared with: as it was given, or as it was when a branch had been
            rewritten, which is compared by itself.
        findings: of the passes so far.
    """

    given: Given
    proto: Any
    before: Any
    findings: list[Finding] = field(default_factory=list)
    _exact: dict[tuple[str, int], int] = field(default_factory=dict)
    _likely: tuple[int, ...] = ()
    _reference: Reference | None = None
    _made: set[str] = field(default_factory=set)
    _keep: frozenset[str] = frozenset()
    _key: tuple[Any, ...] = ()

    @cached_property
    def _has_unread(self) -> bool:
        return Graph(self.given.proto.graph, self.given.opset, self.given.path.parent).has_unread

    def do(self, module: Any, way: Way) -> None:
        """One pass over the graph, or over a branch in it.

        What changes an output is left out, and the rest is tried again.
        """
        skipped: dict[str, str] = {}
        kept: list[Finding] = []
        self._keep = frozenset()
        while True:
            proto, graph, outcome = self._tried(module, way, frozenset(skipped))
            if outcome.frozen - self._keep:
                self._keep |= outcome.frozen
                continue
            if not outcome.places:
                self._note(way, [*outcome.findings, *kept])
                return
            proof = self._compare(proto, way, outcome)
            if proof.ok:
                break
            failed = self._culprits(module, way, outcome, frozenset(skipped), str(proof))
            kept += [f.refused(failed[f.place]) for f in outcome.findings if f.place in failed]
            skipped |= failed
        self._note(way, [*(f.proved(str(proof)) for f in outcome.findings), *kept])
        self.proto = proto
        self._made |= graph.added
        if way:
            self.before, self._exact, self._likely, self._reference = proto, {}, (), None
        else:
            self._exact |= outcome.exact
            self._likely = tuple(dict.fromkeys((*self._likely, *outcome.likely)))

    def _note(self, way: Way, findings: list[Finding]) -> None:
        if way:
            said = f", in the {way[-1][1]} of {way[-1][0]}"
            findings = [replace(f, found=f.found + said) for f in findings]
        self.findings += findings

    def declare(self) -> None:
        """Of a new file, values are declared as they are; what was not is said."""
        if not any(f.done for f in self.findings):
            return
        cases = self._reference.cases if self._reference is not None else []
        seen = {o.name: [out[o.name].shape for *_, out in cases] for o in self.proto.graph.output}
        correct(self.proto, wrong_shapes(self.proto, seen))
        graph = self.proto.graph
        known = {v.name: v.type.tensor_type for v in (*graph.value_info, *graph.output)}
        proof = f"{len(cases)} runs" if cases else "as ONNX infers it"
        for wrong in wrong_shapes(self.given.proto, seen):
            now = shown(sizes(known[wrong.name])) if wrong.name in known else "no longer declared"
            found = f"declared as {shown(wrong.declared)}"
            self.findings.append(Finding(wrong.name, found, True, now, proof))

    def save(self, out: Path) -> None:
        """Writes the file as it is by now; a copy where nothing was done."""
        if any(f.done for f in self.findings):
            save(self.given, self.proto, out, self._made)
        else:
            save_copy(self.given, out)

    def _tried(self, module: Any, way: Way, skip: frozenset[str]) -> tuple[Any, Graph, Outcome]:
        proto = type(self.proto)()
        proto.CopyFrom(self.proto)
        graphs = graphs_along(proto, way, self.given.path.parent)
        graphs[-1].has_unread = self._has_unread
        outcome: Outcome = module.find(graphs[-1], skip, self._keep)
        if outcome.places:
            write_back(graphs)
            forget_shapes(self.proto, proto)
        return proto, graphs[-1], outcome

    def _compare(self, proto: Any, way: Way, outcome: Outcome) -> Proof:
        """The rewritten file against the one before, at sizes that this can take.

        That of a branch where it is always taken: no input may be such that it is.
        """
        if way:
            return self._compare_branch(proto, way, outcome)
        exact = self._exact | outcome.exact
        likely = tuple(dict.fromkeys((*self._likely, *outcome.likely)))
        key = (frozenset(exact.items()), likely)
        if self._reference is None or key != self._key:
            folder = self.given.path.parent
            self._reference = Reference(self.before, folder, exact, likely)
            self._key = key
        if self._reference.unknown:
            raise RnnbenchError(
                f"{self.given.path} cannot be run ({self._reference.why}), so that nothing can be "
                "proved: give a file that ONNX Runtime runs"
            )
        return self._reference.compare(proto)

    def _compare_branch(self, proto: Any, way: Way, outcome: Outcome) -> Proof:
        folder = self.given.path.parent
        before, after = (taken(p, way, folder) for p in (self.proto, proto))
        if before is None or after is None:
            return Proof(0, 0.0, "its branch cannot be run by itself")
        plain, names = before
        exact = {(names.get(v, v), axis): n for (v, axis), n in outcome.exact.items()}
        reference = Reference(plain, folder, exact, outcome.likely)
        return reference.compare(after[0], (self.given.proto, proto))

    def _culprits(
        self, module: Any, way: Way, outcome: Outcome, skip: frozenset[str], why: str
    ) -> dict[str, str]:
        """The places at which a pass changes an output: all where none does alone."""
        found = {}
        places = {*outcome.places}
        for place in outcome.places if len(places) > 1 else ():
            proto, _, alone = self._tried(module, way, skip | (places - {place}))
            proof = self._compare(proto, way, alone) if alone.places else None
            if proof is not None and not proof.ok:
                found[place] = str(proof)
        return found or dict.fromkeys(places, why)
