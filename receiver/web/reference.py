"""`/openapi.json` and `/docs`: the description of all routes, for machines and for people."""

import re
from functools import cache

from flask import Blueprint, Response, current_app, json, render_template
from markupsafe import Markup, escape

from receiver.runtime import Runtime
from receiver.web import curl, schemas
from receiver.web.describing import Answer, Description, describes, shows
from receiver.web.openapi import Document, document

CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

DESCRIPTION = Description(answers={200: shows(schemas.OpenApi)}, asks_database=False)
PAGE = Description(answers={200: Answer("The page.", {"text/html": None})}, asks_database=False)


def blueprint(runtime: Runtime) -> Blueprint:
    """Build the routes over a process's parts. What they answer is made once, at the first request."""
    routes = Blueprint("reference", __name__, template_folder="templates")
    routes.add_app_template_filter(_prose, "prose")

    @cache
    def described() -> Document:
        return document(current_app, runtime.settings.public_path_prefix)

    @cache
    def text() -> str:
        return json.dumps(described())

    @cache
    def page() -> str:
        return render_template("reference.html", api=described(), curl=curl.command)

    @routes.get("/openapi.json")
    @describes(DESCRIPTION)
    def openapi() -> Response:
        """This description, as OpenAPI 3.1."""
        return Response(text(), content_type="application/json")

    @routes.get("/docs")
    @describes(PAGE)
    def docs() -> Response:
        """This description, as a page to read."""
        headers = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}
        return Response(page(), content_type="text/html; charset=utf-8", headers=headers)

    return routes


def _prose(text: str) -> Markup:
    """Show what stands between backticks as code; all else is text."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just here
