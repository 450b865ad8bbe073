"""Whether a damage can be seen at all: a search by size, magnitude and lengths."""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from time import process_time

import numpy as np

from rnnbench.cases.cases import layout_of, make_cases
from rnnbench.cases.plans import Plan
from rnnbench.cases.standard import standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.checking.case_selection import CaseSelection, gather
from rnnbench.checking.runner import run_jobs
from rnnbench.checking.verdicts import Judge
from rnnbench.checking.weights import prove_weights
from rnnbench.core.bundle import Bundle
from rnnbench.runtimes.job import Job, load
from tests.attack import on_onnx, on_torch
from tests.helpers import tiers

RUNTIMES = {"onnx": "onnxruntime", "torchscript": "torchscript", "pt2": "pt2"}
KINDS = {"onnx": tuple(on_onnx.KINDS), **on_torch.KINDS}
_SECONDS = tiers.samples(3, 30)  # of CPU that a search may take
_MOST = 40_000  # rows times steps of one try


@dataclass
class Target:
    """A model with its sound bundle, and all that its checks need, made once."""

    model: object
    bundle: Bundle

    @cached_property
    def cases(self):
        found = {}
        for kind in ("quick", "full"):
            selection = CaseSelection(kind, empty=False)
            found[kind] = gather(self.bundle, selection, self.model).cases
        return found

    def judge(self, kind):
        cases = self.cases[kind]
        layout = layout_of(self.bundle, cases)
        standard = standard_of(layout, read_cases(self.bundle))
        return cases, layout, Judge(self.bundle, {case.name: case for case in cases}, standard)

    def damaged(self, folder, format, kind, rng):
        """A copy of the bundle with one artifact damaged; None where the kind does not apply."""
        target = folder / self.bundle.path.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.bundle.path, target)
        other = Bundle.open(target)
        path = other.artifacts[format].path
        if format == "onnx":
            applies = on_onnx.damage(path, kind, rng)
        elif format == "pt2":
            applies = on_torch.damage_pt2(path, kind, rng)
        else:
            layout = layout_of(self.bundle, self.cases["quick"])
            axes = [
                {"batch": layout.batch_axes.get(n), "time": layout.time_axes.get(n)}
                for n in other.outputs
            ]
            axes = [{d: a for d, a in dims.items() if a is not None} for dims in axes]
            sizes = self.bundle.traced
            applies = on_torch.damage_torchscript(path, kind, rng, self.model, sizes, axes)
        return other if applies else None

    def catches(self, other, format, kind):
        """Whether a check with these cases fails, of outputs and of weights, in one runtime."""
        job = _job(other, format)
        cases, layout, judge = self.judge(kind)
        # The cheap ones first: most damages are seen at once.
        for part in (cases[:6], cases[6:]):
            work = {job: part}
            (ran,) = run_jobs(other, work, layout, None)
            if any(result.verdict.is_wrong for result in judge.judge(ran)):
                return True
        proofs = prove_weights(other, [job], None, partial(nullcontext, self.model))
        return any(row.verdict.is_wrong for _, row, _ in proofs)

    def shows(self, other, format, rng):
        """Whether some input makes an output off by more than twice what is allowed."""
        sound, broken = load(_job(self.bundle, format)), _loaded(_job(other, format))
        if isinstance(broken, str):
            return broken
        layout = layout_of(self.bundle, self.cases["quick"])
        standard = standard_of(layout, read_cases(self.bundle))
        twice = replace(standard, factor=2 * standard.factor)
        start, tries = process_time(), 0
        while process_time() - start < _SECONDS:
            plan = _plan(self.model, rng, tries)
            tries += 1
            made = make_cases(self.model, [plan]).cases
            if not made:
                continue
            (case,) = made
            try:
                given = broken(case.inputs)
            except Exception as error:
                return f"fails at {plan.name}: {error}"[:200]
            expected = sound(case.inputs)
            if all(np.array_equal(given[n], expected[n], equal_nan=True) for n in expected):
                continue
            for name in expected:
                if twice.compare(case, name, given[name], 4.0).reason:
                    return plan.name
        return None


def _job(bundle, format):
    return Job(RUNTIMES[format], format, bundle.artifacts[format].path, bundle.path)


def _loaded(job):
    try:
        return load(job)
    except Exception as error:
        return f"cannot be loaded: {error}"[:200]


def _plan(model, rng, tries):
    """Sizes over their whole range, evenly by their logarithms, and inputs as large as 300."""
    dims = dict.fromkeys(model.dims, 1)
    for dim in dims:
        most = 24 if dim == model.batch_dim else 4097
        dims[dim] = int(np.round(np.exp(rng.uniform(0, np.log(most)))))
        if dim != model.batch_dim and rng.random() < 0.3:  # around the sizes of blocks
            dims[dim] = int(2 ** rng.integers(0, 13)) + int(rng.integers(-1, 2))
        dims[dim] = max(dims[dim], 1)
    while np.prod(list(dims.values()), dtype=float) > _MOST:
        dims = {dim: max(size // 2, 1) for dim, size in dims.items()}
    kinds = ("random", "random", "x3", "x30", "x300")
    lengths = ("random", "random", "full", "one", "equal", "tail")
    has = {spec.role for spec in model.inputs}
    return Plan(
        f"try {tries}: {dims}",
        model.fit(dims),
        int(rng.integers(2**31)),
        "of a search",
        inputs=str(rng.choice(kinds)),
        state=str(rng.choice(kinds)) if "state" in has else "random",
        lengths=str(rng.choice(lengths)) if "lengths" in has else "random",
    )
