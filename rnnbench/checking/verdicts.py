"""One verdict for each case of each artifact in each runtime."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rnnbench import runtimes
from rnnbench.cases.allowance import FACTOR, Allowance
from rnnbench.cases.cases import Case
from rnnbench.cases.standard import Standard
from rnnbench.cases.tolerance import Difference
from rnnbench.checking.by_itself import compared_with_itself
from rnnbench.checking.runner import LOADING, RunResult
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.verdicts import Verdict
from rnnbench.core.whole import write_file
from rnnbench.models.precision import LOUD, coarseness_when_loud

NOT_PROVED = "float32 has no digits left: the module's own noise is as large as its values"
"""Why a case that is equal proves nothing."""


NO_REFERENCE = "what it is to give cannot be worked out there, or is not the module's"
"""Why a file that rounds values is not judged at a case."""

STREAMED, ALONE = "when streamed", "in a batch"
"""How something was fed that differs so alone."""


@dataclass(frozen=True)
class CaseResult:
    """One case of one artifact in one runtime.

    Attributes:
        model: the bundle's name.
        format: of the artifact.
        runtime: with its mode and device.
        case: its name.
        seed: of its random inputs.
        verdict: `same`, `DIFFERS`, `failed`, `limit` or `not run`.
        reason: what is wrong, in one line.
        outputs: what was compared, by the name of the output.
        fed: how, where not at once: `when streamed` or `in a batch` (each row alone).
        repeat: the command that runs exactly this again, where something is wrong.
        enlarged: whether its inputs or states are unusually large, so that its errors say nothing
            of those in use.
    """

    model: str
    format: str
    runtime: str
    case: str
    seed: int
    verdict: Verdict
    reason: str = ""
    outputs: dict[str, Difference] = field(default_factory=dict)
    repeat: str = ""
    enlarged: bool = False
    fed: str = ""


_KEPT = 2**26
"""Bytes of limits that are kept for the next runtime: a vocabulary's would double the memory."""


def _size_of(limit: Allowance | None) -> int:
    return 0 if limit is None else limit.allowed.nbytes + limit.unproved.nbytes


