"""Who asked for a webhook is told that his request has ended: signed, once or more, and nobody inside is asked."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from client.webhooks import NotOurs, verify
from tests import planted
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem
from tests.live.webhook_fixtures import INSIDE, Receiver, Telling, telling


@pytest.fixture(scope="module", name="receiver")
def _receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    yield made
    made.close()


@pytest.fixture(scope="module", name="gate")
def _gate(system: LiveSystem, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telling]:
    with telling(system, receiver, tmp_path_factory.mktemp("telling")) as made:
        yield made


def secret_of(gate: Telling, key: str = "") -> str:
    return str(gate.ask("GET", "/webhook-secret", key).json()["secret"])


def test_the_receiver_is_told_once_that_a_request_is_done_and_can_tell_who_says_so(
    gate: Telling, receiver: Receiver
) -> None:
    id_ = gate.post(receiver.url("/hooks/done"))
    assert gate.ended(id_) == {"state": "sent", "attempts": 1, "problem": None}
    (told,) = receiver.at("/hooks/done")
    said = verify(secret_of(gate), told.headers, told.body)
    status = gate.ask("GET", f"/new-requests/{id_}").json()
    assert said == {"id": id_, "state": "done", "ended_at": status["ended_at"]}
    assert told.headers["webhook-id"] == id_
    with pytest.raises(NotOurs):
        verify(secret_of(gate), told.headers, told.body.replace(b"done", b"dead"))
    with pytest.raises(NotOurs):
        verify(secret_of(gate, gate.other), told.headers, told.body)


def test_a_request_that_is_asked_for_again_under_its_key_has_one_webhook(gate: Telling, receiver: Receiver) -> None:
    key, url = secrets.token_hex(8), receiver.url("/hooks/keyed")
    ids = {gate.post(url, idempotency_key=key) for _ in range(3)}
    assert len(ids) == 1
    other = gate.accepting(url + "2", idempotency_key=key)
    assert (other.status_code, other.json()["rule"]) == (409, "idempotency_key")
    assert gate.ended(ids.pop())["state"] == "sent"
    assert gate.ended(gate.post(url, idempotency_key=key)) == {"state": "sent", "attempts": 1, "problem": None}
    assert (len(receiver.at("/hooks/keyed")), receiver.at("/hooks/keyed2")) == (1, [])


def test_the_receiver_is_told_of_failures_and_cancellations_too(gate: Telling, receiver: Receiver) -> None:
    failed = gate.post(receiver.url("/hooks/failed"), "SELECT nothing FROM film")
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    cancelled = gate.post(receiver.url("/hooks/cancelled"), run_at=ahead)
    assert gate.webhook(cancelled) == {"state": "waiting", "attempts": 0, "problem": None}
    assert gate.ask("DELETE", f"/new-requests/{cancelled}").json()["state"] == "cancelled"
    for id_, state in ((failed, "failed"), (cancelled, "cancelled")):
        assert gate.ended(id_)["state"] == "sent"
        (told,) = receiver.at(f"/hooks/{state}")
        assert verify(secret_of(gate), told.headers, told.body)["state"] == state


def test_a_receiver_that_fails_is_told_again_under_the_same_id(gate: Telling, receiver: Receiver) -> None:
    receiver.answers["/hooks/shaky"] = [500, 204]
    id_ = gate.post(receiver.url("/hooks/shaky"))
    assert gate.ended(id_) == {"state": "sent", "attempts": 2, "problem": None}
    first, second = receiver.at("/hooks/shaky")
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == id_
    assert first.body == second.body


def test_a_receiver_is_told_though_the_orchestrator_that_was_telling_it_is_killed(
    system: LiveSystem, gate: Telling, receiver: Receiver
) -> None:
    receiver.go_on.clear()
    try:
        id_ = gate.post(receiver.url("/hooks/killed"))
        wait_until(lambda: len(receiver.at("/hooks/killed")) == 1)
        system.kill_whole("orchestrator1")
    finally:
        receiver.go_on.set()
    assert gate.ended(id_) == {"state": "sent", "attempts": 2, "problem": None}
    assert {told.headers["webhook-id"] for told in receiver.at("/hooks/killed")} == {id_}


def test_no_end_is_forgotten_while_the_orchestrator_is_killed(
    system: LiveSystem, gate: Telling, receiver: Receiver
) -> None:
    ids = {}
    for number in range(60):
        path = f"/hooks/many{number}"
        ids[path] = gate.post_at_last(receiver.url(path), f"{path} {id(gate)}")
        if number in {25, 50}:
            system.kill_whole("orchestrator1")
    ends = {path: gate.ended(id_) for path, id_ in ids.items()}
    assert {path: [told.headers["webhook-id"] for told in receiver.at(path)][:1] for path in ids} == {
        path: [id_] for path, id_ in ids.items()
    }
    assert {end["state"] for end in ends.values()} == {"sent"}


def test_a_receiver_that_never_takes_it_is_given_up(gate: Telling, receiver: Receiver) -> None:
    receiver.answers["/hooks/broken"] = [503]
    id_ = gate.post(receiver.url("/hooks/broken"))
    assert gate.ended(id_) == {"state": "failed", "attempts": 3, "problem": "status_503"}
    assert len(receiver.at("/hooks/broken")) == 3


def test_a_redirection_is_not_followed(gate: Telling, receiver: Receiver) -> None:
    receiver.answers["/hooks/moved"] = [307]
    id_ = gate.post(receiver.url("/hooks/moved"))
    assert gate.ended(id_) == {"state": "failed", "attempts": 3, "problem": "status_307"}
    assert receiver.at("/hooks/elsewhere") == []


def test_an_address_inside_is_refused_clearly_by_the_request_or_when_its_name_is_looked_up(
    gate: Telling, receiver: Receiver
) -> None:
    """The policy allows both, so that it is the orchestrator who refuses."""
    response = gate.accepting(f"https://{INSIDE}:{receiver.port}/hook")
    problem = response.json()
    assert (response.status_code, problem["rule"], problem["outcome"]) == (400, "webhook_address", "not_executed")
    assert "inside" in problem["detail"]
    id_ = gate.post(f"https://localhost:{receiver.port}/named")
    assert gate.ended(id_) == {"state": "failed", "attempts": 1, "problem": "address_inside"}
    assert receiver.at("/named") == []


def test_webhooks_are_for_the_roles_and_addresses_that_the_policy_names(gate: Telling, receiver: Receiver) -> None:
    for key, path in ((gate.without, "/hooks/x"), (gate.key, "/other/x"), (gate.key, "/hooks")):
        response = gate.accepting(receiver.url(path), key=key)
        assert (response.status_code, response.json()["rule"]) == (403, "webhook")
    refused = gate.ask("GET", "/webhook-secret", gate.without)
    assert (refused.status_code, refused.json()["rule"]) == (403, "webhook")


def test_a_webhook_is_its_owners_alone_and_no_log_has_its_address_or_secret(
    system: LiveSystem, gate: Telling, receiver: Receiver
) -> None:
    token = secrets.token_hex(8)
    planted.plant("a webhook's token", token)
    id_ = gate.post(receiver.url(f"/hooks/secret?token={token}"))
    assert gate.ended(id_)["state"] == "sent"
    assert gate.ask("GET", f"/new-requests/{id_}", gate.other).status_code == 404
    assert secret_of(gate) != secret_of(gate, gate.other)
    shown = gate.ask("GET", f"/new-requests/{id_}").text
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT url FROM gatekeeper.webhooks WHERE id = %s", (id_,))
        assert cursor.fetchall() == (("",),)
    logs = system.logs() + gate.log.read_text() + gate.audit.read_text()
    assert [text for text in (token, secret_of(gate)) if text in logs + shown] == []
