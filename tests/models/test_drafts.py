"""`rnnbench init` of classes in the style of published packages: the axes are found by running."""

import pytest
import torch

import rnnbench
from rnnbench import __main__ as cli
from rnnbench.models import sources
from rnnbench.models.declaration.draft import draft, write

B, T = "batch", "time"

# What a user would declare: each input's shape; None for a size that may be any fixed one.
DRAFTS = {
    "speech:MaskEnhancer": {"noisy": (B, None, T)},
    "speech:WaveDenoiser": {"mix": (B, 1, T)},
    "speech:Encoder": {"xs_pad": (B, T, None), "ilens": (B,)},
    "speech:Predictor": {"y": (B, T), "h0": (1, B, None), "c0": (1, B, None)},
    "speech:ListenAttend": {
        "prev_token": (B,),
        "h0": (B, None),
        "c0": (B, None),
        "encoder_out": (B, T, None),
    },
    "speech:VoiceActivity": {"x": (B, T), "state": (2, B, 12)},
    "speech:Separator": {"x": (B, 2, 33, T)},
    "speech:SpeakerEncoder": {"utterances": (B, T, 10)},
    "speech:DualPathBlock": {"x": (B, 6, T, 9)},
    "speech:Vocoder": {"x": (B, T), "mels": (B, T, None), "speaker": (B, None)},
    "text:BiLstmTagger": {"sentence": (B, T)},
    "text:LanguageModel": {"input": (T, B), "h0": (2, B, None), "c0": (2, B, None)},
    "text:SentenceClassifier": {"text": (T, B), "text_lengths": (B,)},
    "text:TargetDecoder": {"input": (B,), "hidden": (1, B, None)},
    "text:Seq2Seq": {"src": (T, B), "trg": ("trg_time", B)},
    "text:Attentive": {"source": (B, T), "target": (B, "target_time")},
    "text:PairReader": {"premise": (B, T), "hypothesis": (B, "hypothesis_time")},
    "text:CharWordTagger": {"words": (B, T), "chars": (B, T, "chars_time")},
    "text:PackedTagger": {"tokens": (B, T), "lengths": (B,)},
    "series:Forecaster": {"x": (B, T, None)},
    "series:DeepAutoregression": {
        "x": (T, B, None),
        "idx": (B,),
        "hidden": (2, B, None),
        "cell": (2, B, None),
    },
    "series:Autoencoder": {"x": (B, T, None)},
    "series:Trajectory": {"obs_traj": (T, B, 2)},
    "series:Liquid": {"input": (B, T, None), "hx": (B, None)},
    "series:StackedCells": {
        "x": (T, B, None),
        "states_0_0": (B, None),
        "states_0_1": (B, None),
        "states_1_0": (B, None),
        "states_1_1": (B, None),
    },
    "series:LeakyLayer": {"x": (B, 6)},
    "series:SpikingNet": {"current": (T, B, None)},
    "series:Gap": {"values": (B, T, 5), "masks": (B, T, 5), "deltas": (B, T, 5)},
    "control:RecurrentPolicy": {"obs": (B, None), "rnn_hxs": (B, None)},
    "control:SequenceCritic": {"states": (T, B, None), "actions": (T, B, None), "dones": (T, B)},
    "control:TextInImage": {"input": (B, 1, 32, T)},
    "control:VideoClassifier": {"frames": (B, T, 3, None, None)},
    "control:KeywordSpotter": {"spectrogram": (B, 12, T)},
    "control:FlatImageReader": {"mel": (B, 1, T, None)},
    "control:WorldModel": {"action": (T, B, None), "latent": (T, B, None)},
    "control:JoinedMemory": {"input_tensor": (B, T, None), "memories": (1, B, 16)},
    "control:Nowcaster": {"x": (T, B, 8, None, None), "hidden_state": (B, 4, None, None)},
    "kinds:GroupedLayers": {"x": (B, T, 64)},
    "kinds:WordsOfAnyType": {"X": (B, T)},
    "kinds:StyleEncoder": {"inputs": (B, T, 16)},
    "kinds:SynapticCell": {"input_": (B, 16), "syn": (B, 16), "trace": (B, 16)},
    "kinds:UnreadMask": {"src_embed": (B, T, None), "src_length": (B,), "mask": (B, T)},
    "kinds:DecayImputer": {
        "X": (B, T, 5),
        "missing_mask": (B, T, 5),
        "deltas": (B, T, 5),
        "empirical_mean": (5,),
        "last": (B, T, 5),
    },
    "kinds:ConfiguredStack": {"x": (B, T, 16)},
    "kinds:PackedCells": {"inputs": (B, T, 5), "lengths": (B,), "att_scores": (B, T)},
    "kinds:ScriptedCell": {"input": (B, 6), "state": (B, 8)},
    "kinds:NothingBeside": {"inputs": (B, T, 8)},
    "kinds:SampleVocoder": {"x": (B, "10*time"), "mels": (B, T, 12)},
    "kinds:ReadsPadded": {"padded": (B, T, 6), "sizes": (B,)},
    "kinds:AttentiveCell": {"x": (B, 6), "hx": (B, 8), "weight": (B,)},
    "kinds:SomeOfTheFeatures": {"input": (B, T, 16), "state": (4, B, 8)},
    "kinds:ContextBeside": {"x": (T, B, 7), "c": (B, 3)},
    "kinds:ReadsArguments": {"tokens": (B, T)},
    "kinds:ReadsKeys": {"x": (B, T, 8)},
    "kinds:CountsOfSteps": {"x": (B, T), "of_each": (B,)},
    "kinds:LinesOfText": {"image": (B, 1, 64, T)},
    "kinds:RoundedBins": {"input": (B, 1, T, 40)},
    "kinds:WindowOfInputs": {"input_data": (B, 9, 6)},
    "kinds:FlatDays": {"x": (B, "6*time")},
    "kinds:Durations": {"x": (B, None, T), "style": (B, None), "text_lengths": (B,), "m": (B, T)},
}
STATES = {
    "speech:Predictor": {"h0": "hn", "c0": "cn"},
    "text:LanguageModel": {"h0": "hn", "c0": "cn"},
    "text:TargetDecoder": {"hidden": "hidden_next"},
    "series:DeepAutoregression": {"hidden": "hidden_next", "cell": "cell_next"},
    "series:Liquid": {"hx": "hn"},
    "series:StackedCells": {
        f"states_{i}_{j}": f"states_{i}_{j}_next" for i in (0, 1) for j in (0, 1)
    },
    "control:RecurrentPolicy": {"rnn_hxs": "rnn_hxs_next"},
    "kinds:SynapticCell": {"syn": "syn_next", "trace": "trace_next"},
    "kinds:AttentiveCell": {"hx": "hn"},
    "kinds:SomeOfTheFeatures": {"state": "state_next"},
}
EXPORTED = (
    "control:KeywordSpotter",  # a least length
    "speech:Encoder",  # lengths in falling order
    "series:LeakyLayer",  # a state that the module keeps
    "control:RecurrentPolicy",  # a distribution
    "control:JoinedMemory",
    "kinds:PackedCells",
    "kinds:NothingBeside",
    "kinds:SampleVocoder",
    "kinds:StyleEncoder",
    "kinds:ReadsPadded",
)


