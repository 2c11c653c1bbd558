"""The console's HTTP: the page and its figures for operators, and `/summaries`, for gatekeepers to fill it.

Each resource is for one role: an operator's certificate opens the page and nothing else, and no service's opens it.
"""

from pathlib import Path
from typing import Final

from flask import Blueprint, Flask, Response, request

from contract import web
from contract.console import HEADERS, MAX_SUMMARY_BYTES, Summary
from contract.errors import NotFound, TooLarge
from orchestrator.console.state import Watching

OPERATORS: Final = "console"
_DIRECTORY: Final = Path(__file__).parent
_UNNAMED: Final = "gatekeeper"  # where there is no TLS, on loopback
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def add(app: Flask, watching: Watching) -> None:
    """Adds the resources to the app."""
    app.register_blueprint(_for_operators(watching))
    _add_summaries(app, watching)


def _for_operators(watching: Watching) -> Blueprint:
    pages = Blueprint(OPERATORS, __name__)
    files = {path.name: path.read_bytes() for kind in _TYPES for path in _DIRECTORY.glob(f"*.{kind}")}
    page = (_DIRECTORY / "page.html").read_bytes()

    @pages.before_request
    def check() -> None:
        # Without TLS there are no operators: the page is for nobody then.
        web.check_roles(request.environ.get("gunicorn.socket"), ("operator",))

    @pages.get("/console")
    def console() -> Response:
        return _guarded(Response(page, content_type="text/html; charset=utf-8"))

    @pages.get("/console/<name>")
    def file(name: str) -> Response:
        if name not in files:
            raise NotFound("there is no such file")
        kind = _TYPES[name.rpartition(".")[2]]
        return _guarded(Response(files[name], content_type=f"{kind}; charset=utf-8"))

    @pages.get("/console/state")
    def state() -> Response:
        return _guarded(web.json_response(watching.state()))

    return pages


def _guarded(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _add_summaries(app: Flask, watching: Watching) -> None:
    @app.post("/summaries")
    def take() -> Response:
        if request.content_length is None or request.content_length > MAX_SUMMARY_BYTES:
            raise TooLarge(f"a summary has a length, and {MAX_SUMMARY_BYTES >> 10} KiB at most")
        name = web.name_of_peer(request.environ.get("gunicorn.socket")) or _UNNAMED
        watching.told.take(name, web.read_message(Summary))
        return Response(status=204)
