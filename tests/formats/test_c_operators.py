"""Operators in C, against PyTorch in float64: every family, with the arguments that change it."""

import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.checking.check import check
from rnnbench.runtimes.adapters._compiling import compiler

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="no C compiler")


def batch_norm(x, training=False):
    mean, variance = torch.linspace(-1, 1, 6), torch.linspace(0.5, 2, 6)
    return F.batch_norm(x, mean, variance, training=training)


def wave(x):
    """One row of 64 samples."""
    return (x.sum((0, 1)).repeat(11)[:64] * torch.linspace(0, 9, 64).cos()).unsqueeze(0)


def parts(z):
    return torch.view_as_real(z)


# x [batch, time, 6] -> tensors
FAMILIES = {
    "activations": lambda x: (
        F.gelu(x),
        F.gelu(x, approximate="tanh"),
        F.elu(x, 0.7),
        F.selu(x),
        F.leaky_relu(x, 0.2),
        F.hardtanh(x, -0.3, 0.4),
        F.silu(x),
        F.mish(x),
        F.softplus(x),
        F.hardsigmoid(x),
        F.relu6(x),
        F.logsigmoid(x),
    ),
    "arithmetic": lambda x: (
        torch.remainder(x, 0.7),
        torch.remainder(x, -0.7),
        torch.fmod(x, 0.7),
        torch.div(x, 0.7, rounding_mode="floor"),
        torch.div(x, 0.7, rounding_mode="trunc"),
        torch.add(x, x.flip(-1), alpha=0.5),
        torch.sub(x, x.flip(-1), alpha=2),
        1.5 - x,
        x.abs() ** 1.7,
        2.0**x,
        x**3,
        torch.maximum(x, x.flip(-1)),
        x.clamp(-0.5, 0.5),
        x.clamp(max=0.1),
        torch.round(x),
        torch.atan2(x, x.flip(-1)),
    ),
    "functions": lambda x: (
        torch.exp(x),
        torch.expm1(x),
        torch.log1p(x.abs()),
        torch.sqrt(x.abs()),
        torch.rsqrt(x.abs() + 1),
        torch.sin(x),
        torch.cos(x),
        torch.erf(x),
        torch.sinh(x),
        torch.tanh(x),
        torch.sigmoid(x),
        torch.sign(x),
    ),
    "choices": lambda x: (
        torch.where(x > 0, x, -x),
        (x > 0) & (x < 1) | (x < -1),
        torch.isnan(x / x.round()),
        torch.maximum((4 * x).to(torch.int64), torch.minimum((x > 0).to(torch.int64), -x.long())),
        torch.stack([f(x.long()) for f in (torch.isnan, torch.isinf, torch.isfinite)]),
        (x > 0).to(torch.int64).cumsum(1),
        (x.argmax(-1), x.max(1).values, x.min(-1).indices)[0],
        x.max(1).values,
        x.min(-1).indices,
        x.topk(3, dim=-1).values,
        x.sort(dim=1, descending=True).indices,
        x.cummax(1).values,
    ),
    "reductions": lambda x: (
        x.sum(),
        x.mean((0, 2)),
        x.prod(-1),
        x.amax((1, 2), keepdim=True),
        x.var(-1),
        x.std(-1, correction=0),
        x.norm(dim=-1),
        x.norm(p=1, dim=(0, 1)),
        (x > 2).any(1),
        (x > -9).all(),
        x.cumsum(1),
        x.cumprod(-1),
        x.logcumsumexp(1),
        x.logsumexp(-1),
        x.softmax(-1),
        x.log_softmax(1),
    ),
    "norms": lambda x: (
        F.layer_norm(x, (6,), torch.linspace(0.5, 1, 6), torch.linspace(-1, 1, 6)),
        F.group_norm(x.transpose(1, 2), 3, torch.linspace(0.5, 1, 6), torch.linspace(-1, 1, 6)),
        batch_norm(x.transpose(1, 2)),
        F.normalize(x, dim=-1),
        F.instance_norm(x.transpose(1, 2)),
    ),
    "layout": lambda x: (
        x.permute(2, 0, 1).reshape(6, -1),
        x[:, 1:, ::2],
        x[:, -1],
        x.flip(1, 2),
        torch.cat([x, x[:, :1], -x], 1),
        torch.stack(x.chunk(3, -1), 1),
        x.repeat(2, 1, 3),
        x.roll(2, 1),
        x.unfold(1, 2, 1),
        x.unsqueeze(1).expand(-1, 4, -1, -1),
        F.pad(x, (1, 2, 0, 1), value=0.5),
        F.pad(x, (-1, 0)),
        x.tril(1),
        x.triu(-1),
        x.diagonal(0, 1, 2),
        torch.split(x, [1, 2, 3], -1)[2],
    ),
    "picking": lambda x: (
        x[:, :, [5, 0, 3]],
        x[torch.arange(x.shape[0]), (x.abs().sum((1, 2)).to(torch.int64) % x.shape[1])],
        x.gather(1, x.argsort(1)),
        x.index_select(2, torch.tensor([1, 1, 4])),
        torch.zeros_like(x).scatter(2, x.argmax(-1, keepdim=True), 1.0),
        torch.zeros_like(x).scatter_add(1, x.argsort(1), x),
        torch.index_copy(x, 2, torch.tensor([0, 5]), -x[:, :, :2]),
        torch.select_scatter(x, x[:, :, 0] * 2, 2, 3),
        torch.slice_scatter(x, x[:, :, :2], 2, 1, 5, 2),
    ),
    "products": lambda x: (
        x @ x.transpose(1, 2),
        torch.einsum("btf,bsf->bts", x, x),
        torch.baddbmm(x @ x.transpose(1, 2), x, x.transpose(1, 2), beta=0.5, alpha=2),
        torch.addmm(x[0], x[0], torch.linspace(-1, 1, 36).view(6, 6), beta=2, alpha=0.5),
        x[0] @ x[0, 0],
        torch.outer(x[0, 0], x[0, 0]),
        F.scaled_dot_product_attention(x, x, x),
    ),
    "convolutions": lambda x: (
        F.conv1d(x.transpose(1, 2), torch.linspace(-1, 1, 60).view(5, 6, 2)),
        F.conv1d(
            F.pad(x.transpose(1, 2), (2, 2)), torch.linspace(-1, 1, 90).view(5, 6, 3), dilation=2
        ),
        F.conv1d(x.transpose(1, 2), torch.linspace(-1, 1, 12).view(6, 1, 2), groups=6, padding=1),
        F.conv1d(
            x.transpose(1, 2),
            torch.linspace(-1, 1, 36).view(4, 3, 3),
            groups=2,
            stride=2,
            padding=1,
        ),
        F.conv2d(
            x.unsqueeze(1), torch.linspace(-1, 1, 27).view(3, 1, 3, 3), padding=1, stride=(1, 2)
        ),
        F.conv_transpose1d(
            x.transpose(1, 2), torch.linspace(-1, 1, 54).view(6, 3, 3), stride=2, padding=1
        ),
        F.conv_transpose1d(x.transpose(1, 2), torch.linspace(-1, 1, 36).view(6, 2, 3), groups=2),
    ),
    "spectra": lambda x: (
        parts(torch.fft.fft(x)),
        parts(torch.fft.rfft(x, norm="ortho")),
        parts(torch.fft.rfft(x, 5, norm="forward")),
        torch.fft.irfft(torch.fft.rfft(x) * 1.5, 6),
        torch.fft.irfft(torch.fft.rfft(x, 5), 7, norm="ortho"),
        parts(torch.fft.ifft(torch.complex(x, x.flip(-1)))),
        parts(torch.fft.fft2(x.unsqueeze(2).repeat(1, 1, 4, 1))),
        torch.fft.irfft2(torch.fft.rfft2(x.unsqueeze(2).repeat(1, 1, 4, 1)), (4, 6)),
        torch.stft(wave(x), 16, 4, window=torch.hann_window(16), return_complex=True).abs(),
        torch.complex(x.abs() + 1, x).angle(),
        torch.fft.hfft(torch.complex(x, x * 0.5), 8),
    ),
    "complex": lambda x: (
        parts(torch.complex(x, -x) * torch.complex(x.flip(-1), x)),
        parts(torch.complex(x, -x) / torch.complex(x.flip(-1) + 9, x)),
        parts(torch.complex(x, -x) * x + 1),
        parts(1 - torch.complex(x, x * 2).conj()),
        parts(torch.polar(x.abs(), x)),
        torch.view_as_complex(x.reshape(*x.shape[:2], 3, 2)).real,
        torch.complex(x, x * 3).imag,
        torch.cat([torch.complex(x, x), torch.complex(-x, x)], 1).abs(),
        parts(torch.complex(x, x * 2).transpose(1, 2)[:, ::2].unsqueeze(1)),
        torch.stack(torch.complex(x, x * 2).unbind(-1), 0).abs(),
        torch.complex(x, x).mul(torch.tensor([1j, 2, 3, 4j, 5, 6j])).abs(),
    ),
    "masks": lambda x: (
        torch.where(x > 0, x, x.median(-1, keepdim=True).values),
        x.median(1).indices.to(torch.float32).clamp(max=0),
        x.median(),
        x.where(x > 0, torch.nan).nanmedian(-1).values.nan_to_num(),
        x.where(x < 1, torch.nan).median(-1).values.nan_to_num(9),
        x.where(x < 1, torch.nan).sort(-1).values.nan_to_num(9),
        x.where(x < 1, torch.nan).sort(-1, descending=True).values.nan_to_num(9),
        torch.zeros_like(x).masked_scatter(x > 0, x.flip(-1)),
        torch.index_put(x, [x[:, :, 0] > 0], torch.tensor(2.0)),
        torch.index_put(x, [x > 0], torch.tensor(2.0)),
        torch.linalg.solve_triangular(
            x[:, :1].unsqueeze(-1) * 0.1 + 2 * torch.eye(6), x.transpose(1, 2), upper=True
        ).flatten(1)[:, :3],
        torch.linalg.solve_triangular(
            x[0, :1].unsqueeze(-1) * 0.1 + 2 * torch.eye(6), x, upper=False, left=False
        ),
    ),
    "pooling": lambda x: (
        F.max_pool1d(x, 3, 2, 1),
        F.avg_pool1d(x, 3, 2, 1),
        F.avg_pool1d(x, 3, 2, 1, count_include_pad=False),
        F.max_pool2d(x.unsqueeze(1), (1, 2)),
        F.adaptive_avg_pool1d(x, 4),
    ),
}


