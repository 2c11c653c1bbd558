"""What can go wrong with a target.

BenchmarkError
├── NotMeasured    the target can't be had here: its row says why, the others are measured
└── LoadFailed     the target is there and does not answer as it must
"""


class BenchmarkError(RuntimeError):
    """The root; the text says what is wrong."""


class NotMeasured(BenchmarkError):
    """The target can't be had on this machine."""


class LoadFailed(BenchmarkError):
    """The target does not answer rightly, or the load can't be made."""