def drafted(name, tmp_path):
    found = draft(f"tests.models.drafts.{name}", tmp_path)
    assert found.complete, found.notes
    return sources.load(str(write(found, tmp_path / "drafted.py")))


@pytest.mark.parametrize("name", DRAFTS)
def test_batch_and_time_are_found(name, tmp_path):
    model = drafted(name, tmp_path)
    shapes = {spec.name: spec.shape for spec in model.inputs if spec.name in DRAFTS[name]}
    assert {k: [str(d) for d in shape] for k, shape in shapes.items()} == {
        k: [str(found) if want is None else str(want)
            for want, found in zip(shape, shapes.get(k, ()), strict=True)]
        for k, shape in DRAFTS[name].items()
    }  # fmt: skip
    for spec in model.inputs:  # a size that may be any is fixed nevertheless
        wanted = DRAFTS[name].get(spec.name, ())
        assert all(isinstance(d, int) for d, want in zip(spec.shape, wanted, strict=False)
                   if want is None)  # fmt: skip
    assert dict(model.states).items() >= STATES.get(name, {}).items()


def test_a_module_whose_eval_gives_nothing_runs_eagerly(tmp_path):
    model = drafted("control:JoinedMemory", tmp_path)
    bundle = rnnbench.export(model, ("pt2",), tmp_path / "exports")
    assert rnnbench.check(bundle, ["eager"], model=model).ok


