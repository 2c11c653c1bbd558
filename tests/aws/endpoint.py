"""EC2's API as tests speak of it: moto's server on loopback, behind a door that counts, refuses, and loses answers.

What moto leaves out is added at the door: that a repeated launch (the same client token) or termination does nothing
more, what consoles say, and the public parameters of Debian and Canonical.
"""

import base64
import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3.session
import msgspec
import requests
from moto.moto_server import threaded_moto_server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"
_XMLNS = "http://ec2.amazonaws.com/doc/2016-11-15/"
_LOOKING = ("Describe", "Get")

Form = Mapping[str, str]


class Refusal(msgspec.Struct):
    """An error that AWS answers with: after so many calls that are let through, so many times (0: ever after)."""

    code: str
    message: str
    after: int = 0
    times: int = 0
    status: int = 400


class Answer(msgspec.Struct, frozen=True):
    """What goes back over the wire."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Endpoint:
    """The API's server and its door.

    `calls`: the names of the calls that arrived, in order, with their members. `then`: what happens right after the
    next call of a name. `parameters`: the public ones. `console`: what an instance has told when asked the nth time.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Form]] = []
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._forget()

    def start(self) -> None:
        with patch.object(threaded_moto_server, "DomainDispatcherApplication", self._behind_the_door):
            self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"

    def stop(self) -> None:
        self._server.stop()

    def reset(self) -> None:
        """An account in which nothing was ever made."""
        self._forget()
        requests.post(f"{self.url}/moto-api/reset", timeout=30).raise_for_status()
        self.calls.clear()

    @property
    def changes(self) -> list[str]:
        """The names of the calls that change something."""
        return [name for name, _ in self.calls if not name.startswith(_LOOKING)]

    def forms(self, name: str) -> list[Form]:
        """The members of each call of that name."""
        return [form for called, form in self.calls if called == name]

    def refuse(self, name: str, code: str, message: str = "", **how: int) -> None:
        self._refusals[name] = Refusal(code, message, **how)

    def allow(self, name: str) -> None:
        del self._refusals[name]

    def keep(self, name: str, body: str | None = None) -> None:
        """Calls of that name are not carried out, and answered as if they had been, or with that body."""
        done = _xml(f"{name}Response", "<return>true</return>")
        self._ignored[name] = done if body is None else msgspec.structs.replace(done, body=body.encode())

    def answer_status_checks(self, *told: str) -> None:
        """What EC2's own checks of a machine say, the last one for good; moto's are always there."""
        self._checks[:] = told or ("ok",)

    def lose_answers(self, name: str, times: int) -> None:
        """Calls of that name are carried out, but their answers do not arrive."""
        self._lost[name] = times

    def gone(self, instance: str) -> None:
        """From now on a repeated launch of that machine tells that it was terminated."""
        for token, answer in self._once.items():
            if instance.encode() in answer.body:
                body = answer.body.replace(b"<name>pending</name>", b"<name>terminated</name>")
                self._once[token] = msgspec.structs.replace(answer, body=body)

    def client(self, region: str = REGION) -> Any:
        """A client of the test's own."""
        return session(region).client("ec2", endpoint_url=self.url)

    def _forget(self) -> None:
        self._refusals: dict[str, Refusal] = {}
        self._lost: dict[str, int] = {}
        self._once: dict[str, Answer] = {}
        self._ignored: dict[str, Answer] = {}
        self._checks: list[str] = []
        self.then: dict[str, Callable[[], object]] = {}
        self.parameters: dict[str, str] = {}
        self.console: Callable[[str, int], str] = lambda instance, _: told_keys(host_key(instance))
        self.asked_consoles: dict[str, int] = {}

    def _behind_the_door(self, create: Any) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
        inside = DomainDispatcherApplication(create)

        def door(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
            form = json.loads(body) if target else {key: value[0] for key, value in parse_qs(body.decode()).items()}
            name = target or form.get("Action", "")
            answer = self._answer(name, form, lambda: _passed(inside, environ, body))
            start(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
            return [answer.body]

        return door

    def _answer(self, name: str, form: Form, passed: Callable[[], Answer]) -> Answer:
        self.calls.append((name, form))
        if refusal := self._refused(name):
            return _json_error(refusal) if name == "GetParameter" else _error(refusal)
        if name in self._ignored:
            return self._ignored[name]
        known: dict[str, Callable[[Form], Answer | None]] = {
            "DescribeInstanceStatus": self._status,
            "GetConsoleOutput": self._console,
            "GetParameter": self._parameter,
            "RunInstances": lambda form: self._once.get(form["ClientToken"]),
            "TerminateInstances": lambda form: self._once.get(form["InstanceId.1"]),
        }
        answer = known[name](form) if name in known else None
        if answer is None:
            answer = passed()
        if name in {"RunInstances", "TerminateInstances"} and answer.status.startswith("200"):
            self._once[form["ClientToken" if name == "RunInstances" else "InstanceId.1"]] = answer
        if then := self.then.pop(name, None):
            then()
        if self._lost.get(name):
            self._lost[name] -= 1
            return _error(Refusal("Unavailable", "The server is overloaded", status=503))
        return answer

    def _refused(self, name: str) -> Refusal | None:
        refusal = self._refusals.get(name)
        if refusal is None:
            return None
        if refusal.after:
            refusal.after -= 1
            return None
        if refusal.times == 1:
            del self._refusals[name]
        refusal.times -= bool(refusal.times)
        return refusal

    def _status(self, form: Form) -> Answer | None:
        if not self._checks:
            return None
        told = self._checks.pop(0) if len(self._checks) > 1 else self._checks[0]
        states = (
            f"<systemStatus><status>ok</status></systemStatus><instanceStatus><status>{told}</status></instanceStatus>"
        )
        item = f"<item><instanceId>{form['InstanceId.1']}</instanceId>{states}</item>"
        return _xml("DescribeInstanceStatusResponse", f"<instanceStatusSet>{item}</instanceStatusSet>")

    def _console(self, form: Form) -> Answer:
        instance = form["InstanceId"]
        asked = self.asked_consoles[instance] = self.asked_consoles.get(instance, 0) + 1
        output = base64.b64encode(self.console(instance, asked).encode()).decode()
        return _xml("GetConsoleOutputResponse", f"<instanceId>{instance}</instanceId><output>{output}</output>")

    def _parameter(self, form: Form) -> Answer | None:
        if form["Name"] not in self.parameters:
            return None
        body = {"Parameter": {"Name": form["Name"], "Type": "String", "Value": self.parameters[form["Name"]]}}
        return Answer("200 OK", [("Content-Type", "application/x-amz-json-1.1")], json.dumps(body).encode())


@functools.cache  # it keeps EC2's model, which takes long to read
def session(region: str | None = REGION) -> boto3.session.Session:
    """Credentials that open nothing."""
    return boto3.session.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=region)


def host_key(instance: str) -> str:
    """The ed25519 host key of an instance."""
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4, "big") + kind + (32).to_bytes(4, "big") + hashlib.sha256(instance.encode()).digest()
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def told_keys(*keys: str) -> str:
    """The end of a first boot's console output, as cloud-init writes it."""
    lines = "".join(f"{key} root@ip-172-31-0-1\r\n" for key in keys)
    return (
        "[   11.7] cloud-init[650]: Cloud-init v. 22.4.2 running 'modules:final'\r\n"
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n256 SHA256:abc root@ip (ED25519)\r\n"
        "-----END SSH HOST KEY FINGERPRINTS-----\r\n"
        f"-----BEGIN SSH HOST KEY KEYS-----\r\n{lines}-----END SSH HOST KEY KEYS-----\r\n"
        "[   12.1] cloud-init[650]: Cloud-init finished\r\n"
    )


def _passed(inside: Any, environ: WSGIEnvironment, body: bytes) -> Answer:
    """What moto answers."""
    found: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
        found.extend([status, headers])
        return lambda _: None

    parts = inside({**environ, "wsgi.input": io.BytesIO(body)}, start)
    headers = [(name, value) for name, value in found[1] if name.lower() != "content-length"]
    return Answer(found[0], headers, b"".join(parts))


def _xml(kind: str, inner: str, status: str = "200 OK") -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><{kind} xmlns="{_XMLNS}"><requestId>r-1</requestId>{inner}</{kind}>'
    return Answer(status, [("Content-Type", "text/xml")], text.encode())


def _json_error(refusal: Refusal) -> Answer:
    body = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
    return Answer(f"{refusal.status} Refused", [("Content-Type", "application/x-amz-json-1.1")], body)


def _error(refusal: Refusal) -> Answer:
    text = (
        f"<Response><Errors><Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error></Errors>"
        "<RequestID>r-1</RequestID></Response>"
    )
    return Answer(f"{refusal.status} Refused", [("Content-Type", "text/xml")], text.encode())
