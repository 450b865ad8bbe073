"""`inspect` of what converters of other frameworks write."""

import pytest

import rnnbench
from tests.helpers import converted


def found(path):
    (recurrence,) = rnnbench.inspect(path).recurrences
    return recurrence


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("steps", [None, 6])
@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_a_loop_of_tensorflow(kind, steps, backwards, tmp_path):
    path = tmp_path / "loop.onnx"
    converted.looped(path, kind, steps=steps, backwards=backwards)
    r = found(path)
    assert (r.representation, r.kind) == ("while", "rnn_tanh" if kind == "rnn" else "gru")
    assert (r.input_size, r.hidden_size) == (3, 4)
    assert r.direction == ("reverse" if backwards else "forward")


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_an_unrolled_layer_of_keras_on_pytorch(kind, backwards, tmp_path):
    path = tmp_path / "unrolled.onnx"
    converted.unrolled(path, kind, backwards=backwards)
    r = found(path)
    assert (r.representation, r.kind) == ("unrolled", "rnn_tanh" if kind == "rnn" else kind)
    assert (r.input_size, r.hidden_size, r.steps) == (3, 4, 6)
    assert r.direction == ("reverse" if backwards else "forward")


def test_the_state_of_a_stateful_layer_is_of_some_moment(tmp_path):
    import numpy as np

    path = tmp_path / "stateful.onnx"
    first = np.random.default_rng(0).standard_normal((2, 4))
    converted.looped(path, "gru", first=first)
    said = {h.name: h.severity for h in rnnbench.inspect(path).hazards}
    assert said["baked_state"] == "warning"
    converted.looped(path, "gru", first=np.zeros((2, 4)))
    assert "baked_state" not in {h.name for h in rnnbench.inspect(path).hazards}
