"""The functions that every file has: small ones of numbers, the product, the steps of layers."""

from pathlib import Path

HEADER = (Path(__file__).parent / "kernels.h").read_text(encoding="utf-8")
"""The text that stands before the model's own functions."""

FOURIER = (Path(__file__).parent / "fourier.h").read_text(encoding="utf-8")
"""What Fourier transforms need, after it."""
