"""The names that people type, and what is said of those that are nearly right."""

import pytest

from rnnbench import runtimes
from rnnbench.commands._pipeline import find_formats, find_targets
from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.runtimes.selection import parse


@pytest.mark.parametrize(
    ("typed", "own"),
    [("rnn", "elman"), ("rnn-loop", "elman-loop"), ("vanilla", "elman"), ("gru", "gru")],
)
def test_a_variant_by_its_other_name(typed, own):
    assert find_targets([typed, own]) == (own,)
    assert variants.describe(typed) == variants.describe(own)
    options = variants.Options(3, 4)
    assert variants.twin_name(typed, options) == variants.twin_name(own, options)
    assert str(variants.build(typed, options)) == str(variants.build(own, options))


def test_formats_and_runtimes_by_their_other_names():
    assert find_formats(["onnx,ts", "torchscript"]) == ("onnx", "torchscript")
    assert parse("ort:basic", runtimes.names()) == ("onnxruntime", "basic", "")
    assert runtimes.get("ts") is runtimes.get("torchscript")


def test_another_name_is_nobodys_own_name():
    for kind, others in plugins.ALIASES.items():
        own = variants.names() if kind == "variants" else plugins.names(kind)
        assert not set(others) & set(own)
        assert set(others.values()) <= set(own)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cpp", "did you mean cpp-aoti, cpp-libtorch or cpp-onnxruntime?"),
        ("CPP-AOTI", "did you mean cpp-aoti?"),
        ("swfit", "did you mean swift?"),
        ("python-onxruntime", "did you mean python-onnxruntime"),
    ],
)
def test_a_target_that_is_nearly_one(given, said):
    with pytest.raises(RnnbenchError, match=f"unknown target '{given}': choose from .*; ") as error:
        find_target(given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("given", "end"),
    [("trian", "train; did you mean train?"), ("abacus", "train"), ("", "train")],
)
def test_what_is_near_comes_last(given, end):
    assert str(choices("command", given, ["bench", "train"])) == (
        f"unknown command {given!r}: choose from bench, {end}"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("exprot",), "did you mean export?"),
        (("train", "gru-lop"), "did you mean gru-loop"),
        (("train", "--task", "wether"), "did you mean weather?"),
        (("export", "--fromat", "onnx"), "--format"),
        (("list", "run"), "did you mean runtimes?"),
    ],
)
def test_on_the_command_line(capsys, words, said):
    from rnnbench import __main__ as cli

    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
