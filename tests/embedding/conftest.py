"""How the projects of these tests are compiled."""

import pytest

from tests.helpers import c_models, compile_once
from tests.helpers.projects import TARGETS


@pytest.fixture(scope="session", autouse=True)
def compiled_once(shared):
    """What several projects have in common is compiled once per run."""
    objects = shared.folder("objects", lambda folder: None)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in compile_once.environment(objects).items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def headers_of_target(request):
    """Only a target that needs the headers of ONNX Runtime has them downloaded."""
    target = getattr(request.node, "callspec", None) and request.node.callspec.params.get("target")
    if target and any("$ONNXRUNTIME_ROOT" in file for file in TARGETS[target].files):
        request.getfixturevalue("onnxruntime_root")


@pytest.fixture(scope="session")
def c_bundle(shared):
    """The bundle with C of a model of tests/helpers/c_models.py, by its name."""
    return lambda name: shared.export(f"embed-c {name}", lambda: c_models.build(name), ("c",))