@dataclass(frozen=True)
class Judge:
    """Compares what ran with the references.

    Attributes:
        bundle: what is judged.
        cases: by name.
        standard: by what.
        unrounded: whether what ran is a file without its rounding of values, if it has any.
    """

    bundle: Bundle
    cases: Mapping[str, Case]
    standard: Standard
    unrounded: bool = False
    _limits: dict[tuple[str, str, float, bool], Allowance | None] = field(default_factory=dict)

    def judge(self, ran: RunResult) -> list[CaseResult]:
        """A result for each case that ran; one alone where nothing was loaded."""
        if ran.unavailable:
            return [self._result(ran, "*", Verdict.NOT_RUN, ran.unavailable)]
        if "loading" in ran.errors and not ran.outputs:
            return [self._result(ran, "*", Verdict.FAILED, ran.errors[LOADING])]
        return [
            self._case(ran, case)
            for name, case in self.cases.items()
            if name in ran.outputs or name in ran.errors
        ]

    def save_failures(self, ran: RunResult, results: Sequence[CaseResult], folder: Path) -> None:
        """Writes the inputs, the outputs and the references of each case that is wrong.

        Raises:
            RnnbenchError: the folder cannot be written to.
        """
        for result in results:
            if not result.verdict.is_wrong or result.case not in self.cases:
                continue
            case = self.cases[result.case]
            parts = {
                "in": case.inputs,
                "out": ran.outputs.get(case.name, {}),
                "ref": case.reference,
                "eager": case.eager,
            }
            name = "-".join((result.model, result.format, result.runtime, result.case))
            path = folder / f"{re.sub(r'[^A-Za-z0-9=.,_-]', '-', name)}.npz"
            arrays = {
                f"{p}/{n}": array for p, source in parts.items() for n, array in source.items()
            }
            try:
                folder.mkdir(parents=True, exist_ok=True)
                whole = io.BytesIO()
                np.savez_compressed(whole, **arrays)  # type: ignore[arg-type]
                write_file(path, whole.getvalue())
            except OSError as error:
                raise RnnbenchError(
                    f"cannot write {path} ({error.strerror}): give another --save-failures"
                ) from None

    def _case(self, ran: RunResult, case: Case) -> CaseResult:
        outputs = ran.outputs.get(case.name)
        if outputs is None:
            return self._wrong(ran, case, Verdict.FAILED, ran.errors[case.name])
        missing = [name for name in self.bundle.outputs if name not in outputs]
        coarseness = runtimes.get(ran.job.runtime).coarseness_on(ran.job.device)
        rounds = self.rounds(ran)
        if rounds and case.rounded is None:
            return self._result(ran, case.name, Verdict.NOT_JUDGED, NO_REFERENCE)
        if rounds and case.scale >= LOUD:
            loud = coarseness_when_loud(self.bundle.manifest.get("precision"))
            coarseness = max(coarseness, loud)
        plain, case = case, case.as_rounded() if rounds else case
        standard = self._standard(ran)
        compared = {
            name: standard.compare(
                *(case, name, outputs[name], coarseness),
                self._limit(standard, case, name, coarseness, rounds),
            )
            for name in self.bundle.outputs
            if name in outputs
        }
        if rounds and self._fed(case.name):
            at_once = ran.outputs.get(case.of, {})
            compared |= compared_with_itself(standard, plain, outputs, at_once, coarseness)
        if missing:
            why = f"there is no output {missing[0]!r}"
            return self._wrong(ran, case, Verdict.FAILED, why, compared)
        off = {name: d.reason for name, d in compared.items() if d.reason}
        if off:
            name, why = next(iter(off.items()))
            return self._wrong(ran, case, Verdict.DIFFERS, f"{name}: {why}", compared)
        if not any(difference.proves for difference in compared.values()):
            return self._result(ran, case.name, Verdict.NOT_JUDGED, NOT_PROVED, compared)
        return self._result(ran, case.name, Verdict.SAME, "", compared)

    def rounds(self, ran: RunResult) -> bool:
        """Whether what ran is a file that rounds values to whole numbers."""
        artifact = self.bundle.artifacts.get(ran.job.format)
        return artifact is not None and artifact.rounds and not self.unrounded

    def _fed(self, case: str) -> str:
        if case not in self.cases:
            return ""
        mode = self.cases[case].feed_mode
        if mode.chunks:
            return STREAMED
        return ALONE if mode.interleaved else ""

    def _standard(self, ran: RunResult) -> Standard:
        """The rule; the module itself computes with floats, however coarse a file is."""
        if ran.job.format != "eager" or self.standard.coarseness == 1:
            return self.standard
        return replace(self.standard, coarseness=1.0)

    def _limit(
        self, standard: Standard, case: Case, name: str, coarseness: float, rounds: bool
    ) -> Allowance | None:
        """What any runtime that is as coarse may be off by: worked out once for all of them.

        What takes more than there is room for is worked out for each.
        """
        key = case.name, name, max(coarseness, standard.coarseness), rounds
        if key in self._limits:
            return self._limits[key]
        limit = standard.limit(case, name, coarseness)
        if limit is None or sum(map(_size_of, self._limits.values()), _size_of(limit)) <= _KEPT:
            self._limits[key] = limit
        return limit

    def _wrong(
        self,
        ran: RunResult,
        case: Case,
        verdict: Verdict,
        why: str,
        compared: dict[str, Difference] | None = None,
    ) -> CaseResult:
        """What is wrong at no rows or no steps at all is a limit of the runtime, to be known."""
        if not case.empty:
            return self._result(ran, case.name, verdict, why, compared)
        nothing = " and ".join(f"{dim}=0" for dim, size in case.dims.items() if size == 0)
        dies = "ends its process" if case.name in ran.deaths else "has no right answer"
        said = f"{dies} at {nothing}, where the module gives a result: never give it that ({why})"
        return self._result(ran, case.name, Verdict.LIMIT, said)

    def _result(
        self,
        ran: RunResult,
        case: str,
        verdict: Verdict,
        reason: str,
        compared: dict[str, Difference] | None = None,
    ) -> CaseResult:
        job, seed = ran.job, self.cases[case].seed if case in self.cases else 0
        repeat = ""
        if verdict.is_wrong:
            only = f" --only {case}" if case in self.cases else ""
            times = self.standard.factor
            factor = "" if times == FACTOR else f" --factor {times:g}"
            repeat = f"rnnbench check {self.bundle.path} --runtime {job.label}{only}{factor}"
        given = (self.bundle.name, job.format, job.label, case, seed, verdict, reason)
        enlarged = case in self.cases and self.cases[case].scale > 1
        return CaseResult(*given, compared or {}, repeat, enlarged, self._fed(case))
