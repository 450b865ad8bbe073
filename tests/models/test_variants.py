"""Each variant: a loop equals its fused layer, and a wrong size is one line."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnbench.core.errors import RnnbenchError
from rnnbench.models import variants
from rnnbench.models.variants import Options
from tests.helpers.tiers import examples

NAMES = (
    "elman",
    "elman-loop",
    "embedding",
    "gru",
    "gru-loop",
    "linear-loop",
    "lstm",
    "lstm-loop",
)
LOOPS = [name for name in NAMES if name.endswith("-loop")]
FUSED = [name for name in NAMES if not name.endswith("-loop")]
OPTIONS = Options(3, hidden_size=5, num_layers=2, output_size=2, vocabulary=7)


def sample(name, options, time=6, batch=2, seed=0):
    """Inputs by name, in the model's order."""
    generator = torch.Generator().manual_seed(seed)
    model = variants.model(name, options, bundle_name="m")
    return {
        spec.name: torch.randint(0, spec.high, shape, generator=generator)
        if spec.dtype == "int64"
        else torch.randn(shape, generator=generator)
        for spec in model.inputs
        for shape in [spec.resolve({"time": time, "batch": batch})]
    }


def call(module, inputs):
    with torch.no_grad():
        outputs = module.eval()(*inputs.values())
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_every_variant_is_there():
    assert variants.names() == NAMES
    for name in NAMES:
        assert "\n" not in variants.describe(name)


def test_listing_does_not_import_torch():
    code = (
        "import sys; from rnnbench.models import variants; variants.names();"
        "variants.describe('gru'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("loop", LOOPS)
@examples(25)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 20)),
    layers=st.integers(1, 3),
    time=st.integers(1, 40),
    batch=st.integers(1, 4),
    head=st.sampled_from([None, 1, 3]),
    relu=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_loop_equals_fused_with_one_state_dict(loop, sizes, layers, time, batch, head, relu, seed):
    kind = "relu" if relu and loop in ("elman-loop", "linear-loop") else "tanh"
    options = Options(*sizes, num_layers=layers, output_size=head, nonlinearity=kind, seed=seed % 7)
    fused, convert = variants.twin(loop, options)
    first = variants.build(loop, options).double()
    other = variants.build(fused, replace(options, seed=99)).double()
    other.load_state_dict(convert(first.state_dict()), strict=True)
    inputs = {k: v.double() for k, v in sample(loop, options, time, batch, seed).items()}
    for a, b in zip(call(first, inputs), call(other, inputs), strict=True):
        assert a.shape == b.shape
        # float64: nothing but rounding; relu grows with the state, so relative to it
        assert (a - b).abs().max() <= 1e-12 * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("loop", LOOPS)
def test_loop_equals_fused_in_float32(loop):
    fused, convert = variants.twin(loop)
    first, other = variants.build(loop, OPTIONS), variants.build(fused, OPTIONS)
    other.load_state_dict(convert(first.state_dict()))
    inputs = sample(loop, OPTIONS, time=50)
    for a, b in zip(call(first, inputs), call(other, inputs), strict=True):
        assert (a - b).abs().max() <= 2e-6


@pytest.mark.parametrize("loop", ["elman-loop", "gru-loop", "lstm-loop"])
def test_the_two_forms_have_the_same_names_and_start(loop):
    fused, _ = variants.twin(loop)
    first = variants.build(loop, OPTIONS).state_dict()
    other = variants.build(fused, OPTIONS).state_dict()
    assert list(first) == list(other)
    assert all(torch.equal(first[name], other[name]) for name in first)
    # and the fused form's state dict loads strictly into the loop
    variants.build(loop, replace(OPTIONS, seed=1)).load_state_dict(other, strict=True)
    assert variants.twin(fused)[0] == loop


@pytest.mark.parametrize("name", variants.names())
def test_the_name_of_the_other_form_is_read_from_the_source(name):
    other = variants.twin(name)
    options = variants.Options(3)
    assert variants.twin_name(name, options) == (other[0] if other else None)
    assert variants.twin_name(name, replace(options, bidirectional=True)) is None


