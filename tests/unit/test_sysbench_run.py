"""A run and what can go wrong with it: benchmark/sysbench/{run,rundir,system,measuring,timeline,usage}.py."""

import gzip
import itertools
import subprocess
from pathlib import Path

import msgspec
import pytest

from benchmark.sysbench import measuring, run, system, timeline, usage
from benchmark.sysbench.errors import NotFit, NotOurs, RunUnusable, SysbenchMissing, WrongTables
from benchmark.sysbench.matrix import Size
from benchmark.sysbench.rundir import RunDirectory
from deploy.host import Done, HostError
from tests.unit.sysbench_world import SAMPLES, TIMELINE, Machine, World, manifest, transcript, world

SIZE = Size("fits", 2, 100)
LOST = HostError("data1: 'sysbench' could not be run: a signal ended it, or the connection was lost")


def carried_out(path: Path, found: World) -> RunDirectory:
    bench = found.bench(path)
    run.carry_out(bench)
    return bench.directory


def test_a_run_measures_every_item_of_its_plan_once(tmp_path: Path) -> None:
    found = world()
    results = carried_out(tmp_path / "run", found).results()
    assert [result.number for result in results] == list(range(6))
    assert {result.cell.target.name for result in results} == {"standalone", "cluster-1", "cluster-2"}
    assert all(result.rates and not result.errors for result in results)
    assert found.alone.measured == 2 + 1, "two repetitions, and the load before them"


def test_rates_of_several_nodes_are_added_and_those_of_one_are_not(tmp_path: Path) -> None:
    rates = {
        result.cell.target.name: result.rates.transactions_per_s
        for result in carried_out(tmp_path / "run", world()).results()
        if result.rates
    }
    assert rates == {"standalone": 3585.07, "cluster-1": 3585.07, "cluster-2": pytest.approx(2 * 3585.07)}


def test_progress_tells_the_time_that_is_left(tmp_path: Path) -> None:
    found = world()
    carried_out(tmp_path / "run", found)
    told = [line for line in found.said if "min left" in line]
    assert told[0].startswith("[run] 1 of 6, ")
    assert told[-1].startswith("[run] 6 of 6, 0 min left: ")
    assert any("seed 7; 6 of 6 measurements are left" in line for line in found.said)


def test_nothing_is_left_on_the_machines(tmp_path: Path) -> None:
    found = world()
    carried_out(tmp_path / "run", found)
    assert found.engine.schema == {}
    dropped = [host for host, script in found.engine.said if "DROP USER IF EXISTS gk_benchmark@localhost" in script]
    assert dropped == ["standalone", "manager"]
    assert all(machine.ran("rm -rf /run/gk-benchmark") for machine in (found.alone, *found.nodes))


def test_what_sysbench_printed_is_kept_compressed_with_the_samples(tmp_path: Path) -> None:
    directory = carried_out(tmp_path / "run", world())
    kept = sorted((directory.path / "transcripts").iterdir())
    assert len(kept) == 2 + 2 + 4
    text = gzip.decompress(kept[0].read_bytes()).decode()
    assert "Latency histogram" in text
    assert "----- samples" in text


def test_an_interrupted_run_resumes_with_what_is_left(tmp_path: Path) -> None:
    found = world()
    counter = itertools.count(1)

    def interrupted(_: int) -> str:
        if next(counter) == 4:
            raise KeyboardInterrupt
        return transcript("point-select")

    found.nodes[0].prints = interrupted
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path / "run", found)
    before = RunDirectory(tmp_path / "run").results()
    assert 0 < len(before) < 6
    assert found.engine.schema == {}, "an interrupted run takes its tables away, too"
    fresh = world()
    after = carried_out(tmp_path / "run", fresh).results()
    assert after[: len(before)] == before
    assert [result.number for result in after] == list(range(6))
    assert any(f"{6 - len(before)} of 6 measurements are left" in line for line in fresh.said)


