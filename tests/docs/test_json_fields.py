"""Every field of every JSON document is in docs/json.md, in the section of its verb."""

import json
import re

import pytest

from rnnbench import __main__ as cli
from rnnbench.benchmarking.store.adding import add_files
from tests.docs.pages import DOCS, ROOT

RESULTS = next((ROOT / "benchmarks/results").glob("*/0001_quick.json"))
FREE = {
    "outputs",
    "metrics",
    "versions",
    "skipped",
    "refused",
    "metadata",
    "artifacts",
    "failed",
} | {"by_machine"}
"""Fields whose keys are names: of outputs, packages, cases, formats, machines."""


def sections():
    """Heading -> the text below it."""
    text = (DOCS / "json.md").read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {name: parts[0] + body for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def fields(value, inside=""):
    """The keys of a document, but for those that are names of something."""
    if isinstance(value, list):
        for element in value:
            yield from fields(element, inside)
    elif isinstance(value, dict):
        for key, element in value.items():
            if inside in FREE:
                # below a name everything is a field again
                yield from fields(element)
            else:
                yield key
                yield from fields(element, key)


@pytest.fixture
def bundle(variant_bundle):
    return variant_bundle("gru")[1].path


CALLS = [
    ("list", "list devices"),
    ("train", "train gru --epochs 1"),
    ("export, check", "check BUNDLE --only traced --runtime onnxruntime"),
    ("check --drift", "check BUNDLE --drift 9 --runtime onnxruntime --runtime torchscript"),
    ("check --against", "check BUNDLE/model.onnx --against BUNDLE/model.ts"),
    ("inspect", "inspect BUNDLE/model.onnx"),
    ("inspect", "inspect BUNDLE/model.onnx BUNDLE/model.ts --diff"),
    ("optimize", "optimize BUNDLE/model.onnx -o better.onnx"),
    ("report", f"report {RESULTS}"),
    ("report --by", "report STORE --by machine"),
    ("report --by", "report STORE --by commit"),
    ("compare", f"compare {RESULTS} {RESULTS}"),
    ("conform", "conform BUNDLE --engine tract --profile plain"),
    ("embed", "embed --list"),
    ("embed", "embed BUNDLE --target python-onnxruntime"),
    ("init", "init draft.py --from torch.nn:GRU --arg input_size=3 --arg hidden_size=4"),
]


@pytest.mark.parametrize(("section", "command"), CALLS)
def test_every_field_is_documented(section, command, bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "STORE" in command:
        add_files(tmp_path / "STORE", [RESULTS])
    with pytest.raises(SystemExit):
        cli.main([*command.replace("BUNDLE", str(bundle)).split(), "--json"])
    document = json.loads(capsys.readouterr().out)
    text = sections()[section]
    assert f"`{document['schema']}`" in text
    if section == "report":
        text += sections()["Results files"]
    missing = {name for name in fields(document) if f"`{name}`" not in text}
    assert missing == set()


def test_the_manifest_is_documented(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    text = sections()["manifest.json"]
    # `traced` and the `dims` of cases hold sizes, `states` names, `dims` a record for each.
    manifest |= {"traced": 0, "states": 0, "dims": next(iter(manifest["dims"].values()))}
    manifest["cases"] = [case | {"dims": 0} for case in manifest["cases"]]
    assert {name for name in fields(manifest) if f"`{name}`" not in text} == set()


def test_results_files_are_documented():
    data = json.loads(RESULTS.read_text("utf-8"))
    text = sections()["Results files"]
    own = data["machine_info"]["rnnbench"]
    names = {*data, *own, *(name for b in data["benchmarks"] for name in b["extra_info"])}
    assert {name for name in names if f"`{name}`" not in text} == set()
