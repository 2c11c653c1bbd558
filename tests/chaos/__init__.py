"""Writes under random faults, and a checker of what became of them: `make chaos`."""