@pytest.mark.parametrize("name", EXPORTED)
def test_a_draft_is_exported_unedited(name, tmp_path):
    bundle = rnnbench.export(drafted(name, tmp_path), ("pt2",), tmp_path / "exports")
    rows = rnnbench.check(bundle, ["pt2"]).rows
    assert {(row.verdict, row.reason) for row in rows} == {("same", "")}


def test_what_is_given_takes_the_form_that_the_constructor_wants(tmp_path):
    found = draft(
        "tests.models.drafts.kinds:AttributeConfigured",
        tmp_path,
        arguments={
            "input_size": 6,
            "mlp_cfg": {"units": 8, "head": {"size": 3}},
            "norm": "torch.nn.LayerNorm",
        },
    )
    assert found.complete, found.notes
    module = sources.load(str(write(found, tmp_path / "drafted.py"))).module
    assert module.head.out_features == 3
    assert isinstance(module.norm, torch.nn.LayerNorm)


def test_a_dict_becomes_the_config_that_is_wanted(tmp_path):
    found = draft(
        "tests.models.drafts.kinds:ConfiguredStack",
        tmp_path,
        arguments={"config": {"cell": {"embedding_dim": 12, "backend": "eager"}, "blocks": [0]}},
    )
    assert found.complete, found.notes
    module = sources.load(str(write(found, tmp_path / "drafted.py"))).module
    assert len(module.layers) == 1
    assert module.heads.in_features == 12


def test_a_config_that_takes_one_dict_and_dicts_in_dicts(tmp_path):
    found = draft(
        "tests.models.drafts.kinds:Catchment",
        tmp_path,
        arguments={"cfg": {"dynamic_inputs": ["rain", "heat"], "hidden_size": 12}},
    )
    assert found.complete, found.notes
    model = sources.load(str(write(found, tmp_path / "drafted.py")))
    shapes = {spec.name: spec.shape for spec in model.inputs}
    assert shapes == {"rain": (B, T, 1), "heat": (B, T, 1), "x_static": (B, 2)}
    assert model.outputs == ("hidden",)
    bundle = rnnbench.export(model, ("pt2",), tmp_path / "exports")
    assert rnnbench.check(bundle, ["pt2"]).ok


def test_a_config_that_is_given_in_part_is_completed(tmp_path):
    found = draft(
        "tests.models.drafts.kinds:ReadsArguments", tmp_path, arguments={"args": {"nhid": 11}}
    )
    assert found.complete, found.notes
    module = sources.load(str(write(found, tmp_path / "drafted.py"))).module
    assert module.rnn.hidden_size == 11


def test_a_class_may_be_called_as_what_the_draft_imports(tmp_path):
    found = draft(
        "tests.models.drafts.kinds:Model",
        tmp_path,
        arguments={"size": 6, "kinds": "[torch.nn.Sigmoid, nn.Tanh]", "of": "{'a': nn.ReLU()}"},
    )
    assert found.complete, found.notes
    module = sources.load(str(write(found, tmp_path / "drafted.py"))).module
    assert [type(part).__name__ for part in module.after] == ["Sigmoid", "Tanh"]


