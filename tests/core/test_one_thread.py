"""What is exchanged while a model is exported holds for the exporting thread alone."""

import logging
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.core.one_thread import (
    exchanged,
    exchanged_code,
    exchanged_setting,
    ignoring,
    printing_to,
    quiet_loggers,
)


def in_a_thread(function):
    """What it returns in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class Owner:
    setting = "its own"

    def method(self, x):
        return "its own", x


def named(x, *, y=1):
    return "its own", x, y


def test_a_method_and_a_name_in_a_file_are_exchanged_for_one_thread():
    names = {"f": named}
    with (
        exchanged(Owner, "method", lambda self, x: ("another", x)),
        exchanged(names, "f", lambda x: ("another", x)),
    ):
        assert Owner().method(1) == names["f"](1) == ("another", 1)
        assert in_a_thread(lambda: Owner().method(1)) == ("its own", 1)
        assert in_a_thread(lambda: names["f"](1)) == ("its own", 1, 1)
        kept = names["f"]
    assert kept(1) == named(1)  # who took it meanwhile has what is there again
    assert names == {"f": named}
    assert "method" in vars(Owner)
    assert Owner().method(2) == ("its own", 2)


def closing(a, args):
    def inner(x, *more, c=3):
        return a, args, x, more, c

    def other(x, *more, c=3):
        return args, a, x, more, -c

    return inner, other


def test_the_code_of_a_function_is_exchanged_for_one_thread():
    inner, other = closing("a", "b")
    with exchanged_code(inner, other.__code__):
        assert inner(1, 2) == ("b", "a", 1, (2,), -3)
        assert in_a_thread(lambda: inner(1, 2, c=4)) == ("a", "b", 1, (2,), 4)
        import inspect

        assert str(inspect.signature(inner)) == "(x, *more, c=3)"
    assert inner(1) == ("a", "b", 1, (), 3)
    assert not vars(inner)


def test_a_setting_of_a_class_is_exchanged_for_one_thread():
    with exchanged_setting(Owner, "setting", "another"):
        assert Owner.setting == Owner().setting == "another"
        assert in_a_thread(lambda: Owner.setting) == "its own"
    assert vars(Owner)["setting"] == "its own"


def test_what_somebody_else_has_put_there_stays():
    with exchanged(Owner, "method", lambda self, x: "another"):
        own = Owner.method
        Owner.method = theirs = lambda self, x: own(self, x)
    try:
        assert Owner.method is theirs
        assert Owner().method(1) == ("its own", 1)
    finally:
        del Owner.method
        Owner.method = lambda self, x: ("its own", x)


def test_warnings_are_ignored_in_one_thread():
    def warned():
        with pytest.raises(UserWarning, match="seen"):
            warnings.warn("seen", UserWarning, stacklevel=1)
        return True

    before = list(warnings.filters)
    with ignoring(("se+n", UserWarning)):
        warnings.warn("seen", UserWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="another"):
            warnings.warn("another", UserWarning, stacklevel=1)
        with pytest.raises(FutureWarning):
            warnings.warn("seen", FutureWarning, stacklevel=1)
        assert in_a_thread(warned)
    assert warned()
    assert warnings.filters == before


def test_loggers_are_quiet_in_one_thread(caplog_of):
    logger = logging.getLogger("quiet.below")
    with caplog_of("quiet") as said, quiet_loggers(("quiet",), logging.ERROR):
        logger.warning("mine")
        logger.error("an error of mine")
        in_a_thread(lambda: logger.warning("another's"))
        logging.getLogger("quieter").warning("of no matter")
    assert said == ["an error of mine", "another's"]
    assert logging.Logger.handle.__qualname__ == "Logger.handle"
    assert not hasattr(logging.Logger.handle, "__wrapped__")


@pytest.fixture
def caplog_of():
    @contextmanager
    def collected(name):
        said = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        try:
            yield said
        finally:
            logger.removeHandler(handler)

    return collected


def test_stderr_is_another_for_one_thread(capsys):
    before = sys.stderr
    with printing_to("stderr") as printed:
        print("mine", file=sys.stderr)
        in_a_thread(lambda: print("another's", file=sys.stderr))
        kept = sys.stderr
    print("later", file=kept)
    assert sys.stderr is before
    assert printed.getvalue() == "mine\n"
    assert capsys.readouterr().err == "another's\nlater\n"


# -- with exports ---------------------------------------------------------------------------------


class Packed(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.gru = nn.GRU(3, hidden, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.size(1))[0]


class Asks(nn.Module):
    """A loop with an `if` on data: its code is rewritten while it is traced."""

    def __init__(self, hidden):
        super().__init__()
        self.cell = nn.GRUCell(3, hidden)

    def forward(self, x, h):
        for t in range(len(x)):
            new = self.cell(x[t], h)
            h = new
            if new.sum() < 0:
                h = max(0.5, 0.25) * new
        return h


def packed_model(i):
    lengths = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
    x = TensorSpec("x", ("batch", "time", 3))
    return Model(Packed(4 + i), (x, lengths), ("y",), name=f"packed{i}")


def asking_model(i):
    x, h = TensorSpec("x", ("time", 1, 3)), TensorSpec("h", (1, 4 + i))
    return Model(Asks(4 + i), (x, h), ("y",), name=f"asks{i}")


def of_the_process():
    return {
        "stderr": sys.stderr,
        "stdout": sys.stdout,
        "filters": list(warnings.filters),
        "code": pad_packed_sequence.__code__,
        "names": dict(vars(pad_packed_sequence)),
        "layers": [layer.forward for layer in (nn.RNN, nn.GRU, nn.LSTM)],
        "module": [nn.Module.__call__, nn.Module.__getattr__],
        "made": [torch.from_numpy, torch.LongTensor, torch.tensor],
        "python": [max, min, len],
        "globals": set(globals()),
        "method": Asks.forward.__code__,
        "levels": [logging.getLogger(f"torch.{n}").level for n in ("export", "onnx", "_dynamo")],
        "handle": logging.Logger.handle,
        "disabled": logging.root.manager.disable,
        "validate": vars(Distribution)["_validate_args"],
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
    }


def test_exports_in_eight_threads_and_modules_in_others(tmp_path):
    before = of_the_process()
    models = [make(i) for i in range(4) for make in (packed_model, asking_model)]
    wrong, going = [], threading.Event()

    def run_modules():
        torch.manual_seed(0)
        packed, asks = Packed(5), Asks(5)
        given = torch.randn(3, 6, 3), torch.tensor([2, 6, 4])
        steps = torch.randn(6, 1, 3), torch.randn(1, 5)
        with torch.no_grad():
            expected = packed(*given), asks(*steps)
            runs = 0
            while not going.is_set() or not runs:
                found = packed(*given), asks(*steps)
                if type(packed.gru) is not nn.GRU or type(found[0]) is not torch.Tensor:
                    raise TypeError(type(packed.gru))
                runs += 1
                for a, b in zip(expected, found, strict=True):
                    assert torch.equal(a, b)

    def noting(function, *given):
        def run():
            try:
                function(*given)
            except BaseException as error:
                wrong.append(error)

        return threading.Thread(target=run)

    def export(model):
        bundle = rnnbench.export(model, ("onnx",), tmp_path)
        assert bundle.artifacts["onnx"].path.is_file()

    exporting = [noting(export, model) for model in models]
    running = [noting(run_modules) for _ in range(2)]
    for thread in (*running, *exporting):
        thread.start()
    for thread in exporting:
        thread.join()
    going.set()
    for thread in running:
        thread.join()
    assert wrong == []
    after = of_the_process()
    assert {name: after[name] for name in after if after[name] != before[name]} == {}
    for model in models:
        session = rnnbench.load(tmp_path / model.name, "onnx")
        rng = np.random.default_rng(0)
        arrays = {
            "x": rng.standard_normal((2, 5, 3) if "packed" in model.name else (5, 1, 3)),
            "lengths": np.array([5, 2]),
            "h": rng.standard_normal((1, session.bundle.inputs[-1].shape[-1] or 1))
            if "asks" in model.name
            else None,
        }
        arrays = {spec.name: arrays[spec.name].astype(spec.dtype) for spec in session.bundle.inputs}
        with torch.no_grad():
            y = model.module(*map(torch.from_numpy, arrays.values())).numpy()
        assert np.abs(session(arrays)["y"] - y).max() < 1e-5


def test_a_refusal_leaves_the_process_as_it_was(tmp_path):
    class Refused(nn.Module):
        def forward(self, x):
            return torch.zeros(int(x.sum()) + 3)

    before = of_the_process()
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(rnnbench.RnnbenchError))
        rnnbench.export(Model(Refused(), (TensorSpec("x", ("time", 1, 3)),), ("y",)), out=tmp_path)
    assert of_the_process() == before
