"""What functions keep is as it was after a trace, and none of it comes from the trace."""

import functools
import threading

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensor

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.capture.pipeline import capture
from rnnbench.capture.tracing.caches import _keeping
from tests.zoo import MODELS
from tests.zoo.masks import numbers, ramp


def test_functions_keep_what_they_kept():
    ramp.cache_clear()
    numbers.held = torch.arange(4)
    capture(MODELS["TablesThatFunctionsKeep"].build())
    assert not isinstance(numbers.held, FakeTensor)
    assert torch.equal(numbers(3), torch.arange(3))
    assert all(not isinstance(ramp(size), FakeTensor) for size in range(1, 20))


def scaled(x):
    return x * scaled.table


def summed(x):
    return x * summed.table.sum()


def asked(x):
    """Whether it is there is asked, but nobody stores it."""
    return x * asked.table.sum() if hasattr(asked, "table") else x


scaled.table = summed.table = asked.table = torch.linspace(1, 2, 8)


def remembered(x):
    if not hasattr(remembered, "table"):
        remembered.table = torch.linspace(1, 2, 8)
    return x * remembered.table


def begun(x):
    if x.size(1) > begun.table.numel():
        begun.table = torch.arange(x.size(1)) / 10
    return x * begun.table[: x.size(1)].view(-1, 1)


begun.table = torch.zeros(0)


def once(x):
    if once.table is None:
        once.table = torch.linspace(1, 2, 8)
    return x * once.table


once.table = None


def set_by_name(x):
    if not hasattr(set_by_name, "table") or set_by_name.table.numel() < x.size(1):
        setattr(set_by_name, "table", torch.arange(x.size(1)) / 10)  # noqa: B010
    return x * set_by_name.table[: x.size(1)].view(-1, 1)


def _aliased(x):
    if getattr(aliased, "table", None) is None or aliased.table.numel() < x.size(1):
        aliased.table = torch.arange(x.size(1)) / 10
    return x * aliased.table[: x.size(1)].view(-1, 1)


aliased = _aliased


def grown(x):
    """Stored in place, as what is carried from one call to the next: no program does that."""
    grown.table += 0
    return x * grown.table


grown.table = torch.linspace(1, 2, 8)


def kept_by_a_method(x):
    return x * kept_by_a_method.table[: x.size(1)].view(-1, 1)


@functools.lru_cache
def window(size):
    return torch.arange(size) / 10


def windowed(x):
    return x * window(x.size(1)).to(x.dtype).view(-1, 1)


class Using(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.rnn = nn.GRU(8, 4, batch_first=True)
        self.function = [function]

    def forward(self, x):
        return self.rnn(self.function[0](x))[0]


class Keeping(Using):
    def forward(self, x):
        table = getattr(kept_by_a_method, "table", None)
        if table is None or table.numel() < x.size(1):
            kept_by_a_method.table = torch.arange(x.size(1)) / 10
        return self.rnn(kept_by_a_method(x))[0]


FUNCTIONS = (
    scaled,
    summed,
    asked,
    remembered,
    begun,
    once,
    set_by_name,
    aliased,
    kept_by_a_method,
    windowed,
)


def made(function):
    cls = Keeping if function is kept_by_a_method else Using
    # Looked up by its name at each call, as a model of a file does it.
    name = next(n for n, v in globals().items() if v is function)
    called = eval(f"lambda x: {name}(x)", globals())
    return Model(cls(called).eval(), (TensorSpec("x", ("batch", "time", 8)),), ("y",))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("called", [False, True], ids=["first", "called before"])
def test_constants_stay_and_caches_are_filled_anew(tmp_path, function, called):
    model = made(function)
    if called:
        model.module(torch.zeros(1, 5, 8))
    before = dict(vars(function))
    bundle = rnnbench.export(model, ("torchscript",), tmp_path)
    report = rnnbench.check(bundle, isolate=False, model=model)
    assert report.ok, [row.reason for row in report.rows]
    assert not any(isinstance(value, FakeTensor) for value in vars(function).values())
    assert vars(function).keys() >= before.keys()
    model.module(torch.zeros(1, 7, 8))  # in eager mode as ever


def test_only_what_a_function_stores_is_a_cache():
    for function in (remembered, begun, set_by_name, aliased):
        function(torch.zeros(1, 5, 8))
    found = {function.__name__: held for function, held in _keeping([globals()])}
    caches = {
        name: ["table"] for name in ("remembered", "begun", "set_by_name", "_aliased", "grown")
    }
    assert caches.items() <= found.items()
    assert not {"scaled", "summed", "asked"} & found.keys()


@pytest.mark.parametrize(
    "function", [scaled, remembered, begun, windowed], ids=lambda f: f.__name__
)
def test_other_threads_run_the_module_meanwhile(tmp_path, function):
    model = made(function)
    other = model.module
    x = torch.ones(1, 6, 8)
    with torch.no_grad():
        right = other(x)
    wrong, over = [], threading.Event()

    def work():
        while not over.is_set():
            try:
                with torch.no_grad():
                    if not torch.equal(other(x), right):
                        wrong.append("another result")
                window.cache_info()
            except Exception as error:
                wrong.append(repr(error))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            capture(made(function))
    finally:
        over.set()
        thread.join()
    assert wrong == []


def test_what_other_threads_store_meanwhile_stays():
    begun.table = torch.zeros(0)
    absent = []

    def store():
        begun.table = torch.arange(99)

    def traced(x):
        thread = threading.Thread(target=store)
        thread.start()
        thread.join()
        absent.append(not hasattr(begun, "table"))
        return x * 1.0

    model = made(scaled)
    model.module.function[0] = traced
    capture(model)
    assert torch.equal(begun.table, torch.arange(99))
    assert any(absent), "what another thread stores is not seen by the one that traces"
    begun.table = torch.zeros(0)
