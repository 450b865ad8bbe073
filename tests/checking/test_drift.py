"""A long sequence in chunks: a wrong runtime is told apart from a model that drifts itself."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rnnbench.checking.drift import bins, drift, format_drift
from rnnbench.checking.drift.plot import plot_drift
from rnnbench.commands.check import command
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError
from tests.helpers import handmade
from tests.helpers.tiers import samples


def wrong_weight(proto):
    r = handmade.initializer(proto, "R")
    r[0, -1, 0] += 0.01
    handmade.replace_initializer(proto, "R", r)


def wrong_gates(proto):
    r = handmade.initializer(proto, "R")[:, ::-1]
    handmade.replace_initializer(proto, "R", r)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return handmade.make_bundle(tmp_path_factory.mktemp("sound"))


def verdicts(report):
    return {(line.format, line.runtime): line.verdict for line in report.lines}


def test_sound_artifacts_stay_at_the_floor(sound):
    report = drift(sound, 3000, ["onnxruntime", "torchscript"], chunk=128)
    assert report.ok, format_drift(report)
    assert verdicts(report) == {
        ("eager", "float32"): "floor",
        ("onnx", "onnxruntime"): "same",
        ("torchscript", "torchscript"): "same",
    }
    assert report.notes == ()
    assert report.ends[-1] == 3000
    assert all(len(line.errors) == len(report.ends) for line in report.lines)
    assert "to step 1,000" in format_drift(report)
    assert json.loads(json.dumps(report.to_json()))["ok"]


def test_the_size_of_the_chunks_does_not_matter(sound):
    eager = [drift(sound, 60, ["onnxruntime"], chunk=n).lines[1].verdict for n in (1, 7, 60)]
    assert eager == ["same"] * 3


def test_a_wrong_runtime_differs_and_the_others_do_not(tmp_path):
    report = drift(handmade.make_bundle(tmp_path, edit=wrong_weight), 300)
    found = verdicts(report)
    assert found["onnx", "onnxruntime"] == "DIFFERS", format_drift(report)
    assert found["torchscript", "torchscript"] == "same"
    assert next(line.first for line in report.lines if line.format == "onnx") <= 10
    assert not report.ok


@pytest.mark.parametrize("seed", range(samples(2, 40)))
def test_a_chaotic_model_is_told_apart(tmp_path, seed):
    bundle = handmade.make_bundle(tmp_path, seed=seed, hidden=64, scale=12.0)
    report = drift(bundle, 500, seed=seed)
    assert report.ok, format_drift(report)
    assert "The model itself drifts" in report.notes[0]
    worse = handmade.make_bundle(
        tmp_path / "worse", seed=seed, hidden=64, scale=12.0, edit=wrong_gates
    )
    found = verdicts(drift(worse, 500, ["onnxruntime"], seed=seed))
    assert found["onnx", "onnxruntime"] == "DIFFERS"


def test_without_the_code_the_runtimes_are_compared_and_not_judged(sound):
    manifest = dict(sound.manifest) | {"source": {}}
    report = drift(Bundle(sound.path, manifest), 50)
    assert "for want of the module in float64" in report.reference
    assert {line.verdict for line in report.lines} == {"not judged"}
    assert not report.ok


def test_a_model_without_states_is_one_line(sound):
    with pytest.raises(RnnbenchError, match="no states to carry"):
        drift(Bundle(sound.path, dict(sound.manifest) | {"states": {}}), 50)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 1000, 12345])
def test_bins_end_at_powers_of_ten(steps):
    ends = bins(steps)
    assert list(ends) == sorted(set(ends))
    assert ends[-1] == steps
    assert all(10**k in ends for k in range(6) if 10**k <= steps)


def test_memory_does_not_depend_on_the_length(sound):
    """Twenty times the steps take less memory than those steps would."""
    script = (
        "import sys, torch; from rnnbench.checking.drift import drift;"
        "from rnnbench.benchmarking.measuring.coldstart import peak_memory;"
        "before = peak_memory(); drift(sys.argv[1], int(sys.argv[2]), ['onnxruntime'], chunk=500);"
        "print(before, peak_memory())"
    )

    def peak(steps):
        words = [sys.executable, "-c", script, str(sound.path), str(steps)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return [int(word) / 2**20 for word in done.stdout.split()]

    (_, short), (imported, long) = peak(1000), peak(20000)
    assert long < short + 20, f"{short:.0f} MB at 1,000 steps, {long:.0f} MB at 20,000"
    assert long < imported + 50, f"{imported:.0f} MB with torch imported, {long:.0f} MB at the end"


def test_the_plot_is_a_picture(sound, tmp_path):
    pytest.importorskip("matplotlib", reason='pip install "rnnbench[plot]"')
    target = tmp_path / "drift.png"
    words = [str(sound.path), "--drift", "50", "--runtime", "onnxruntime", "--plot", str(target)]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.return_value == 0, done.output
    assert target.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["drift.png"]
    with pytest.raises(RnnbenchError, match="ends in"):
        plot_drift(drift(sound, 5, ["onnxruntime"]), tmp_path / "drift.txt")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--plot", "x.png"], "give both"),
        (["--set", "sr=1"], "say what a file takes"),
        (["--tolerance", "0.1"], "--tolerance goes with --against"),
        (["--drift", "5", "--bisect"], "--bisect does nothing with --drift: leave one of them out"),
        (["--drift", "5", "--only", "traced"], "--only does nothing with --drift"),
        (["--against", "b.onnx", "--junit", "x.xml"], "--junit does nothing with --against"),
        (["--against", "b.onnx", "--drift", "5"], "--against does nothing with --drift"),
        (["--drift", "5", "--plot", "nowhere/x.png"], "is not there"),
        (["--against", "missing.onnx"], "is not a file"),
    ],
)
def test_bad_options_are_one_line(sound, words, why):
    with pytest.raises(RnnbenchError, match=why):
        CliRunner().invoke(
            command, [str(sound.path), *words], standalone_mode=False, catch_exceptions=False
        )
