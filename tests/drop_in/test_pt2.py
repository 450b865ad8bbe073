"""`rnnbench.pt2.export` in a script of torch.export's, and what it says."""

import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.export import Dim

import rnnbench
from rnnbench import RnnbenchError
from tests.drop_in.run_script import eager, judge_pt2, run_script

export = rnnbench.pt2.export


def test_a_script_of_torch_export(tmp_path, monkeypatch):
    names = run_script(
        "torch_export.py", tmp_path, monkeypatch,
        "from torch.export import Dim, export, save",
        "\nfrom rnnbench.pt2 import Dim, export, save",
    )  # fmt: skip
    state = (torch.randn(3, 8), torch.randn(3, 8))
    calls = {
        "decoder": ((torch.randn(3, 9, 6), state, None), {"scale": 2.0}),
        "leaky": ((torch.randn(9, 3, 6), torch.randn(3, 8)), {"drive": torch.randn(3, 1)}),
    }
    for name, (args, kwargs) in calls.items():
        wanted = eager(names[name], args, kwargs)
        torch.save((args, kwargs, wanted), tmp_path / f"{name}.pt")
    judge_pt2([(tmp_path / f"{name}.pt2", tmp_path / f"{name}.pt") for name in calls])


def test_the_program_is_called_as_the_module(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x, state, flag=True, *, scale=1.0):
            y, state = self.lstm(x, state)
            return {"y": y * scale if flag else y, "nothing": None, "state": state}

    net = Net()
    batch, time = Dim("batch", min=2, max=16), Dim("time")
    args = (torch.randn(2, 5, 3), (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)), False)
    shapes = {
        "x": (batch, time, None),
        "state": ({1: batch}, {1: batch}),
        "flag": None,
        "scale": None,
    }
    ours = export(net, args, {"scale": 2.0}, dynamic_shapes=shapes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the layer's weights, which are no buffers
        theirs = torch.export.export(net, args, {"scale": 2.0})
    assert ours.call_spec == theirs.call_spec
    assert ours.graph_signature.user_inputs == theirs.graph_signature.user_inputs
    assert ours.state_dict.keys() == theirs.state_dict.keys()
    assert ours.example_inputs[1] == {"scale": 2.0}
    bounds = {(int(r.lower), str(r.upper)) for r in ours.range_constraints.values()}
    assert bounds == {(2, "16"), (1, "int_oo")}
    assert net.training
    given = (torch.randn(3, 7, 3), (torch.randn(1, 3, 4), torch.randn(1, 3, 4)), False)
    module = ours.module()
    torch.testing.assert_close(
        module(*given, scale=2.0), eager(net, given, {"scale": 2.0}), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(AssertionError, match="scale == 2"):
        module(*given, scale=3.0)
    with pytest.raises(AssertionError, match="16"):
        module(torch.randn(17, 7, 3), (torch.zeros(1, 17, 4),) * 2, False, scale=2.0)


def test_what_it_refuses_and_what_it_warns_of():
    net, args = nn.GRU(3, 4), (torch.randn(5, 2, 3),)
    with pytest.raises(RnnbenchError, match=r"preserve_module_call_signature=.*flat"):
        export(net, args, preserve_module_call_signature=("gru",))
    warns = pytest.warns(UserWarning, match="strict=True changes nothing")
    with warns as warned, pytest.raises(RnnbenchError, match="dynamic_shapes names y"):
        export(net, args, strict=True, dynamic_shapes={"y": None})
    assert warned[0].filename == __file__
    with pytest.raises(RnnbenchError, match="does not run where axis 1 of 'input' is 4"):
        export(net, (*args, torch.zeros(1, 2, 4)), dynamic_shapes=({1: Dim("batch")}, None))


def test_the_arguments_are_torch_s():
    ours, theirs = (inspect.signature(f).parameters for f in (export, torch.export.export))
    assert not theirs.keys() - ours.keys()
    for name in theirs:
        assert (ours[name].default, ours[name].kind) == (theirs[name].default, theirs[name].kind)
