"""Bundles that several files test, and what the tests say at their end."""

import functools
import gc
import os
import shutil
import sys
import tempfile

# A core for each process of pytest-xdist: threads of OpenMP that wait for one another burn it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from torch import nn

from rnnbench.models import variants
from tests.helpers import task_models, tiers
from tests.helpers.onnxruntime_headers import headers
from tests.helpers.shared import Shared, once_per_process

gc.set_threshold(100_000, 20, 20)  # a trace makes many objects, and hardly any garbage


def pytest_addoption(parser):
    parser.addoption(
        "--full",
        action="store_true",
        help="every large search, for hours: see tests/helpers/tiers.py",
    )


def pytest_configure(config):
    tiers.choose(config.getoption("--full"))
    if not hasattr(config, "workerinput"):  # what the tests export is recorded in one folder
        made = tempfile.mkdtemp(prefix="rnnbench-state-")
        os.environ["RNNBENCH_STATE_DIR"] = made
        config.add_cleanup(lambda: shutil.rmtree(made, ignore_errors=True))


def pytest_collection_modifyitems(config, items):
    """What is marked `full` runs with --full alone."""
    if not config.getoption("--full"):
        left = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Refuses a model that is built when a test file is imported: its weights are unseeded."""

    def guarded(self, *args, **kwargs):
        frame = sys._getframe(1)
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith("tests."):
                raise TypeError("a test file builds a model when it is imported: make it a factory")
            frame = frame.f_back
        built(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        built = nn.Module.__init__
        patch.setattr(nn.Module, "__init__", guarded)
        return (yield)


def pytest_collection_finish():
    """What is there stays for the whole run: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    """No test's weights depend on which tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def operators_of_onnx():
    """The same for each export of a process."""
    with pytest.MonkeyPatch.context() as patch:
        once_per_process(patch)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Folders and bundles that are made once per run; leave them as they are, or copy them."""
    base = tmp_path_factory.getbasetemp()  # of one process of pytest-xdist, below that of the run
    return Shared((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared")


@pytest.fixture(scope="session")
def variant_bundle(shared):
    """The name of a variant -> its small model and its bundle; leave it as it is."""

    def get(name):
        ids = variants.reads(name) == "ids"
        options = variants.Options(5, 4, 2, output_size=4, vocabulary=9 if ids else None)
        model = variants.model(name, options, bundle_name=name)
        formats = ("onnx", "torchscript", "pt2")
        return model, shared.export(f"variant-{name}", lambda: model, formats)

    return get


@pytest.fixture(scope="session")
def task_bundles(shared):
    """The models of tests/helpers/task_models.py by name; leave them as they are."""
    return {
        name: shared.export(
            f"task-{name}", functools.partial(task_models.model, name), task_models.FORMATS
        )
        for name in task_models.MODELS
    }


@pytest.fixture(scope="session")
def onnxruntime_root():
    """The folder with the headers, named by ONNXRUNTIME_ROOT; skips where there is none."""
    try:
        root = headers()
    except OSError as error:
        pytest.skip(f"no headers of ONNX Runtime: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONNXRUNTIME_ROOT", str(root))
        yield root


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--full"):
        found = {k: len(terminalreporter.getreports(k)) for k in ("passed", "failed", "error")}
        outcome = ", ".join(f"{number} {what}" for what, number in found.items())
        terminalreporter.write_line(f"{tiers.headline()}: {outcome}")
    scores = [
        value.split("/")
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == "mutations" and getattr(report, "when", "") == "call"
    ]
    if scores:
        caught, all_ = (sum(int(score[i]) for score in scores) for i in (0, 1))
        terminalreporter.write_line(
            f"mutations caught: {caught} of {all_} ({len(scores)} artifacts)"
        )
