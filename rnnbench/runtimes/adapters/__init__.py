"""One file per runtime; a module whose name begins with `_` is a helper."""
