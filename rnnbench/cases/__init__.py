"""Inputs and references: which cases there are, how a stream is fed, what counts as equal."""
