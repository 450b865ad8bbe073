"""What a damage could do to a result, the checks see: all in full, nearly all in quick.

`make full` tries every kind on every model, and 50 sound seeds of each; what CI tries is a sample
of them that is the same at every run.
"""

import collections

import numpy as np
import pytest
import torch

import rnnbench
from rnnbench import runtimes
from rnnbench.checking.check import check
from rnnbench.core import plugins
from rnnbench.core.verdicts import Verdict
from rnnbench.runtimes.known_gaps import known_gaps
from tests.attack import models, search
from tests.attack.on_torch import random_of
from tests.helpers import tiers

SAMPLE = 60
PAIRS = [(n, f, k) for n in models.NAMES for f, kinds in search.KINDS.items() for k in kinds]


@pytest.fixture(scope="module")
def target(shared):
    made = {}

    def of(name):
        if name not in made:
            model = models.build(name)
            bundle = shared.export(f"attacked {name}", lambda: model, tuple(search.KINDS))
            made[name] = search.Target(model, bundle)
        return made[name]

    return of


def attacked(target, pairs, folder):
    """Pair -> `quick`, `full`, `missed`, or `unseen` where nothing shows it, if it applies."""
    found = {}
    for name, format, kind in pairs:
        it, rng = target(name), random_of(name, format, kind)
        other = it.damaged(folder, format, kind, rng)
        if other is None:
            continue
        if it.catches(other, format, "quick"):
            found[name, format, kind] = "quick"
        elif it.catches(other, format, "full"):
            found[name, format, kind] = "full"
        else:
            seen = it.shows(other, format, rng)
            found[name, format, kind] = f"missed ({seen})" if seen else "unseen"
    return found


def report(found):
    counts = collections.Counter(how.partition(" ")[0] for how in found.values())
    lines = [f"{'/'.join(key)}: {how}" for key, how in found.items() if how != "quick"]
    return "\n".join([f"{dict(counts)}", *lines])


def assert_caught(found):
    print(report(found))
    assert not [how for how in found.values() if how.startswith("missed")], report(found)


def assert_quick_catches_nearly_all(found):
    seen = [how for how in found.values() if how != "unseen"]
    assert seen.count("quick") >= 0.95 * len(seen), report(found)


def test_there_are_enough_kinds_and_models():
    assert len({kind for kinds in search.KINDS.values() for kind in kinds}) >= 70
    assert len(models.NAMES) >= 12


def test_a_sample_of_damages(target, tmp_path):
    order = np.random.default_rng(0).permutation(len(PAIRS))
    pairs = [PAIRS[i] for i in order]
    found, size = {}, 0
    while len(found) < SAMPLE:
        found |= attacked(target, pairs[size : size + 10], tmp_path)
        size += 10
    assert_caught(found)
    assert_quick_catches_nearly_all(found)


@pytest.fixture(scope="module")
def every():
    """What became of all damages so far."""
    return {}


@pytest.mark.full
@pytest.mark.timeout(7200)
@pytest.mark.xdist_group("attack")
@pytest.mark.parametrize("name", models.NAMES)
def test_every_damage(target, tmp_path, every, name):
    found = attacked(target, [pair for pair in PAIRS if pair[0] == name], tmp_path)
    every |= found
    assert_caught(found)


@pytest.mark.full
@pytest.mark.xdist_group("attack")
def test_quick_catches_nearly_all_of_them(every):
    assert {name for name, _, _ in every} == set(models.NAMES)
    assert_quick_catches_nearly_all(every)


INSTALLED = [
    name
    for name in plugins.names("runtimes")
    if runtimes.get(name).judge and runtimes.get(name).missing() is None
]
PORTABLE = ("onnx", "torchscript", "pt2")
SEEDS, COMPILED = 50, 5  # and fewer where each shape is compiled
QUICK = [n for n in INSTALLED if n != "aoti" and runtimes.get(n).cost != "slow"]


@pytest.mark.full
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("name", models.NAMES)
def test_no_engine_is_blamed_without_a_reason(name, tmp_path):
    """Where an engine gives something else, it is known to compute a layer of the file wrong."""
    for seed in range(1, SEEDS + 1):
        few = seed <= COMPILED
        model = models.build(name, seed)
        bundle = rnnbench.export(model, (*PORTABLE, "aoti") if few else PORTABLE, tmp_path / "made")
        found = check(bundle, INSTALLED if few else QUICK, model=model)
        for row in found.rows:
            if row.verdict is Verdict.DIFFERS:
                path = bundle.artifacts[row.format].path
                told = f"{name}, seed {seed}: {row.runtime}, {row.output}: {row.reason}"
                assert known_gaps(row.runtime, path), told


@pytest.mark.parametrize("name", models.NAMES)
def test_sound_seeds_are_the_same(name, tmp_path):
    """No false alarm: the same network with other weights, exported and checked."""
    torch.manual_seed(0)
    seeds = tiers.samples(1, 50)
    for seed in range(1, seeds + 1):
        model = models.build(name, seed)
        bundle = rnnbench.export(model, ("onnx", "torchscript"), tmp_path / str(seed))
        found = check(bundle, isolate=False, model=model)
        wrong = [(r.format, r.output, r.reason) for r in found.rows if r.verdict.is_wrong]
        assert found.ok, f"seed {seed}: {wrong}"
