"""Models of files that others wrote: what is fed to one, and what stands for its module."""