def test_a_last_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    directory = carried_out(tmp_path / "run", world())
    path = directory.path / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(directory.results()) == 5
    assert [result.number for result in carried_out(tmp_path / "run", world()).results()] == list(range(6))


def test_a_run_directory_of_another_version_is_refused(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.begin(manifest())
    path = directory.path / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 99'))
    with pytest.raises(RunUnusable, match=r"written by another version \(format 99, not 1\)"):
        directory.load()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"seed": 1}', b'{"format": 1}'], ids=["empty", "list", "no", "bare"])
def test_a_manifest_that_is_none_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(RunUnusable, match=r"manifest|another version"):
        RunDirectory(tmp_path).manifest()


def test_a_directory_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunUnusable, match=r"nothing is no run: manifest\.json: No such file"):
        RunDirectory(tmp_path / "nothing").load()


def test_a_second_run_does_not_begin_in_the_directory_of_the_first(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "run").begin(manifest())
    with pytest.raises(RunUnusable, match="has a run already: resume it"):
        RunDirectory(tmp_path / "run").begin(manifest())


def test_a_full_disk_here_ends_the_run_and_says_that_it_can_be_resumed(tmp_path: Path) -> None:
    found = world()
    bench = found.bench(tmp_path / "run")
    (tmp_path / "run" / "results.jsonl").symlink_to("/dev/full")
    with pytest.raises(
        RunUnusable, match=r"the disk of .*run is full; what was measured is kept: make space and resume"
    ):
        bench.directory.add(carried_out(tmp_path / "other", world()).results()[0])


def test_a_machine_without_room_for_the_tables_is_refused_before_they_are_made() -> None:
    found = world()
    found.nodes[1].free = 10
    with pytest.raises(NotFit, match="data1: fits needs 0 MiB of disk, and 0 MiB are free"):
        system.prepare(found.cluster, SIZE)
    assert found.engine.schema == {}


def test_a_disk_that_becomes_full_while_tables_are_made_is_told_in_sysbenchs_words() -> None:
    found = world()
    told = "FATAL: mysql_drv_query() returned error 1114 (The table 'sbtest1' is full) for query 'INSERT'\n"
    found.alone.answers = {"prepare": Done(told, "", 1)}
    with pytest.raises(WrongTables, match=r"standalone: sysbench could not make the tables: .*1114"):
        system.prepare(found.standalone, SIZE)


def test_without_sysbench_and_a_way_to_get_it_the_machine_is_named() -> None:
    machine = Machine("data1", "data")
    machine.packages = set()
    machine.answers = {
        "apt-get": HostError("data1: 'apt-get' ended with status 100: Unable to locate package sysbench")
    }
    with pytest.raises(SysbenchMissing, match=r"data1 has no sysbench, and it can't be installed: .*Unable to locate"):
        system.install(machine)


def test_another_sysbench_is_refused() -> None:
    class Old(Machine):
        def attempt(self, script: str, **_: object) -> Done:
            return Done("sysbench 0.4.12\n", "", 0) if "--version" in script else super().attempt(script)

    with pytest.raises(SysbenchMissing, match=r"data1 has sysbench 0\.4\.12; 1\.0 is needed"):
        system.install(Old("data1", "data"))


def test_tables_of_an_aborted_run_are_said_and_made_anew(tmp_path: Path) -> None:
    found = world()
    found.engine.schema = {"cluster": ["sbtest1", "sbtest2"]}
    results = carried_out(tmp_path / "run", found).results()
    assert len(results) == 6
    assert "[manager] 2 tables of a run that was cut off are made anew" in found.said


def test_a_schema_with_a_table_that_is_not_sysbenchs_is_left_alone(tmp_path: Path) -> None:
    found = world()
    found.engine.schema = {"cluster": ["sbtest1", "orders"]}
    with pytest.raises(NotOurs, match=r"manager: gk_benchmark\.orders is not sysbench's"):
        carried_out(tmp_path / "run", found)
    assert found.engine.schema == {"cluster": ["sbtest1", "orders"]}


