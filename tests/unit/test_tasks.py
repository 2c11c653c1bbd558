"""`fab --list` and `fab --help TASK` read as a manual."""

import copy
from typing import Any

import pytest
from invoke.parser.argument import Argument
from invoke.tasks import Task

from fabfile import namespace

NAMES = sorted(namespace.task_names)
# Those that work on no cluster of machines.
OTHERS = {"rehearse", "benchmark.local", "benchmark.report", "benchmark.scale"}
OTHERS |= {name for name in NAMES if name.startswith("local.")}


def arguments(task: Task[Any]) -> list[Argument]:
    """The task's arguments. The task itself would lose its help texts when it is asked (invoke 2.2)."""
    asked = copy.copy(task)
    asked.help = dict(task.help)
    return list(asked.get_arguments())


def options(task: Task[Any]) -> set[str]:
    return {str(argument.name).replace("_", "-") for argument in arguments(task)}


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_it_does_in_a_sentence_and_explains_each_option(name: str) -> None:
    task = namespace[name]
    first = (task.__doc__ or "").splitlines()[0]
    assert first[:1].isupper()
    assert first.endswith(".")
    assert all(argument.help for argument in arguments(task))


@pytest.mark.parametrize("name", sorted(set(NAMES) - OTHERS))
def test_a_task_of_a_cluster_takes_its_name(name: str) -> None:
    assert "cluster" in options(namespace[name])


def test_what_can_be_printed_for_programs_is() -> None:
    assert {name for name in NAMES if "format" in options(namespace[name])} == {
        "cost",
        "query",
        "status",
        "local.status",
    }


def test_what_deploys_can_be_tried_dry() -> None:
    dry = {name for name in NAMES if "dry-run" in options(namespace[name])}
    assert dry == {"add-data-nodes", "deploy", "destroy", "upgrade"}
