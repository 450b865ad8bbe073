"""`export` goes on from what `train` left, and says so; a checkpoint alone is enough."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rnnbench
from rnnbench import __main__ as cli
from rnnbench.core.files import recognise

OPTIONS = ("--task", "weather", "--epochs", "1", "--hidden", "3", "--seed", "4")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a checkpoint in runs/, as `train` with these options leaves it."""
    folder = tmp_path_factory.mktemp("place")
    left = folder / "runs" / "weather-elman.pt"
    rnnbench.train("elman", "weather", epochs=1, hidden=3, seed=4, checkpoint=left)
    return folder


@pytest.fixture
def run(capsys, monkeypatch, place):
    def call(*words):
        monkeypatch.chdir(place)
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        found = capsys.readouterr()
        return ended.value.code, found.out, found.err

    return call


def weights(folder):
    return torch.load(Path(folder) / "weights.pt", weights_only=True)


def test_train_then_export(run, place):
    code, out, err = run("train", "rnn", *OPTIONS)  # nothing is left to do
    assert code == 0
    assert "next: rnnbench export runs/weather-elman.pt" in err
    assert out.splitlines()[0].split() == ["model", "metric", "value", "baseline"]
    left = place / "runs" / "weather-elman.pt"
    assert recognise(left).kind == "checkpoint"
    best = torch.load(left, weights_only=True)["best"]

    code, out, err = run("export", "elman", *OPTIONS, "--format", "onnx")
    assert code == 0
    assert "continues from runs/weather-elman.pt, after 1 epochs" in err
    assert "epoch  1" not in err
    found = weights(place / "exports" / "weather-elman")
    assert found.keys() == best.keys()
    assert all(torch.equal(found[name], best[name]) for name in best)

    code, _, err = run("export", "runs/weather-elman.pt", "--format", "onnx", "--out", "again")
    assert code == 0
    assert "elman of task weather as runs/weather-elman.pt has it, after 1 epochs" in err
    bundle = rnnbench.Bundle.open(place / "again" / "weather-elman")
    assert bundle.metadata["variant"] == "elman"
    again = weights(bundle.path)
    assert all(np.array_equal(again[name], best[name]) for name in best)
    assert torch.load(left, weights_only=True)["epoch"] == 1


def test_sizes_that_are_not_asked_for_are_those_that_were_trained(run, place):
    left = place / "runs" / "weather-elman.pt"
    unsaid = ("--task", "weather", "--epochs", "1", "--seed", "4", "--format", "onnx")
    code, _, err = run("export", "elman", *unsaid, "--out", "unsaid")
    assert code == 0
    assert "continues from runs/weather-elman.pt, after 1 epochs" in err
    best = torch.load(left, weights_only=True)["best"]
    found = weights(place / "unsaid" / "weather-elman")
    assert all(torch.equal(found[name], best[name]) for name in best)
    code, _, err = run("export", "elman", *unsaid, "--hidden", "5", "--out", "said")
    assert code == 0
    assert "trained anew: " in err
    assert "(hidden_size was 3, asked is 5)" in err


def test_another_run_is_trained_anew_and_kept(run, place):
    left = place / "runs" / "weather-elman.pt"
    before = left.read_bytes()
    other = (*OPTIONS[:-1], "5", "--format", "onnx", "--out", "other")
    code, _, err = run("export", "elman", *other)
    assert code == 0
    (said,) = [line for line in err.splitlines() if "trained anew" in line]
    assert "trained anew: checkpoint runs/weather-elman.pt is of another run (seed was 4" in said
    assert said.endswith(": `rnnbench export runs/weather-elman.pt` takes that one")
    code, _, err = run("export", "elman", *other, "--runs", "runs")
    assert code == 2
    assert "is of another run" in err
    assert "give another path (--runs), or do not resume (--no-resume)" in err
    code, _, err = run("export", "elman", *OPTIONS, "--no-resume", "--format", "onnx", "-v")
    assert code == 0
    assert "continues from" not in err
    assert "epoch  1" in err
    assert left.read_bytes() == before


def test_a_checkpoint_of_others_names_init(run, place):
    torch.save({"model": torch.nn.GRU(3, 4).state_dict()}, place / "theirs.pt")
    code, _, err = run("export", "theirs.pt")
    assert code == 2
    assert "theirs.pt is a checkpoint (weights and no code): `rnnbench init my_model.py" in err
    (place / "damaged.pt").write_bytes((place / "runs/weather-elman.pt").read_bytes()[:2000])
    code, _, err = run("export", "damaged.pt")
    assert code == 2
    assert err.count("\n") == 1