def test_loops_are_made_of_the_cells():
    for loop, cell in (
        ("elman-loop", torch.nn.RNNCell),
        ("gru-loop", torch.nn.GRUCell),
        ("lstm-loop", torch.nn.LSTMCell),
    ):
        modules = list(variants.build(loop, OPTIONS).modules())
        assert sum(isinstance(module, cell) for module in modules) == OPTIONS.num_layers


def test_a_missing_parameter_is_an_error():
    state = variants.build("gru", OPTIONS).state_dict()
    del state["rnn.weight_hh_l1"]
    with pytest.raises(RuntimeError, match="weight_hh"):
        variants.build("gru-loop", OPTIONS).load_state_dict(state)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state(name):
    before = torch.get_rng_state()
    first, second = variants.build(name, OPTIONS), variants.build(name, OPTIONS)
    assert torch.equal(before, torch.get_rng_state())
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    third = variants.build(name, replace(OPTIONS, seed=1))
    assert not all(
        torch.equal(a, b) for a, b in zip(first.parameters(), third.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_as_declared_and_states_carry(name):
    model = variants.model(name, OPTIONS, bundle_name="m")
    inputs = sample(name, OPTIONS)
    outputs = dict(zip(model.outputs, call(model.module, inputs), strict=True))
    axis = 1 if name == "embedding" else 0
    data = next(iter(inputs))
    assert outputs["y"].shape == (*inputs[data].shape[:2], OPTIONS.output_size)

    first, rest = dict(inputs), dict(inputs)
    first[data] = inputs[data].narrow(axis, 0, 2)
    rest[data] = inputs[data].narrow(axis, 2, 4)
    before = dict(zip(model.outputs, call(model.module, first), strict=True))
    rest |= {state: before[output] for state, output in model.states.items()}
    after = dict(zip(model.outputs, call(model.module, rest), strict=True))
    torch.testing.assert_close(torch.cat([before["y"], after["y"]], axis), outputs["y"])
    for state, output in model.states.items():
        assert outputs[output].shape == inputs[state].shape
        torch.testing.assert_close(after[output], outputs[output])


@pytest.mark.parametrize("name", FUSED)
def test_bidirectional_forms_have_no_state(name):
    options = replace(OPTIONS, bidirectional=True)
    model = variants.model(name, options, bundle_name="m")
    assert (len(model.inputs), model.outputs, model.states) == (1, ("y",), {})
    (y,) = call(model.module, sample(name, options))
    assert y.shape[-1] == OPTIONS.output_size
    assert variants.twin(name, options) is None


@pytest.mark.parametrize("name", NAMES)
def test_dropout_works_between_layers_in_training_only(name):
    options = replace(OPTIONS, hidden_size=32, dropout=0.5)
    module, inputs = variants.build(name, options), sample(name, options)
    assert torch.equal(call(module, inputs)[0], call(module, inputs)[0])
    module.train()
    args = tuple(inputs.values())
    assert not torch.equal(module(*args)[0], module(*args)[0])


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_not_bidirectional(name):
    with pytest.raises(RnnbenchError, match=r"cannot be bidirectional: choose from .*gru") as error:
        variants.build(name, replace(OPTIONS, bidirectional=True))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("function", [variants.describe, variants.reads, variants.twin])
def test_an_unknown_variant_is_one_line(function):
    with pytest.raises(RnnbenchError, match="unknown variant 'perceptron': choose from elman"):
        function("perceptron")


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 0},
        {"hidden_size": True},
        {"num_layers": -1},
        {"input_size": 0},
        {"output_size": 0},
        {"vocabulary": 0},
        {"dropout": 1.0},
        {"dropout": 0.1, "num_layers": 1},
        {"nonlinearity": "gelu"},
        {"seed": -1},
    ],
)
def test_wrong_sizes_are_one_line(wrong):
    with pytest.raises(RnnbenchError) as error:
        replace(OPTIONS, **wrong)
    assert "\n" not in str(error.value)


def test_the_embedding_needs_a_vocabulary():
    with pytest.raises(RnnbenchError, match="give vocabulary"):
        variants.build("embedding", replace(OPTIONS, vocabulary=None))
