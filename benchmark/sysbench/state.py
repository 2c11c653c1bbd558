"""How each server and its kernel are set, looked up before anything is measured."""

from typing import Final

from benchmark.sysbench import durability
from benchmark.sysbench.rundir import Server
from benchmark.sysbench.system import Subject
from deploy.host import Host

_KERNEL: Final = """\
echo "kernel $(uname -r)"
echo "cores $(nproc)"
echo "processor $(grep -m1 '^model name' /proc/cpuinfo | cut -d: -f2-)"
echo "memory of the host $(grep MemTotal /proc/meminfo | awk '{ printf "%d MiB", $2 / 1024 }')"
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ ! -r $file ] || echo "memory limit $(cat $file)"
done
for name in vm/swappiness vm/dirty_ratio vm/dirty_background_ratio net/ipv4/tcp_congestion_control; do
    [ ! -r /proc/sys/$name ] || echo "$name $(cat /proc/sys/$name)"
done
[ ! -r /sys/kernel/mm/transparent_hugepage/enabled ] ||
    echo "huge pages $(cat /sys/kernel/mm/transparent_hugepage/enabled)"
[ ! -r /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor ] ||
    echo "governor $(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)"
echo "file system $(stat --file-system --format %T /var/lib)"
"""
_NAMES: Final = (
    *("kernel", "cores", "processor", "memory of the host", "memory limit", "vm/swappiness", "vm/dirty_ratio"),
    *("vm/dirty_background_ratio", "net/ipv4/tcp_congestion_control", "huge pages", "governor", "file system"),
)


def look(subject: Subject, host: Host, sysbench: str) -> Server:
    """The server's settings that matter, its kernel, and the data nodes' parameters where it has such. HostError."""
    listed = ", ".join(f"'{name}'" for name in durability.VARIABLES)
    told = subject.engine.sql(host, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({listed})")
    return Server(
        variables=_pairs(told),
        kernel=kernel(host.sudo(_KERNEL)),
        sysbench=sysbench,
        ndb=_parameters(subject, host) if subject.is_ndb else None,
    )


def kernel(told: str) -> dict[str, str]:
    """The facts in what the script printed."""
    found: dict[str, str] = {}
    for line in told.splitlines():
        for name in _NAMES:
            if line.startswith(f"{name} "):
                found.setdefault(name, line[len(name) :].strip())
    return found


def _parameters(subject: Subject, host: Host) -> dict[str, str]:
    """Of the data nodes; where two differ, both values. See the manual on ndbinfo.config_values."""
    listed = ", ".join(f"'{name}'" for name in durability.NDB_PARAMETERS)
    told = subject.engine.sql(
        host,
        "SELECT p.param_name, GROUP_CONCAT(DISTINCT v.config_value) FROM ndbinfo.config_values v"  # noqa: S608
        " JOIN ndbinfo.config_params p ON p.param_number = v.config_param"
        " JOIN ndbinfo.nodes n ON n.node_id = v.node_id"
        f" WHERE p.param_name IN ({listed}) GROUP BY p.param_name",
    )
    return _pairs(told)


def _pairs(told: str) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in told.splitlines() if "\t" in line)
