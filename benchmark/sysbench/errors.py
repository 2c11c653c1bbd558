"""What ends a run of sysbench; what a single measurement met is kept with it instead (measuring.py).

SysbenchError
├── SysbenchMissing   a machine has no sysbench 1.0, and it could not be installed
├── UnknownMatrix     no matrix of that name
├── RunUnusable       a run directory that can't be read, is of another version, or is of another cluster
├── NotFit            the cluster is not as the run needs it: no stand-alone server, a node that is not ready, no space
├── NotOurs           the benchmark's schema holds what the benchmark did not make
└── WrongTables       after preparing, the tables are not as they were asked for
"""

from benchmark.errors import BenchmarkError


class SysbenchError(BenchmarkError):
    """The root; the text says what is wrong and what to do."""


class SysbenchMissing(SysbenchError):
    """sysbench 1.0 is not on a machine and can't be installed."""


class UnknownMatrix(SysbenchError):
    """No matrix of that name; the message lists the known ones."""


class RunUnusable(SysbenchError):
    """The run directory can't be used."""


class NotFit(SysbenchError):
    """The cluster can't be measured as it is."""


class NotOurs(SysbenchError):
    """The schema has tables that are not sysbench's; they are left alone."""


class WrongTables(SysbenchError):
    """The tables' engine or rows are not those asked for."""