def test_tables_of_another_engine_than_was_asked_for_are_refused() -> None:
    found = world()
    subject = msgspec.structs.replace(found.cluster, tables="ndbcluster")
    with pytest.raises(WrongTables, match="cluster: sbtest1 is innodb, sbtest2 is innodb, not ndbcluster"):
        system.prepare(subject, SIZE)


def test_tables_with_gaps_in_their_ids_are_refused() -> None:
    found = world()
    found.engine.rows = 99
    with pytest.raises(WrongTables, match="sbtest1 has not the ids 1 to 100"):
        system.prepare(found.cluster, SIZE)


def test_a_node_that_is_not_in_step_is_named_before_anything_is_made(tmp_path: Path) -> None:
    found = world()
    found.engine.states = {"data1": "Donor/Desynced"}
    with pytest.raises(NotFit, match="not ready: data1 is Donor/Desynced"):
        carried_out(tmp_path / "run", found)
    assert not any("CREATE" in script for _, script in found.engine.said)


DYING = {"its machine is gone": LOST, "its server was killed": "server-killed", "sysbench crashed": "crashed"}


@pytest.mark.parametrize("death", DYING.values(), ids=DYING.keys())
def test_a_node_that_dies_during_a_run_costs_that_measurement_which_is_kept_and_marked(
    tmp_path: Path, death: HostError | str
) -> None:
    found = world()
    dies = death if isinstance(death, HostError) else transcript(death)
    found.nodes[1].prints = lambda number: dies if number == 2 else transcript("point-select")
    results = carried_out(tmp_path / "run", found).results()
    assert [result.number for result in results] == list(range(6))
    (failed,) = (result for result in results if result.rates is None)
    assert failed.cell.target.name == "cluster-2"
    assert failed.marks[0].startswith("data1: ")
    if death != "crashed":
        assert failed.errors[0].startswith("data1: ")


def test_when_a_node_does_not_come_back_the_run_ends_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_READY_TIMEOUT_S", 0.0)
    found = world()

    def dies(_: int) -> HostError:
        found.engine.states = {"data1": "stopped"}
        return LOST

    found.nodes[1].prints = lambda number: dies(number) if number == 2 else transcript("point-select")
    with pytest.raises(NotFit, match="data1 is stopped, for 0 s; resume the run when it is back"):
        carried_out(tmp_path / "run", found)


def test_a_run_of_which_everything_fails_ends_soon(tmp_path: Path) -> None:
    found = world()
    for machine in (found.alone, *found.nodes):
        machine.prints = lambda _: transcript("missing-table")
    with pytest.raises(NotFit, match=r"5 measurements in a row failed \(.*mysql_stmt_prepare"):
        carried_out(tmp_path / "run", found)


def test_deadlocks_are_a_mark_and_the_measurement_counts() -> None:
    said = measuring.said(Done(transcript("ignored-errors"), "", 0))
    assert measuring.marks({"manager": said}, 2) == ["manager: 111 transactions tried again"]


def test_reconnects_are_a_mark() -> None:
    said = measuring.said(Done(transcript("reconnects"), "", 0))
    assert measuring.marks({"data1": said}, 7) == ["data1: 4 reconnects"]


def test_a_measurement_of_another_length_than_asked_for_is_marked() -> None:
    said = measuring.said(Done(transcript("point-select"), "", 0))
    assert measuring.marks({"data1": said}, 3) == []
    assert measuring.marks({"data1": said}, 10) == ["data1: counted 3.0 s, not 10"]


def test_a_machines_use_is_the_difference_after_the_warm_up() -> None:
    found = usage.usage(usage.samples(SAMPLES), warmup_s=1)
    assert found is not None
    assert found.seconds == 2.0
    assert found.servers == pytest.approx((300 + 150 - 140 - 70) / 100 / 2)
    assert found.client == pytest.approx((50 + 30 - 10 - 10) / 100 / 2)
    assert found.host == pytest.approx((300 + 200 - 200 - 100) / 100 / 2)
    assert found.stolen == pytest.approx((25 - 5) / 100 / 2)
    assert found.resident == 51200 * 4096
    assert (found.received_per_s, found.sent_per_s) == (1000.0, 2000.0)


