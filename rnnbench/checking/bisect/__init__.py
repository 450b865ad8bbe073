"""The smallest failing case, and the first node that is off."""
