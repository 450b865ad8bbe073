"""Every refusal of the zoo: one line, the model's own place, the user's words, and a way out."""

import linecache
import re

import pytest

import rnnbench
from rnnbench import RnnbenchError
from tests.zoo.refused import REFUSED

# What no user has written: nodes, symbols of sizes, and what is inside of torch.
NOT_THEIRS = (
    r"%\w+|\bs\d+\b|\bu\d+\b|call_function|num_users|aten[:.]|FakeTensor|Proxy|SymInt|sym_\w+"
    r"|GraphModule|symbolic_shapes|_export|_dynamo|a bug|torch\._\w+|0x[0-9a-f]+"
)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_one_line_in_the_users_words(name, tmp_path):
    entry = REFUSED[name]
    with pytest.raises(RnnbenchError) as caught:
        rnnbench.export(entry.build(), ("onnx",), tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert entry.words in text
    assert not re.findall(NOT_THEIRS, text), text
    assert re.search(r"[:;] [a-z]", text), "it says what to do, or what is wrong"
    place = re.search(r"(\S+\.py):(\d+)", text)
    if entry.line:
        assert place, text
        assert entry.line in linecache.getline(place[1], int(place[2])), text
    else:
        assert place is None or place[1].endswith("refused.py"), text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [n for n, entry in REFUSED.items() if entry.way])
def test_the_way_out_exports(name, tmp_path):
    bundle = rnnbench.export(REFUSED[name].way(), ("onnx",), tmp_path)
    assert bundle.manifest["failed"] == {}
    assert rnnbench.check(bundle, isolate=False).ok
