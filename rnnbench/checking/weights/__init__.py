"""Every weight of the module is in the file: found there, or accounted for, or named."""
