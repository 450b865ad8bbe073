"""Small models as users write them; each is exported, run elsewhere and compared.

One file per family. A file is added to the zoo by being in this folder.
"""

from zoo.registry import ENTRIES, Entry, discover

discover()

__all__ = ["ENTRIES", "Entry"]