def test_weights_without_values_get_some(tmp_path):
    module = drafted("kinds:UnsetWeights", tmp_path).module
    assert all(0 < p.abs().max() <= 0.1 for p in module.parameters())
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_least_sizes_are_declared(tmp_path):
    model = drafted("kinds:StyleEncoder", tmp_path)
    assert model.dims == {"batch": rnnbench.Dim(), "time": rnnbench.Dim(min=17)}
    (tmp_path / "flat").mkdir()
    model = drafted("kinds:FlatDays", tmp_path / "flat")
    assert model.dims == {"batch": rnnbench.Dim(min=2), "time": rnnbench.Dim()}


def checkpoint(tmp_path, name, *arguments, prefix="", nest=lambda state: state, **options):
    """A file with the weights of a class, as somebody's training loop keeps them."""
    module_name, _, class_name = f"tests.models.drafts.{name}".partition(":")
    cls = getattr(__import__(module_name, fromlist=[class_name]), class_name)
    torch.manual_seed(1)
    net = cls(*arguments, **options)
    state = {prefix + key: value for key, value in net.state_dict().items()}
    torch.save(nest(state), tmp_path / "ckpt.pt")
    return net, tmp_path / "ckpt.pt"


NESTS = {
    "plain": ("", lambda state: state),
    "parallel": ("module.", lambda state: {"epoch": 3, "model_state_dict": state}),
    "lightning": (
        "model.",
        lambda state: {
            "state_dict": state | {"loss.weight": torch.ones(3)},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(4)}}}],
        },
    ),
}


@pytest.mark.parametrize("kind", NESTS)
def test_weights_say_the_arguments_and_are_loaded(kind, tmp_path):
    prefix, nest = NESTS[kind]
    name = "text:BiLstmTagger"
    net, file = checkpoint(tmp_path, name, 17, 4, 6, 10, prefix=prefix, nest=nest)
    found = draft(f"tests.models.drafts.{name}", tmp_path, weights=file)
    assert found.complete
    assert "weights_only=True" in found.text
    assert "hidden_dim=10,  # from the shapes of the weights" in found.text
    model = sources.load(str(write(found, tmp_path / "drafted.py")))
    assert model.inputs[0].high == 17
    for key, value in net.state_dict().items():
        assert torch.equal(model.module.state_dict()[key], value)


def test_layers_and_directions_are_counted_in_the_weights(tmp_path):
    name = "speech:Encoder"
    _, file = checkpoint(tmp_path, name, idim=9, elayers=3, cdim=7, hdim=11, dropout=0.1)
    text = draft(f"tests.models.drafts.{name}", tmp_path, weights=file).text
    for said in ("idim=9,", "elayers=3,", "cdim=7,", "hdim=11,"):
        assert said in text


def test_arguments_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as caught:
            cli.main(("init", "a.py", "--from", "tests.models.drafts.text:LanguageModel", *words))
        return caught.value.code, capsys.readouterr().err

    code, err = run("--arg", "rnn_type=GRU", "--arg", "nhid=7", "--arg", "nlayers=1")
    assert code == 0
    text = (tmp_path / "a.py").read_text()
    assert 'rnn_type="GRU",\n' in text
    assert "nhid=7,\n" in text
    assert "ninp=8,  # CHOSEN: it has no default\n" in text
    assert "chosen, as the constructor has no defaults: ntoken=32, ninp=8" in err
    assert run("--arg", "nhid")[0] == 2
    assert "--arg 'nhid': give NAME=VALUE" in run("--arg", "nhid")[1]
    assert "--arg size: LanguageModel takes rnn_type, ntoken" in run("--arg", "size=3")[1]
    assert "there is no file none.pt" in run("--weights", "none.pt")[1]
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    assert "bad.pt cannot be read with weights_only=True" in run("--weights", "bad.pt")[1]
