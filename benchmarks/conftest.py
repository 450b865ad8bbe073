"""The suite's options; `rnnbench bench` passes its own on to them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.logger import PytestBenchmarkWarning
from subjects import Conditions

LISTS = {
    "cells": "elman,gru,lstm",
    "runtimes": "eager,torchscript,onnxruntime",
    "devices": "cpu,cuda",
    "hidden": "32,128",
    "batch": "1",
    "time": "32",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rnnbench")
    for name, default in LISTS.items():
        group.addoption(f"--{name}", default=default, help=f"with commas between ({default})")
    group.addoption("--threads", type=int, default=1, help="inside one operation, in every runtime")
    group.addoption("--quick", action="store_true", help="fewer rounds")


def pytest_configure(config: pytest.Config) -> None:
    # Warnings are errors, but an unstable machine or an empty selection must not end the suite.
    config.addinivalue_line(
        "filterwarnings", "default::pytest_benchmark.logger.PytestBenchmarkWarning"
    )
    warnings.simplefilter("default", PytestBenchmarkWarning)  # for those after the last test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    def values(name: str) -> list[str]:
        return str(metafunc.config.getoption(name)).split(",")

    for name in ("cell", "runtime", "device"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values(f"{name}s"))
    if "hidden" in metafunc.fixturenames:
        metafunc.parametrize("hidden", [int(value) for value in values("hidden")])
    if "conditions" in metafunc.fixturenames:
        threads = int(metafunc.config.getoption("threads"))
        sizes = itertools.product(*(map(int, values(n)) for n in ("batch", "time", "hidden")))
        metafunc.parametrize(
            "conditions",
            [Conditions(batch, time, hidden, threads) for batch, time, hidden in sizes],
            ids=str,
        )


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("quick"))


@pytest.fixture(autouse=True)
def _same_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """PyTorch's threads are global; ONNX Runtime's are set for each session (pitfall 29)."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(request.config.getoption("threads")))
    yield
    torch.set_num_threads(before)
