"""Drafts are exported before they are written, and changed until one is."""

import dataclasses
import time

import numpy as np
import pytest
import torch

from rnnbench import Dim
from rnnbench.checking.trial import Trials, tried
from rnnbench.models import sources
from rnnbench.models.declaration.draft import draft, write
from rnnbench.models.declaration.inference import Inference
from rnnbench.models.declaration.proving import proved
from tests.models.drafts import kinds


def drafted(name, tmp_path, on_trial=None, **arguments):
    found = draft(
        f"tests.models.drafts.ways:{name}", tmp_path, arguments=arguments, on_trial=on_trial
    )
    assert found.complete, found.notes
    model = sources.load(str(write(found, tmp_path / "drafted.py")))
    return found, model, {spec.name: spec.shape for spec in model.inputs}


def test_flat_rows_have_so_many_numbers_a_step(tmp_path):
    found, _, shapes = drafted("FlatRows", tmp_path)
    assert shapes == {"x": ("batch", "6*time")}
    assert tried(found.text) is None


def test_rows_have_the_fewest_steps_that_are_left_by_strides(tmp_path):
    found, model, shapes = drafted("Subsampled", tmp_path)
    assert shapes == {"x": ("batch", "time", 10), "x_lens": ("batch",)}
    assert model.dims["time"] == Dim(min=7)
    generator = np.random.default_rng(0)
    for time_ in (7, 8, 30):
        lengths = model.sample({"batch": 50, "time": time_}, generator)["x_lens"]
        assert lengths.min() >= 7
        assert lengths.max() == time_
    assert tried(found.text) is None


def test_a_cell_is_called_with_one_step(tmp_path):
    shapes = drafted("EventCell", tmp_path, hidden_dim=16)[2]
    assert shapes == dict.fromkeys(("x_i", "h_ti", "c_ti", "c_bar"), ("batch", 16))


def test_what_is_drawn_is_no_output(tmp_path):
    found, model, shapes = drafted("SamplingPolicy", tmp_path)
    assert shapes == {"obs_seq": ("batch", "time", 7)}
    assert len(model.outputs) == 1
    assert "returned[1]" in found.text
    assert tried(found.text) is None


def test_rows_that_are_mixed_are_the_batch_of_the_layer(tmp_path):
    assert drafted("MixedRows", tmp_path)[2] == {"x": ("batch", "time", 8)}


def test_time_is_the_axis_that_the_outputs_follow(tmp_path):
    shape = drafted("LineReader", tmp_path)[2]["images"]
    assert (shape[0], shape[1], shape[3]) == ("batch", 1, "time")
    assert isinstance(shape[2], int)
    assert shape[2] > 1


def test_a_tuple_that_is_taken_apart(tmp_path):
    found, _, shapes = drafted("Beside", tmp_path)
    assert shapes["keys"][0] == shapes["mask"][0] == "batch"
    assert shapes["x"] == ("batch", "time", 8)
    assert "self.net(x, (keys, mask))" in found.text


def test_lazy_layers_take_their_sizes_from_a_first_call(tmp_path):
    found, _, shapes = drafted("LazyPolicy", tmp_path)
    assert shapes["frames"][:3] == ("batch", "time", 3)
    assert "    module.eval()(torch.zeros((" in found.text
    assert tried(found.text) is None


def test_ids_are_zero_where_a_row_has_ended(tmp_path):
    found, model, shapes = drafted("Counting", tmp_path)
    assert shapes == {"xs": ("batch", "time")}
    ids = model.sample({"batch": 40, "time": 9}, np.random.default_rng(0))["xs"]
    lengths = (ids != 0).sum(1)
    assert lengths[0] == 9
    assert (np.diff(lengths) <= 0).all()
    assert lengths[-1] < 9
    assert all(row[:n].all() for row, n in zip(ids, lengths, strict=True))
    assert tried(found.text) is None


def test_a_class_in_the_place_of_a_name(tmp_path):
    found, _, _ = drafted("NamedLayer", tmp_path, size=6)
    assert "rnn_class=LSTM" in found.text or "rnn_class=torch.nn.LSTM" in found.text


def test_what_has_a_default_is_left_out_where_export_refuses_it(tmp_path):
    found, _, shapes = drafted("Refused", tmp_path, lambda text, seconds: tried(text))
    assert shapes == {"x": ("batch", "time", 8)}
    assert "# h left at the default: without that, export says:" in found.text
    assert any("h left at the default" in note for note in found.notes)


def test_a_size_is_fixed_last_and_said(tmp_path):
    found, _, shapes = drafted("Listed", tmp_path, lambda text, seconds: tried(text))
    assert shapes == {"x": ("batch", 16, 8)}
    assert "time is fixed at 16: it is exported only so" in found.notes
    assert "# time is fixed at 16: without that, export says:" in found.text


def a_guess():
    torch.manual_seed(0)
    inference = Inference(kinds.NothingBeside(), time.monotonic() + 20)
    return inference.best(), inference


def test_what_is_never_exported_is_the_likeliest_and_says_why():
    best, inference = a_guess()
    found = proved(best, inference, lambda *_: "no form", time.monotonic() + 60)
    assert found.inputs == best.inputs
    assert found.doubts[-1] == "export refuses it: no form"
    assert not found.exported


def test_no_other_is_begun_when_time_is_up():
    best, inference = a_guess()
    asked = []
    found = proved(best, inference, lambda g, s: asked.append(s) or "no", time.monotonic())
    assert len(asked) == 1
    assert found.doubts[-1] == "export refuses it: no"

    def late(*_):
        raise TimeoutError

    assert proved(best, inference, late, time.monotonic() + 60) == best


def test_masks_of_first_steps_where_others_fail():
    best, inference = a_guess()
    spec = dataclasses.replace(best.inputs[0], name="mask", shape=("batch", "time"), dtype="bool")
    masked = dataclasses.replace(best, inputs=(*best.inputs, spec))
    seen = []

    def attempt(guess, seconds):
        seen.append(guess.sampling)
        return None if guess.sampling.prefixes else "it fails on inputs of its own declaration"

    found = proved(masked, inference, attempt, time.monotonic() + 60)
    assert found.sampling.prefixes == ("mask",)
    assert found.exported
    assert len(seen) == 2


def test_a_process_of_its_own_exports_and_may_be_ended(tmp_path):
    (tmp_path / "neighbour.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        print('no answer')\n        return x.cumsum(1)\n"
    )
    text = (
        "from rnnbench import Model, TensorSpec\nfrom neighbour import Net\n"
        "def build():\n    {more}\n"
        "    return Model(Net(), [TensorSpec('x', ('batch', 'time', 3))], ['y'])\n"
    )
    with Trials(tmp_path) as trials:
        assert trials(text.format(more="pass"), 100) is None
        assert "raises ValueError: broken" in trials(
            text.format(more="raise ValueError('broken')"), 100
        )
        assert trials(text.format(more="import os; os._exit(3)"), 100) == "its process died"
        with pytest.raises(TimeoutError):
            trials(text.format(more="import time; time.sleep(60)"), 12)
        assert trials(text.format(more="pass"), 100) is None
