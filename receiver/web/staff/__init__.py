"""The staff pages: see it, understand it, put it right. Each is a view over `receiver.admin`, written by a template."""

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound as NoSuchPage

from receiver.model import NotFound
from receiver.runtime import Runtime
from receiver.web import problems
from receiver.web.problems import Outages, Problem
from receiver.web.staff import page, rendering
from receiver.web.staff.audit import Audit
from receiver.web.staff.browser import HEADERS, ROOT, Browser, is_page
from receiver.web.staff.consumers import Consumers
from receiver.web.staff.days import Days
from receiver.web.staff.deliveries import Deliveries
from receiver.web.staff.events import Event, Events
from receiver.web.staff.exceptions import Exceptions
from receiver.web.staff.forms import FormTokens
from receiver.web.staff.overview import Overview
from receiver.web.staff.payments import Payments
from receiver.web.staff.people import People
from receiver.web.staff.rendering import Site
from receiver.web.staff.replays import Replays
from receiver.web.staff.sign_in import OpenId, SignIn
from receiver.web.staff.sources import Sources

FOR_A_YEAR = "public, max-age=31536000, immutable"


ANEW = "To send it again, load the page of the form anew: each is good for one time."
UNSURE = "It may have been done or not: load the page of the form anew, look, and send it again only then."


def register(app: Flask, runtime: Runtime, outages: Outages) -> None:
    """Add all pages to an application."""
    shared = Site(runtime, Browser(runtime.settings), FormTokens(runtime))
    app.extensions["staff"] = shared
    rendering.register(app)
    rooms = {
        "replays": Replays(runtime),
        "sign_in": SignIn(runtime),
        "openid": OpenId(runtime),
        "overview": Overview(runtime),
        "exceptions": Exceptions(runtime),
        "events": Events(runtime),
        "event": Event(runtime),
        "deliveries": Deliveries(runtime),
        "payments": Payments(runtime),
        "consumers": Consumers(runtime),
        "sources": Sources(runtime),
        "days": Days(runtime),
        "people": People(runtime),
        "audit": Audit(runtime),
    }
    for name, views in rooms.items():
        app.register_blueprint(page.blueprint(name, views, shared))
    app.add_url_rule(f"{ROOT}/static/<version>/<name>", "staff_file", _file, methods=["GET"])
    app.after_request(_secured)
    app.register_error_handler(Exception, lambda error: _answer(error, outages))


def _file(version: str, name: str) -> Response:
    """Return a static file: its address changes with its content, so a browser need not ask for it another time."""
    files = rendering.site().files
    if name not in files or files[name][1] != version:
        raise NoSuchPage
    g.is_file = True
    return Response(files[name][0], content_type=rendering.TYPES[name])


def _answer(error: Exception, outages: Outages) -> Response:
    """Answer an error of a page with a page, and every other as the API does."""
    if not is_page(request.path):
        return problems.answer(error, outages)
    if isinstance(error, NotFound):
        error = Problem(404, problems.sentence(error))
    document = problems.answer(error, outages)
    said, status = document.get_json(), document.status_code
    more = f" {UNSURE if status >= 500 else ANEW}" if g.get("is_form_used") else ""
    answered = rendering.render("error.html", said["title"], status=status, detail=said["detail"] + more)
    for name in ("Allow", "Retry-After"):
        if name in document.headers:
            answered.headers[name] = document.headers[name]
    return answered


def _secured(response: Response) -> Response:
    """Give every answer below `/staff` the headers of security; a message is shown once."""
    if not is_page(request.path):
        return response
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = FOR_A_YEAR if g.get("is_file") and response.status_code == 200 else "no-store"
    shown = response.mimetype == "text/html" and response.status_code < 300 and not rendering.is_partial()
    browser = rendering.site().browser
    if shown and browser.message(request) is not None:
        browser.drop_message(request, response)
    return response
