"""A module before it is captured: how it is called, its weights, its declaration; built-in ones."""
