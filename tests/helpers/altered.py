"""Runtimes other than they are: what is not installed, say."""

from dataclasses import replace

from rnnbench.core import plugins


def alter(monkeypatch, name, **fields):
    """Gives a runtime other fields for one test."""
    adapter = plugins.load("runtimes", name)
    monkeypatch.setattr(adapter, "RUNTIME", replace(adapter.RUNTIME, **fields))


def take_away(monkeypatch, name, why):
    """A runtime that is not here, for this reason."""
    alter(monkeypatch, name, requires={}, lacks=lambda: why)
