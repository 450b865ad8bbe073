"""The elements of constant arrays in C are those of the tensor, to the last bit."""

import re

import numpy as np
import torch

from rnnbench.formats.c.arrays import elements


def read(text):
    """The numbers of an initialiser, by Python."""
    found = re.findall(r"[^,\s]+", text)
    assert all(number.endswith("f") for number in found)
    return np.array([float.fromhex(n[:-1]) for n in found], np.float64).astype(np.float32)


def test_many_floats_are_exact():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 200_003, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    edges = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38]
    values = np.concatenate([np.array(edges, np.float32), values])
    text = "".join(elements(torch.from_numpy(values.copy())))
    assert np.array_equal(read(text).view(np.uint32), values.view(np.uint32))
    assert max(map(len, text.splitlines())) <= 120


def test_what_is_no_number_is_said_as_such():
    values = torch.randn(5000)
    values[7] = float("nan")
    values[4999] = -float("inf")
    text = "".join(elements(values))
    assert "(float)NAN" in text
    assert text.rstrip().endswith("(-(float)INFINITY),")


def test_few_floats_are_decimal_and_none_is_a_zero():
    assert list(elements(torch.tensor([0.1, -2.0]))) == ["    0.100000001f, (-2.0f),\n"]
    assert list(elements(torch.empty(0))) == ["    0,\n"]
    assert "".join(elements(torch.arange(9, dtype=torch.int8))).count("\n") == 2
