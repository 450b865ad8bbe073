"""One judge for several runtimes: what is allowed is worked out once, and the same for each."""

import numpy as np
import pytest

from rnnbench.cases.cases import layout_of
from rnnbench.cases.standard import Standard, standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.checking.runner import RunResult
from rnnbench.checking.verdicts import Judge
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.job import Job
from tests.helpers.handmade import make_bundle


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    bundle = make_bundle(tmp_path_factory.mktemp("bundle"))
    cases = {case.name: case for case in read_cases(bundle)}
    return bundle, cases, standard_of(layout_of(bundle, tuple(cases.values())), [*cases.values()])


def ran(cases, runtime, format, off=0.0):
    outputs = {
        name: {n: (array + off).astype(array.dtype) for n, array in case.eager.items()}
        for name, case in cases.items()
    }
    return RunResult(Job(runtime, format), outputs)


@pytest.mark.parametrize("off", [0.0, 1e-6, 1e-2])
def test_the_second_runtime_is_judged_as_by_a_judge_of_its_own(judged, monkeypatch, off):
    bundle, cases, standard = judged
    worked_out = []
    limit = Standard.limit
    monkeypatch.setattr(
        Standard, "limit", lambda *given: (worked_out.append(given[1:]), limit(*given))[1]
    )
    judge = Judge(bundle, cases, standard)
    for runtime, format in (("eager", "eager"), ("torchscript", "torchscript")):
        given = ran(cases, runtime, format, off)
        found = judge.judge(given)
        assert found == Judge(bundle, cases, standard).judge(given)
        wrong = {case.case for case in found if case.verdict == Verdict.DIFFERS}
        assert not wrong if off == 0 else wrong
    assert len(worked_out) == 3 * len(cases) * len(bundle.outputs)  # by three judges


def test_it_is_what_is_allowed_without_it(judged):
    _, cases, standard = judged
    for case in cases.values():
        for name, eager in case.eager.items():
            actual = (eager * np.float32(1.001)).astype(eager.dtype)
            known = standard.limit(case, name, 1.0)
            assert standard.compare(case, name, actual, 1.0, known) == standard.compare(
                case, name, actual, 1.0
            )
