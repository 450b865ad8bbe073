"""One dimension of a value, followed through a program: what is read of it, and where."""
