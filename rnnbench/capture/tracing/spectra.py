"""`torch.istft` of as many frames as there are, where PyTorch's own makes numbers of sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def istft(  # noqa: PLR0913  (torch's own arguments)
    x: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: Any = None,
    return_complex: bool = False,
) -> Tensor:
    """Stands in for `torch.istft`: windowed frames, added where they overlap.

    The sum is divided by that of the squared windows (D. W. Griffin, J. S. Lim: Signal estimation
    from modified short-time Fourier transform, IEEE TASSP 32(2), 1984, equation 6).

    x is the spectrum, ([batch,] frequencies, frames), complex; the other arguments are torch's.

    Returns:
        The signal, ([batch,] samples).
    """
    if not isinstance(x.shape[-1], torch.SymInt) or return_complex or onesided is False:
        return torch.istft(
            x, n_fft, hop_length, win_length, window, center,
            normalized, onesided, length, return_complex,
        )  # fmt: skip
    hop = n_fft // 4 if hop_length is None else hop_length
    wide = _window(x, n_fft, win_length, window)  # [n_fft]
    spectra = (x if x.dim() == 3 else x.unsqueeze(0)).transpose(1, 2)  # [batch, frames, bins]
    norm = "ortho" if normalized else "backward"
    frames = torch.fft.irfft(spectra, n_fft, dim=-1, norm=norm) * wide  # [batch, frames, n_fft]
    weights = wide.square().expand(1, frames.shape[1], n_fft)
    total = n_fft + hop * (frames.shape[1] - 1)
    start = n_fft // 2 if center else 0
    end = total - start if length is None else start + length
    y = _overlapped(frames, total, hop)[:, start:end]  # [batch, samples]
    y = y / _overlapped(weights, total, hop)[:, start:end]
    if length is not None:
        y = F.pad(y, (0, torch.sym_max(end - total, 0)))
    return y if x.dim() == 3 else y.squeeze(0)


def _window(x: Tensor, n_fft: int, win_length: int | None, window: Tensor | None) -> Tensor:
    """The window (n_fft), with zeros on both sides of one that is shorter."""
    size = n_fft if win_length is None else win_length
    if window is None:
        window = torch.ones(size, dtype=x.real.dtype, device=x.device)
    left = (n_fft - size) // 2
    return F.pad(window, (left, n_fft - size - left))


def _overlapped(frames: Tensor, total: Any, hop: int) -> Tensor:
    """Frames (batch, frames, size), one every `hop` samples, as a sum (batch, total)."""
    columns, size = frames.transpose(1, 2), frames.shape[2]
    return F.fold(columns, (1, total), (1, size), stride=(1, hop)).flatten(1)
