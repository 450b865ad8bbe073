"""Commands that are stopped at a random moment: the old or the new result is there, whole."""

import os
import random
import signal
import sys
import time

import pytest
import torch

from rnnbench.benchmarking.results import read_file
from rnnbench.cases.stored import read_cases
from rnnbench.core.bundle import Bundle
from tests.faults.commands import VERBS, Workplace

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc"),
    pytest.mark.xdist_group("killed"),
]

SEED = int(os.environ.get("RNNBENCH_TEST_SEED", "0")) or random.SystemRandom().randrange(2**31)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
FEW, MANY = 12, 200


def moments(count, seed):
    """Verb, signal, and the share of the time that the verb takes; each as often."""
    chosen = random.Random(seed)
    verbs, signals = list(VERBS), list(SIGNALS)
    chosen.shuffle(signals)
    for i in range(count):
        yield verbs[i % len(verbs)], signals[(i // 2) % 3], round(chosen.uniform(0, 1), 4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Where every verb has run once, and how long each took."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    takes = {}
    for verb, words in VERBS.items():
        start = time.monotonic()
        code, out, err = place.run(*words)
        takes[verb] = time.monotonic() - start
        assert code == 0, (words, out, err)
    assert place.leftovers() == []
    return place, takes


def contents(place, verb):
    """What a verb has written, read as its readers do: it raises where that is not whole."""
    folder = place.folder
    if verb == "export":
        bundle = Bundle.open(folder / "out" / "net")
        cases = read_cases(bundle)
        assert sorted(p.name for p in bundle.path.iterdir()) == [
            *("cases.npz", "manifest.json", "model.onnx", "weights.pt")
        ]
        return len(cases)
    if verb == "check":
        return (folder / "check.xml").read_text().rstrip().endswith("</testsuites>")
    if verb == "train":
        state = torch.load(folder / "runs" / "hello-elman.pt", weights_only=True)
        return state.keys() >= {"weights", "epoch", "best"}
    if verb == "bench":
        found = sorted((folder / "benches").rglob("*.json"))
        return all(read_file(path) is not None for path in found)
    if verb == "embed":
        names = {path.name for path in (folder / "project").iterdir()}
        assert {"README.md", "model.json", "model.onnx", "golden"} <= names
        return True
    return True


def stopped_at(place, verb, number, seconds):
    process = place.start(*VERBS[verb])
    try:
        process.wait(seconds)
    except Exception:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def is_well(place, verb, number, seconds):
    """Stops a command, and looks at what is there then, and after the next command."""
    before = contents(place, verb)
    code, out, err = stopped_at(place, verb, number, seconds)
    said = verb, number, seconds, code, err[-2000:]
    if number == signal.SIGINT and "Fatal Python error: init_" in err:
        assert code == 1, said  # Python itself had not begun: none of our code ran
    else:
        assert code in (0, -number, 128 + number), said
    if number != signal.SIGKILL:
        assert "this is a bug" not in err, said
    assert contents(place, verb) == before, said
    assert place.orphans() == [], said
    if code == 128 + number:  # it has cleaned up by itself
        assert place.leftovers() == [], said
    code, out, err = place.run(*VERBS[verb])
    assert code == 0, (*said, out, err)
    assert contents(place, verb) == before, said
    assert place.leftovers() == [], said
    assert place.orphans() == [], said


@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", VERBS)
def test_at_twelve_moments(verb, finished, tmp_path):
    print(f"RNNBENCH_TEST_SEED={SEED}")
    first, takes = finished
    place = first.copy(tmp_path / "copy")
    for which, number, share in moments(FEW, SEED):
        if which == verb:
            is_well(place, verb, number, share * takes[verb])


@pytest.mark.full
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("verb", VERBS)
def test_at_two_hundred_moments(verb, finished, tmp_path):
    print(f"RNNBENCH_TEST_SEED={SEED}")
    first, takes = finished
    place = first.copy(tmp_path / "copy")
    for which, number, share in moments(MANY, SEED + 1):
        if which == verb:
            is_well(place, verb, number, share * takes[verb])
