"""What cannot be exported is refused in one line that names the obstacle; nothing is changed."""

import re
import warnings

import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec

X = TensorSpec("x", ("batch", "time", 4))
H = TensorSpec("h0", (1, "batch", 5), role="state")


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)

    def forward(self, x, h0=None):
        return self.gru(x, h0)


class StopsEarly(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 5)

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 5)
        outputs = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            outputs.append(h)
            if h.norm() > 3.0:
                break
        return torch.stack(outputs, 1), h


class WhileItGrows(StopsEarly):
    """Seeded: with some weights the loop never ends."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 5)
        while bool((h.abs() < 0.3).all()):
            h, c = self.cell(x[:, 0] + 1, (h, c))
        return h, c


class AsksForItem(StopsEarly):
    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 5)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return h * max(h.max().item(), 1.0), c


class KeepsInBuffer(Gru):
    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(1, 3, 5))

    def forward(self, x):
        h = self.memory.mean(1, keepdim=True).expand(1, x.size(0), 5).contiguous()
        y, h = self.gru(x, h)
        self.memory = h.detach()
        return y, h


def export(module, folder, inputs=(X,), outputs=("y", "hn"), **keywords):
    return rnnbench.export(Model(module, inputs, outputs, **keywords), ("torchscript",), folder)


def refusal(module, folder, **keywords):
    with pytest.raises(RnnbenchError) as caught:
        export(module, folder, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    assert not list(folder.iterdir())
    return message


@pytest.mark.parametrize("make", [StopsEarly, WhileItGrows, AsksForItem])
def test_what_depends_on_data_is_refused_with_the_line(make, tmp_path):
    message = refusal(make(), tmp_path)
    assert re.search(r"test_refusals\.py:\d+", message)
    assert "value" in message


def test_a_state_kept_in_a_buffer_is_told_to_be_declared(tmp_path):
    message = refusal(KeepsInBuffer(), tmp_path)
    assert "memory" in message
    assert "state" in message
    assert "TensorSpec" in message


@pytest.mark.parametrize("outputs", [("y",), ("y", "hn", "cn")])
def test_the_number_of_outputs(outputs, tmp_path):
    message = refusal(Gru(), tmp_path, outputs=outputs)
    assert "2" in message
    assert str(len(outputs)) in message or ", ".join(outputs) in message


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorSpec("x", ("batch", "time", 3)),),
        (TensorSpec("x", ("batch", "time", 4), dtype="int64", high=9),),
        (TensorSpec("x", ("batch", "time", 4), dtype="float64"),),
        (X, TensorSpec("h0", (2, "batch", 5), role="state")),
        (X, TensorSpec("h0", (1, "batch", 6), role="state")),
        (X, H, TensorSpec("c0", (1, "batch", 5), role="state")),
        (TensorSpec("x", ("batch", "time", 4, 2)),),
    ],
    ids=["width", "integers", "double", "layers", "hidden", "too-many", "rank"],
)
def test_inputs_that_do_not_fit_the_module(inputs, tmp_path):
    message = refusal(Gru(), tmp_path, inputs=inputs)
    assert "Gru" in message
    assert "declar" in message or "input" in message


@pytest.mark.parametrize(
    "make",
    [
        lambda: Model(Gru(), (X, H), ("y", "hn"), states={"h": "hn"}),
        lambda: Model(Gru(), (X, H), ("y", "hn"), states={"h0": "h1"}),
        lambda: Model(Gru(), (X, X), ("y", "hn")),
        lambda: Model(Gru(), (X,), ("y", "y")),
        lambda: Model(Gru(), (X,), ("x", "hn")),
        lambda: Model(Gru(), (X,), ()),
    ],
    ids=["no-such-input", "no-such-output", "input-twice", "output-twice", "both", "no-output"],
)
def test_names_that_do_not_fit_one_another(make):
    with pytest.raises(RnnbenchError) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert "Gru" in str(caught.value)


class Shrinks(Gru):
    def forward(self, x, h0):
        y, h = self.gru(x, h0)
        return y, h[:, :, :4]


class Widens(Gru):
    def forward(self, x, h0):
        y, h = self.gru(x, h0)
        return y, h.double()


@pytest.mark.parametrize(
    ("make", "states", "words"),
    [
        (Gru, {"h0": "y"}, "'y' is float32[3, 5, 5]"),
        (Shrinks, {"h0": "hn"}, "'hn' is float32[1, 3, 4]"),
        (Widens, {"h0": "hn"}, "'hn' is float64[1, 3, 5]"),
    ],
    ids=["output", "size", "dtype"],
)
def test_states_that_do_not_fit_one_another(make, states, words, tmp_path):
    message = refusal(make(), tmp_path, inputs=(X, H), states=states)
    assert f"{words} where 'h0' was float32[1, 3, 5]" in message


class LongIsOther(Gru):
    def forward(self, x):
        y, h = self.gru(x)
        if x.size(1) > 10:
            y = y * 2
        return y, h


class VeryLongIsOther(Gru):
    """Beyond all sizes that are tried, but for the condition that the trace has met."""

    def forward(self, x):
        y, h = self.gru(x)
        return (y * 2, h) if x.size(1) > 1234 else (y, h)


class LongLoopIsOther(StopsEarly):
    def forward(self, x):
        h = c = x.new_zeros(x.size(0), 5)
        steps = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            if len(steps) == 250:
                h = h * 0
            steps.append(h)
        return torch.stack(steps, 1), h


class OneIsOther(Gru):
    def forward(self, x):
        y, h = self.gru(x)
        return (y * 2, h) if x.size(0) == 1 else (y, h)


def test_another_way_for_other_sizes_is_named(tmp_path):
    message = refusal(LongIsOther(), tmp_path)
    assert re.search(r"test_refusals\.py:\d+ where not \(time <= 10\)", message)
    assert "where not (time <= 1234)" in refusal(VeryLongIsOther(), tmp_path)
    assert "time=311" in refusal(LongLoopIsOther(), tmp_path)
    assert "batch=1" in refusal(OneIsOther(), tmp_path)


def test_a_refusal_is_one_line_on_stderr_too(tmp_path, capfd):
    """torch.export prints its graph there when something depends on data."""
    refusal(AsksForItem(), tmp_path)
    assert capfd.readouterr().err == ""


class NotANumber(Gru):
    def forward(self, x):
        y, h = self.gru(x)
        return y * float("nan"), h


def test_nothing_but_nan_is_refused(tmp_path):
    assert "nothing but NaN as 'y'" in refusal(NotANumber(), tmp_path)


class Breaks(nn.Module):
    """Raises on a given call, after its layers have run."""

    def __init__(self, error, call):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.cell = nn.GRUCell(5, 5)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("scale", torch.ones(1))
        self.error, self.left = error, [call]

    def forward(self, x):
        y, _ = self.lstm(x)
        h = y.new_zeros(y.size(0), 5)
        for t in range(y.size(1)):
            h = self.cell(y[:, t], h)
        self.left[0] -= 1
        if self.left[0] == 0:
            raise self.error
        return self.drop(h) * self.scale


def picture(module):
    """All that must be as it was."""
    return {
        "forwards": [k.forward for k in (nn.RNN, nn.GRU, nn.LSTM, nn.GRUCell, nn.LSTMCell)],
        "pack": (nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence.__code__),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "rng": torch.get_rng_state().tolist(),
        "modules": [
            (name, type(m), m.training, sorted(vars(m)), dict(m._forward_hooks))
            for name, m in module.named_modules()
        ],
        "tensors": {
            name: (id(p), p.dtype, p.device, p.requires_grad, p.detach().clone().tolist())
            for name, p in (*module.named_parameters(), *module.named_buffers())
        },
    }


@pytest.mark.parametrize("call", [1, 2, 10, 22, 23, 24, 25, None])
@pytest.mark.parametrize("error", [ValueError("broken on purpose"), KeyboardInterrupt()])
def test_the_module_is_left_as_it_was_found(error, call, tmp_path):
    module = Breaks(error, call or 10_000).train()
    module.cell.eval()
    module.lstm.weight_hh_l0.requires_grad_(False)
    before = picture(module)
    raised = None
    try:
        export(module, tmp_path, outputs=("y",))
    except (RnnbenchError, KeyboardInterrupt) as caught:
        raised = caught
    assert raised is None or call is not None
    assert isinstance(raised, KeyboardInterrupt) == (
        raised is not None and isinstance(error, KeyboardInterrupt)
    )
    assert picture(module) == before
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] in ([], ["Breaks"])


class Quantised(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.rnn = nn.LazyLinear(4), nn.GRU(4, 5, batch_first=True)

    def forward(self, x):
        return self.rnn(self.first(x))[0]


def test_modules_that_are_quantised_or_have_no_weights_yet(tmp_path):
    warnings.simplefilter("ignore")  # of torch, on the future of its own quantisation
    quantised = torch.ao.quantization.quantize_dynamic(Quantised().eval(), {nn.Linear})
    for module, says in (
        (quantised, r"out \(Linear\) is quantised.*quantise the ONNX file"),
        (Lazy(), r"first \(LazyLinear\) has no weights before it has run once: call the model"),
    ):
        with pytest.raises(RnnbenchError, match=says):
            rnnbench.export(Model(module, (X,), ("y",), name="m"), ("onnx",), tmp_path)
    assert not list(tmp_path.iterdir())


class Odd(nn.Module):
    """On one way Python raises, and not the model: a range takes no symbol."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 5, batch_first=True)

    def forward(self, x):
        y = self.rnn(x)[0]
        if (x > 2).any():
            y = y * [1.0, 2.0][torch.arange(2)[x.argmax() % 2]]
        return y


class Raising(Odd):
    def forward(self, x):
        if (x > 1e9).any():
            raise ValueError("too large")
        return self.rnn(x)[0]


def test_a_way_is_left_out_only_where_the_model_itself_raises(tmp_path):
    with pytest.raises(RnnbenchError, match=r"test_refusals.py:\d+ in forward"):
        rnnbench.export(Model(Odd(), (X,), ("y",)), ("onnx",), tmp_path)
    bundle = rnnbench.export(Model(Raising(), (X,), ("y",)), ("onnx",), tmp_path)
    assert rnnbench.check(bundle, isolate=False).ok


@torch.library.custom_op("tests_of_rnnbench::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy() * 2)


class CallsAnotherLibrary(Gru):
    def forward(self, x):
        y, h = self.gru(x)
        return twice(y), h


def test_an_operator_of_another_library_is_named(tmp_path):
    said = "it calls tests_of_rnnbench::twice, which is not part of torch"
    assert said in refusal(CallsAnotherLibrary(), tmp_path)  # a trace cannot run it
    twice.register_fake(torch.empty_like)
    message = refusal(CallsAnotherLibrary(), tmp_path)  # a file would need the library
    assert said in message
    assert re.search(r"test_refusals\.py:\d+", message)
