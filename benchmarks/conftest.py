"""The suite's options, its items, and how a measurement becomes pytest-benchmark's own entry."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.logger import PytestBenchmarkWarning

from rnnbench.benchmarking.machine import describe_machine
from rnnbench.benchmarking.measuring.artifacts import Artifacts
from rnnbench.benchmarking.measuring.measure import Measured, describe_comparison
from rnnbench.benchmarking.measuring.paired import Compared
from rnnbench.benchmarking.measuring.roofline import measure_limits
from rnnbench.benchmarking.measuring.sampling import FULL, QUICK, Effort
from rnnbench.benchmarking.plan import Plan, items, numbers
from rnnbench.benchmarking.refusals import check_plan

LISTS = ("targets", "runtimes", "devices")
SIZES = ("batch", "time", "hidden", "layers", "threads")
Keep = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rnnbench")
    for name in (*LISTS, *SIZES):
        group.addoption(f"--{name}", help="with commas between; see rnnbench bench --help")
    group.addoption("--quick", action="store_true", help="fewer sizes, shorter measurements")


def pytest_configure(config: pytest.Config) -> None:
    # Warnings are errors, but an unstable machine or an empty selection must not end the suite.
    config.addinivalue_line(
        "filterwarnings", "default::pytest_benchmark.logger.PytestBenchmarkWarning"
    )
    warnings.simplefilter("default", PytestBenchmarkWarning)  # for those after the last test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "item" in metafunc.fixturenames:
        kind = metafunc.function.__name__.removeprefix("test_")
        found = [item for item in items(_plan(metafunc.config)) if item.kind == kind]
        metafunc.parametrize("item", found, ids=[item.id for item in found])


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    plan = _plan(config)
    limits = measure_limits(plan.threads, plan.hidden)
    skipped = config.stash.get(SKIPPED, [])
    facts = {**describe_machine(), "limits": limits, "skipped": skipped, "plan": plan.to_json()}
    machine_info["rnnbench"] = facts


SKIPPED = pytest.StashKey[list[dict[str, str]]]()


@pytest.fixture(scope="session")
def artifacts() -> Iterator[Artifacts]:
    with Artifacts() as made:
        yield made


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> Effort:
    return QUICK if request.config.getoption("quick") else FULL


@pytest.fixture
def keep(benchmark: BenchmarkFixture) -> Keep:
    """Hands what our own harness timed to pytest-benchmark, as if it had."""

    def keep(measured: Measured) -> None:
        _keep(benchmark, measured.group, measured.info, measured.seconds, measured.calls)

    return keep


@pytest.fixture
def keep_ratio(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> Keep:
    """The same for a comparison that is no item of a plan: `this` against `versus`."""

    def keep(compared: Compared, what: str, group: str, this: dict[str, Any], versus: str) -> None:
        usual = {"model": "", "cell": "", "form": "", "runtime": "", "mode": "", "device": "cpu"}
        sizes = {"batch": 1, "time": 1, "hidden": None, "layers": None, "threads": 1}
        side = {"model": "", "form": versus, "runtime": "", "mode": ""}
        info = {"kind": "ratio", **usual, **sizes, "frames_per_second": None, **this}
        info |= describe_comparison(compared, what) | {"versus": side}
        _keep(benchmark, group, info, compared.first, 1)
        with capsys.disabled():
            interval = f"{compared.low:.3f} to {compared.high:.3f}"
            print(f"\n{group}: {compared.ratio:.3f} ({interval}) {compared.why_unstable}")

    return keep


def skip(request: pytest.FixtureRequest, what: str, reason: str) -> None:
    """A row with its reason in the results, too."""
    request.config.stash.setdefault(SKIPPED, []).append({"what": what, "reason": reason})
    pytest.skip(reason)


def _keep(
    benchmark: BenchmarkFixture,
    group: str,
    info: dict[str, Any],
    seconds: tuple[float, ...],
    calls: int,
) -> None:
    """pytest-benchmark (tried: 5.3) has no public way to take samples that others measured."""
    benchmark.group = group
    benchmark.extra_info.update(info)
    benchmark._mode = "measured by rnnbench"
    if benchmark.enabled:
        stats = benchmark._make_stats(calls)
        for value in seconds:
            stats.update(value * calls)  # it divides again


def _plan(config: pytest.Config) -> Plan:
    quick = bool(config.getoption("quick"))
    given: dict[str, Any] = {"time": (32,), "hidden": (128,)} if quick else {}
    for name in SIZES:
        if config.getoption(name):
            given[name] = numbers(name, config.getoption(name))
    for name in LISTS:
        if config.getoption(name):
            given[name] = tuple(config.getoption(name).split(","))
    plan = Plan(**given, quick=quick)
    check_plan(plan)
    return plan
