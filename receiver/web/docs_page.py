"""`/openapi.json` and `/docs`: the description of all routes, for machines and for people."""

import re
import shlex
from functools import cache
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, current_app, json, render_template
from markupsafe import Markup, escape

from receiver.runtime import Runtime
from receiver.web import schemas
from receiver.web.describing import Answer, Description, describes, shows
from receiver.web.openapi import Document, document


def curl_command(method: str, path: str, operation: Document, api: Document) -> str:
    """Return the command that calls an operation, with `$RECEIVER` for the server and `$TOKEN` for the token."""
    parts = ["curl"]
    if operation["security"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        parts += _curl_body(operation["requestBody"]["content"], api)
    elif method == "post":
        parts.append("-X POST")
    parts.append(f'"$RECEIVER{_target(path, operation)}"')
    # Short ones on one line.
    return " ".join(parts) if len(parts) < 3 else " \\\n  ".join([" ".join(parts[:2]), *parts[2:]])


def _target(path: str, operation: Document) -> str:
    query = {}
    for given in operation.get("parameters", []):
        if given["in"] == "path":
            path = path.replace(f"{{{given['name']}}}", quote(given["example"], safe=""))
        elif given["in"] == "query" and "example" in given:
            query[given["name"]] = given["example"]
    return path + (f"?{urlencode(query)}" if query else "")


def _curl_body(content: Document, api: Document) -> list[str]:
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return ["-H 'Content-Type: application/json'", "--data-binary @callback.json"]
    first = schema.get("anyOf", [schema])[0]
    named = api["components"]["schemas"][first["$ref"].rpartition("/")[2]]
    example = json.dumps(named["examples"][0], ensure_ascii=False)
    return ["-H 'Content-Type: application/json'", f"-d {shlex.quote(example)}"]


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
        return render_template("reference.html", api=described(), curl=curl_command)

    @routes.get("/openapi.json")
    @describes(DESCRIPTION)
    def openapi() -> Response:
        """Return this description, as OpenAPI 3.1."""
        return Response(text(), content_type="application/json")

    @routes.get("/docs")
    @describes(PAGE)
    def docs() -> Response:
        """Return this description, as a page to read."""
        headers = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}
        return Response(page(), content_type="text/html; charset=utf-8", headers=headers)

    return routes


def _prose(text: str) -> Markup:
    """Show what stands between backticks as code; all else is text."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just here
