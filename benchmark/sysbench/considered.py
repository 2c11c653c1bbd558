"""What was considered so that a reader who knows MySQL finds no unfair setting, and what is unfair still. Text."""

from typing import Final

SHARED: Final = (
    "All machines of this run share the cores of one host: a stand-alone server, every node of the cluster, and"
    " sysbench. So this compares the work that a transaction takes, not how far a cluster scales. On hosts of"
    " their own the cluster's nodes would have cores of their own."
)
WHERE: Final = (
    "sysbench runs on each SQL node's own machine and connects to that server's Unix socket, for the"
    " stand-alone as for the cluster: SQL listens nowhere else, and an SSH tunnel would be measured with the"
    " server. For the cluster spread over several SQL nodes a process runs on each at the same time; the"
    " clients are shared out, rates are added, and latencies come from the histograms laid together."
)
STATISTICS: Final = (
    "Medians. Intervals are order statistics, which assume nothing of the distribution: the narrowest symmetric"
    " pair that covers the median with 93 % or more; for 5 repetitions the least and the most (93.75 %). Fewer"
    " repetitions cover less; then too it is the least and the most."
)
UNFAIR: Final = (
    "To the stand-alone: its clients share one machine's cores with it; a spread cluster's clients have those"
    " of several.",
    "To the cluster: no client pays for a network to its server, so what the nodes say to each other is all the"
    " network that there is, and it weighs more than it would if everybody had one.",
    "To the cluster through one SQL node: that node's processor is the bound, and the others only follow.",
    "To NDB: the SQL node that is asked alone is the manager's, which has no data node beside it: each row"
    " comes over the network, as it would for most rows of a large cluster. TLS between the nodes is on, as it"
    " is deployed.",
    "To NDB: sysbench asks one statement after the other and waits for each; what NDB does well, many clients"
    " on many partitions, needs more cores than a small machine has.",
    "To InnoDB where the durability differs: see above, and the settings below.",
)
CONSIDERED: Final = (
    "Engine: passed to sysbench at prepare, and each table's ENGINE is compared afterwards; rows are counted"
    " and the ids' bounds looked at on the last SQL node.",
    "Ids: --auto_inc=off, since Galera's nodes each take every n-th number, and point selects would miss most rows.",
    "Distribution: uniform. sysbench's default sends three of four accesses to one row in a hundred: all of it"
    " fits into any buffer pool, and writers on several nodes would mostly meet.",
    "Character set: latin1 for all; in utf8mb4 NDB keeps four bytes for each character of a CHAR, InnoDB one.",
    "Prepared statements: sysbench's default (server side), for all.",
    "Errors that every client must try again (1213, 1205, 1020, and NDB's 1297) are counted, and the"
    " measurement marked.",
    "Isolation: each engine's default. InnoDB has REPEATABLE READ; NDB knows READ COMMITTED only.",
    "Reads on Galera's nodes may be behind (wsrep_sync_wait=0, its default); NDB's and the stand-alone's are not.",
    "Buffer pool: half of the machine's memory for the stand-alone and for Galera's nodes. NDB keeps all rows"
    " in memory (DataMemory): its data set `larger` is larger than InnoDB's pool, not than its own memory.",
    "Doublewrite, flush method, redo log and the rest are the distribution's or vendor's defaults, except what"
    " the settings show; binary log: as shown. Performance schema: off for MySQL, as deployed.",
    "Warm-up: each measurement's first seconds are not counted; before a data set's first measurement both"
    " sides get load.",
    "Order: all cells of a size once, shuffled; then again, shuffled anew. So a slow minute does not hit one"
    " target only.",
    "Both sides run all the time: the idle one costs the other what the sentence on idle servers tells.",
    "The same random seed in the same repetition for every target; another one for each process.",
)