def test_a_sample_that_was_cut_off_counts_as_far_as_it_goes() -> None:
    whole = usage.samples(SAMPLES)
    for end in range(len("at 1000.0\n"), len(SAMPLES)):
        found = usage.samples(SAMPLES[:end] + "\nat 1004.0\n")
        assert found[-1].at_s == 1004.0
        assert found[:1] == whole[:1] or end < SAMPLES.index("at 1001.0")


def test_of_one_sample_nothing_is_said() -> None:
    assert usage.usage(usage.samples("at 1.0\n"), warmup_s=0) is None
    assert usage.usage([], warmup_s=0) is None


def test_the_sampling_script_runs_the_command_keeps_its_status_and_leaves_no_process() -> None:
    script = measuring.script(["bash", "-c", "echo sysbench 1.0.20; sleep 0.2; exit 3"], 20)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    said = measuring.said(Done(done.stdout, done.stderr, done.returncode))
    assert said.transcript.version == "1.0.20"
    assert said.samples[0].at_s > 1_700_000_000
    assert said.samples[0].busy_s > 0
    assert said.samples[0].available > 0


def test_a_command_that_hangs_is_ended_by_its_limit() -> None:
    script = measuring.script(["sleep", "60"], 1)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 124


def test_the_timeline_kills_the_last_node_starts_it_again_and_loads_the_others() -> None:
    found = world()
    made = timeline.run(TIMELINE, SIZE, found.cluster, 1000, lambda *_: None)
    assert [mark.text for mark in made.marks] == ["killed", "started again", "in step again"]
    assert made.lost == "data1"
    assert found.nodes[1].measured == 0
    assert found.nodes[0].measured == 1
    scripts = [script for script in found.nodes[1].scripts if "systemctl" in script]
    assert scripts[0].startswith("systemctl kill --signal=KILL mariadb.service; systemctl stop mariadb.service")
    assert scripts[1] == "systemctl start --no-block mariadb.service"
    assert [moment.at_s for moment in made.moments] == [
        second.at_s for second in measuring.said(Done(transcript("point-select"), "", 0)).transcript.seconds
    ]


def test_the_node_is_started_again_even_when_its_killing_failed() -> None:
    found = world()
    found.nodes[1].answers = {"--signal=KILL": HostError("data1: gone")}
    with pytest.raises(HostError, match="data1: gone"):
        timeline.run(TIMELINE, SIZE, found.cluster, 1000, lambda *_: None)
    assert found.nodes[1].ran("systemctl start")


def test_the_seconds_of_all_processes_are_added_and_the_worst_latency_counts() -> None:
    one = measuring.said(Done(transcript("ignored-errors"), "", 0))
    two = measuring.said(Done(transcript("reconnects"), "", 0))
    moments = {moment.at_s: moment for moment in timeline.moments({"a": one, "b": two})}
    assert moments[3].transactions_per_s == pytest.approx(297.83 + 28.61)
    assert moments[3].latency_ms == 227.40
    assert moments[3].processes == 2
    assert moments[4].processes == 1


def test_the_account_of_a_cluster_of_ndb_reaches_every_node_and_galeras_password_is_sent_as_its_hash() -> None:
    found = world()
    system.account(found.cluster, "of-nobody")
    assert not any("of-nobody" in script for _, script in found.engine.said)
    system.account(msgspec.structs.replace(found.cluster, tables="ndbcluster", engine_name="ndb"), "of-nobody")
    assert "GRANT NDB_STORED_USER ON *.* TO gk_benchmark@localhost" in found.engine.said[-1][1]
    assert found.nodes[1].files["/run/gk-benchmark/sysbench.cnf"][0] == "regular file|0600|root:root"