class Family(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return FAMILIES[self.name](x)


def model_of(module, count):
    x = TensorSpec("x", ("batch", "time", 6))
    return Model(module.eval(), (x,), tuple(f"y{n}" for n in range(count)))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_right_in_c(name, tmp_path):
    count = len(FAMILIES[name](torch.randn(3, 5, 6)))
    bundle = rnnbench.export(model_of(Family(name), count), ("c",), tmp_path)
    report = check(bundle, ["c"], isolate=False)
    wrong = [(r.output, r.verdict, r.reason) for r in report.rows if r.verdict != "same"]
    assert not wrong, wrong
    assert {row.runtime for row in report.rows} >= {"c"}


REFUSED = {
    "aten._native_batch_norm_legit_functional.default": lambda x: batch_norm(
        x.transpose(1, 2), training=True
    ),
    "a mean over windows that overhang": lambda x: F.avg_pool1d(x, 3, 2, 1, ceil_mode=True),
    "aten.addmv.default with factors": lambda x: torch.addmv(x[0, :, 0], x[0], x[0, 0], beta=0.5),
    "a power of whole numbers": lambda x: x.to(torch.int64) ** 4,
    "torch.float16": lambda x: (x.half() * 2).float(),
    "aten.exp.default of complex numbers": lambda x: torch.view_as_real(torch.complex(x, x).exp()),
    "a Fourier transform of an open length": lambda x: torch.fft.fft(x, dim=1).abs(),
    "aten.zeros_like.default to complex numbers": lambda x: parts(
        torch.zeros_like(x, dtype=torch.complex64) + x
    ),
    "torch.complex128": lambda x: torch.fft.fft(x.double()).abs(),
    "a roll over all dimensions": lambda x: x.roll(2),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_form_is_refused_and_not_wrong(what, tmp_path):
    class Refused(nn.Module):
        def forward(self, x):
            return REFUSED[what](x)

    with pytest.raises(RnnbenchError, match=rf"test_c_operators.py:\d+: {what}.* has no form in C"):
        rnnbench.export(model_of(Refused(), 1), ("c",), tmp_path)
