"""sysbench on a cluster's machines: the stand-alone server against the cluster, scale, and the loss of a node.

Pure: matrix, plan, command, parser, merging, usage, intervals, cells, agreement, reading, durability, plots, documents.
On machines: system, measuring, timeline, run. On the operator's disk: rundir, report.
"""
