"""Values for arguments of a constructor by their names, and the text that makes them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

_RULES: list[tuple[str, tuple[Any, ...]]] = [
    (r"(.*_)?(device|dev)", (torch.device("cpu"),)),
    (r"dtype", (torch.float32,)),
    (r"(.*_)?(rnn_?type|cell_?type|rnn|cell|unit|unit_type|typ|etype|rnn_cell|mode)",
     ("LSTM", "lstm", "GRU", "gru", "RNN", "blstm", "RNN_TANH")),
    (r"(.*_)?(act(ivation)?|nonlinearity|act_fn|activation_fn)\w*", ("tanh", "relu", "Tanh")),
    (r"(.*_)?(pad(ding)?(_?(idx|id|index|token))?|blank(_?(id|idx))?|ignore_id|unk(_?idx)?)", (0,)),
    (r"(.*_)?(sos|bos|go|start|sos_eos)(_?(id|idx|token|index))?", (1,)),
    (r"(.*_)?(eos|end|stop)(_?(id|idx|token|index))?", (2,)),
    (r"(.*_)?(drop\w*|dropout\w*|zoneout\w*|\w*drop(out)?(_?(rate|p|prob))?)", (0.0,)),
    (r"(bi|bidir(ectional)?|is_bi\w*|.*_bidirectional|causal|use_\w+|is_\w+|with_\w+|return_\w+|"
     r"residual|skip|debug|verbose|pretrained|tie_weights|tied|attention)", (False, True)),
    (r"(bias|batch_first|.*_bias)", (True, False)),
    (r"(.*_)?(n_?layers?|num_?layers|nb_layers?|layers|depth|n_?blocks|num_?blocks|repeats?|"
     r"elayers|dlayers|num_stacks?|stacks?|\w*_layers|nlayers)", (2, 1)),
    (r"(.*_)?(n_?heads?|num_?heads|heads|groups|nheads?)", (2, 1, 4)),
    (r"(.*_)?(kernels?(_?size)?|kernel_width|filter_size|ksize)", (3,)),
    (r"(.*_)?(strides?|dilations?|subsample|factor|expansion\w*)", (1, 2)),
    (r"(.*_)?(vocab\w*|n_?vocab|num_embeddings|n_?tokens?|num_tokens|n_?words|n_?chars|num_chars|"
     r"alphabet\w*|n_?symbols|n_?items|odim|dict(ionary)?_size|\w+_vocab(_size)?)", (32,)),
    (r"(.*_)?(n_?class(es)?|num_?class(es)?|nb_class(es)?|n_?out\w*|n_?labels?|num_labels|"
     r"tagset_size|n_?tags|num_tags|n_?actions?|num_actions|action_(dim|size)|act_dim|"
     r"output(_?(size|dim|dims|features|channels))?|out(_?(dim|size|features|channels|ch))?|"
     r"n_targets|c_out|num_outputs|target_(dim|size))", (5, 16)),
    (r"nc|img_channels?|image_channels?|channels_in", (1, 3)),
    (r"(.*_)?(in(put)?(_?(size|dim|dims|features|channels|ch|nc))?|idim|n_?mels?|num_mels|feat\w*|"
     r"n_?feat\w*|num_feat\w*|n_?features|obs(ervation)?_(dim|size)|state_(dim|size)|enc_in|dec_in|"
     r"n_?in\w*|n_?bins|n_?freqs?|num_inputs|dim_in|c_in|n_?channels|num_channels|n_vars|"
     r"nb_bins|freq_bins|\w*_feats?)", (8, 16, 1)),
    (r"(obs|observation|state|input|in|image|img)_(shape|size)", ((8,), (1, 32, 32), (3, 64, 64))),
    (r"(.*_)?(n|num)_?(conv\w*|stages?|levels?|highways?\w*|iter\w*)", (2,)),
    (r"(.*_)?(n_?fft|fft_(len|size)|win\w*|(frame|window)_(len|size|length))", (64,)),
    (r"(.*_)?(hop\w*|win_inc|frame_shift|shift)", (16,)),
    (r"(.*_)?(sample_?rate|sr|fs|sampling_rate|samplerate)", (16000,)),
    (r"(.*_)?(img_?h|height|img_height|n_?rows)", (32,)),
    (r"(.*_)?(img_?w|width|img_width)", (64,)),
    (r"(.*_)?(seq_?len\w*|max_?len\w*|window|horizon|lookback|context_length|prediction_length|"
     r"pred_?len\w*|n_?steps|num_steps|time_steps|steps|max_steps|out_len|label_len|h|t)", (12,)),
    (r"(.*_)?(alpha|beta|tau\w*|decay|gamma|momentum|rho|leak\w*|p|rate|teacher\w*)", (0.9,)),
    (r"(.*_)?(thresh\w*|v_th|temperature|scale|dt|sigma|std)", (1.0,)),
    (r"(.*_)?(lr|eps|epsilon)", (1e-3,)),
    (r"(.*_)?(hidden_?(sizes|dims|units)|channels|dims|sizes|units|filters|hiddens|layer_sizes|"
     r"num_units|num_filters|out_channels_list)", ([16, 16], 16)),
    (r"(.*_)?kernel_sizes|.*dilations|.*strides", ([3, 3],)),
    (r"(.*_)?(embed\w*_(matrix|weights?)|pretrained\w*|weights?)", (None,)),
    (r"(.*_)?(config|cfg|conf|args|opts?|options|hparams|hps|params|hyper\w*)", ("<namespace>",)),
]  # fmt: skip
_COMPILED = [(re.compile(pattern, re.IGNORECASE), values) for pattern, values in _RULES]


@dataclass
class Chosen:
    """A value and the Python text that makes it.

    Attributes:
        value: what the constructor is given.
        text: makes it in the draft.
        imports: lines that the text needs.
    """

    value: Any
    text: str
    imports: tuple[str, ...] = ()


def literal(value: Any) -> Chosen:
    """A value that is written as Python writes it; of devices and dtypes, as PyTorch does."""
    if isinstance(value, torch.device):
        return Chosen(value, f'torch.device("{value}")', ("import torch",))
    if isinstance(value, torch.dtype):
        return Chosen(value, str(value), ("import torch",))
    if isinstance(value, SimpleNamespace):
        parts = {key: literal(part) for key, part in vars(value).items()}
        inner = ", ".join(f"{key}={part.text}" for key, part in parts.items())
        more = (line for part in parts.values() for line in part.imports)
        return Chosen(
            value, f"SimpleNamespace({inner})", ("from types import SimpleNamespace", *more)
        )
    if isinstance(value, Mapping):
        parts = {key: literal(part) for key, part in value.items()}
        inner = ", ".join(f"{quoted(key)}: {part.text}" for key, part in parts.items())
        return Chosen(value, f"{{{inner}}}", tuple(i for p in parts.values() for i in p.imports))
    return Chosen(value, quoted(value))


def quoted(value: Any) -> str:
    """`repr`, a str in double quotes as formatters write it."""
    if isinstance(value, str) and '"' not in value and "\\" not in value and value.isprintable():
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(quoted, value))}]"
    return repr(value)


def named_values(name: str) -> tuple[Any, ...]:
    """What an argument of this name may be; 16 where the name says only that it is a size."""
    for pattern, values in _COMPILED:
        if pattern.fullmatch(name):
            return values
    if re.fullmatch(r".*(size|dim|units|hid\w*|width|channels|d_model|ninp|embed\w*|num_?\w*|"
                    r"n_?\w*|rnn_?\w*)", name, re.IGNORECASE):  # fmt: skip
        return (16, 32, 8, 5)
    return ()


def hint_of(p: inspect.Parameter, cls: type) -> Any:
    """An annotation, also one that is written as text."""
    if isinstance(p.annotation, str):
        names = vars(sys.modules.get(cls.__module__, object()))
        try:
            return eval(p.annotation, dict(names))  # code that was imported already
        except Exception:  # it may be anything
            return p.annotation
    return p.annotation
