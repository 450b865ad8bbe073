"""Training: what is learnt, that a resumed run ends the same, and what a bad checkpoint says."""

import json
import re

import pytest
import torch

from rnnbench.core.errors import RnnbenchError
from rnnbench.models import variants
from rnnbench.models.training import checkpoint, train
from rnnbench.models.training.train import rebuild
from rnnbench.models.training.train import train as run


def weights(trained):
    return trained.model.module.state_dict()


def equal(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("variant", variants.names())
def test_every_variant_spells_ohlol_and_shows_each_epoch(variant, capsys):
    lines = []
    trained = run(variant, "hello", progress=False, report=lines.append)
    assert trained.metrics["predicted"] == "ohlol"
    assert trained.metrics["epochs"] == 15
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 15
    assert all(re.fullmatch(r"epoch +\d+: [ehlo]{5}  loss \d\.\d{4}", line) for line in epochs)
    assert len(lines) - len(epochs) == (trained.metrics["attempts"] > 1)
    model = trained.model
    assert (model.name, model.module.training) == (f"hello-{variant}", False)
    assert (variants.reads(variant) == "ids") == hasattr(model.module.head, "weight")
    json.dumps([trained.metadata, trained.metrics, trained.source], allow_nan=False)
    assert trained.metadata["task"] == "hello"
    assert trained.metadata["alphabet"] == "ehlo"
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("seed", [1, 6])
def test_hello_is_learnt_from_any_seed(seed):
    assert run("gru", "hello", seed=seed, progress=False).metrics["predicted"] == "ohlol"


def test_the_loop_learns_what_the_fused_layer_learns():
    a, b = (weights(run(v, "hello", progress=False)) for v in ("gru", "gru-loop"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-3, rtol=1e-3)


def test_bidirectional_hello_has_a_head_and_no_state():
    trained = run("lstm", "hello", bidirectional=True, progress=False)
    assert trained.model.outputs == ("y",)
    assert trained.metrics["predicted"] == "ohlol"


@pytest.mark.parametrize("task", ["weather", "stocks"])
@pytest.mark.parametrize("variant", ["gru", "linear-loop"])
def test_series_have_the_error_of_the_last_value_beside_the_models(task, variant):
    trained = run(variant, task, quick=True, hidden=8, progress=False)
    assert trained.metrics["unit"] in ("°C", "%")
    for name in ("mae", "rmse"):
        assert 0 < trained.metrics[name] < 2 * trained.metrics[f"baseline_{name}"]
    assert trained.metadata["metrics"] == trained.metrics


def test_weather_beats_the_last_value():
    metrics = run("gru", "weather", epochs=10, progress=False).metrics
    assert metrics["rmse"] < metrics["baseline_rmse"]


def test_text_beats_the_character_before():
    metrics = run("gru", "text", quick=True, progress=False).metrics
    assert metrics["loss"] < metrics["baseline_loss"]
    assert metrics["accuracy"] > metrics["baseline_accuracy"]


def test_the_same_arguments_give_the_same_weights_whatever_the_global_state():
    options = {"epochs": 2, "hidden": 6, "layers": 2, "dropout": 0.3, "progress": False}
    first = run("gru", "stocks", **options)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    second = run("gru", "stocks", **options)
    assert torch.equal(before, torch.get_rng_state())
    assert equal(weights(first), weights(second))
    assert first.metrics == second.metrics
    assert not equal(weights(first), weights(run("gru", "stocks", seed=1, **options)))


def test_the_best_weights_by_validation_loss_are_kept():
    losses = []
    trained = run(
        "lstm",
        "stocks",
        epochs=25,
        hidden=32,
        progress=False,
        report=lambda line: losses.append(float(line.split()[-1])),
    )
    assert losses.index(min(losses)) < len(losses) - 1  # so the last ones are not the best
    assert trained.metrics["validation_loss"] == pytest.approx(min(losses), abs=1e-4)
    best = run("lstm", "stocks", epochs=losses.index(min(losses)) + 1, hidden=32, progress=False)
    assert equal(weights(trained), weights(best))


@pytest.mark.parametrize("variant", ["gru", "lstm-loop"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_ends_exactly_as_an_uninterrupted_one(tmp_path, variant, stop):
    options = {"epochs": 5, "hidden": 6, "layers": 2, "dropout": 0.3, "progress": False}
    whole = run(variant, "stocks", **options)
    path = tmp_path / "deep" / "run.pt"
    lines = []

    def interrupt(line):
        lines.append(line)
        if len(lines) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(variant, "stocks", checkpoint=path, report=interrupt, **options)
    resumed = run(variant, "stocks", checkpoint=path, report=lines.append, **options)
    assert len(lines) == 5
    assert equal(weights(whole), weights(resumed))
    assert whole.metrics == resumed.metrics
    assert [p.name for p in path.parent.iterdir()] == ["run.pt"]
    # a finished run is read, not trained again; and goes on where more is asked
    again = run(variant, "stocks", checkpoint=path, report=lines.append, **options)
    assert len(lines) == 5
    assert equal(weights(whole), weights(again))
    longer = run(variant, "stocks", checkpoint=path, **options | {"epochs": 6})
    assert longer.metrics == run(variant, "stocks", **options | {"epochs": 6}).metrics


def test_hello_resumes_in_the_attempt_where_it_was(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    whole = run("elman", "hello", progress=False)
    assert whole.metrics["attempts"] > 1
    save, count = checkpoint.save, []

    def stop(*args):
        save(*args)
        count.append(1)
        if len(count) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        run("elman", "hello", checkpoint=path, progress=False)
    monkeypatch.undo()
    resumed = run("elman", "hello", checkpoint=path, progress=False)
    assert resumed.metrics == whole.metrics
    assert equal(weights(whole), weights(resumed))


def test_an_interrupted_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    run("gru", "stocks", epochs=1, hidden=4, checkpoint=path, progress=False)
    before = path.read_bytes()

    def half(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        run("gru", "stocks", epochs=2, hidden=4, checkpoint=path, progress=False)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_damaged_or_foreign_checkpoint_is_one_line(tmp_path, capsys):
    path = tmp_path / "run.pt"
    options = {"hidden": 4, "checkpoint": path, "progress": False}
    run("gru", "stocks", epochs=1, **options)
    good = path.read_bytes()
    torch.save({"format": "another"}, tmp_path / "foreign.pt")
    torch.save(Evil(), tmp_path / "evil.pt")
    foreign, evil = ((tmp_path / n).read_bytes() for n in ("foreign.pt", "evil.pt"))
    for content in (b"", b"text", good[: len(good) // 2], good[:-10], foreign, evil):
        path.write_bytes(content)
        with pytest.raises(RnnbenchError, match="is not a checkpoint of rnnbench") as error:
            run("gru", "stocks", epochs=2, **options)
        assert "\n" not in str(error.value)
        assert path.read_bytes() == content
    assert "executed" not in capsys.readouterr().out
    run("gru", "stocks", epochs=1, resume=False, **options)  # the remedy
    assert path.stat().st_size > 1000


def test_a_checkpoint_of_another_run_is_one_line(tmp_path):
    path = tmp_path / "run.pt"
    run("gru", "stocks", epochs=2, hidden=4, checkpoint=path, progress=False)
    for other, key in (
        ({"hidden": 5}, "hidden_size"),
        ({"seed": 1}, "seed"),
        ({"epochs": 1}, "has 2 epochs"),
    ):
        arguments = {"hidden": 4, "epochs": 3} | other
        with pytest.raises(RnnbenchError, match=key):
            run("gru", "stocks", checkpoint=path, progress=False, **arguments)
    with pytest.raises(RnnbenchError, match="variant was 'gru', asked is 'lstm'"):
        run("lstm", "stocks", hidden=4, checkpoint=path, progress=False)


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RnnbenchError, match="cannot be written"):
        run("gru", "hello", checkpoint=tmp_path / "file" / "run.pt", progress=False)


@pytest.mark.parametrize("variant", variants.names())
def test_rebuild_takes_the_weights(variant):
    trained = run(variant, "hello", progress=False)
    source = json.loads(json.dumps(trained.source))
    model = rebuild(source)
    model.module.load_state_dict(weights(trained), strict=True)
    assert (model.name, model.inputs) == (trained.model.name, trained.model.inputs)


@pytest.mark.parametrize(
    "wrong", [{}, {"variant": "gru", "task": "hello", "options": {"width": 3}}]
)
def test_a_source_that_cannot_be_read_is_one_line(wrong):
    with pytest.raises(RnnbenchError, match="export it again"):
        rebuild(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("perceptron", "hello", {}), "unknown variant 'perceptron': choose from"),
        (("gru", "helo", {}), "unknown task 'helo': choose from"),
        (("gru", "hello", {"hidden": 0}), "hidden_size=0"),
        (("gru", "hello", {"layers": 0}), "num_layers=0"),
        (("gru", "hello", {"epochs": 0}), "epochs=0"),
        (("gru", "hello", {"seed": -1}), "seed=-1"),
        (("gru", "hello", {"dropout": 0.5}), "ask for 2 layers"),
        (("gru-loop", "hello", {"bidirectional": True}), "cannot be bidirectional"),
        (("gru", "hello", {"device": "tpu"}), "unknown device 'tpu': choose from cpu"),
        (("gru", "hello", {"device": "cuda:99"}), "unknown device 'cuda:99'"),
        (
            ("embedding", "weather", {}),
            "reads ids, which task 'weather' has not: choose from elman",
        ),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    variant, task, options = arguments
    with pytest.raises(RnnbenchError, match=message) as error:
        run(variant, task, progress=False, **options)
    assert "\n" not in str(error.value)


def test_progress_is_on_stderr(capsys):
    run("gru", "hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello-gru" in captured.err
    assert "ohlol" in captured.err


def test_divergence_is_one_line(monkeypatch):
    monkeypatch.setattr(train, "evaluate", lambda fit, split: (float("nan"), None, None))
    with pytest.raises(RnnbenchError, match="diverged: the loss of epoch 1 is nan"):
        run("gru", "hello", progress=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_leaves_the_model_on_the_cpu():
    trained = run("gru", "stocks", epochs=2, device="cuda", progress=False)
    assert all(p.device.type == "cpu" for p in trained.model.module.parameters())
