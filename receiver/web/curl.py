"""An example of a call, as a command line of curl."""

import json
import shlex
from typing import Any
from urllib.parse import quote, urlencode

Document = dict[str, Any]


def command(method: str, path: str, operation: Document, api: Document) -> str:
    """Return the command that calls an operation, with `$RECEIVER` for the server and `$TOKEN` for the token."""
    parts = ["curl"]
    if operation["security"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        parts += _body(operation["requestBody"]["content"], api)
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


def _body(content: Document, api: Document) -> list[str]:
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return ["-H 'Content-Type: application/json'", "--data-binary @callback.json"]
    first = schema.get("anyOf", [schema])[0]
    named = api["components"]["schemas"][first["$ref"].rpartition("/")[2]]
    example = json.dumps(named["examples"][0], ensure_ascii=False)
    return ["-H 'Content-Type: application/json'", f"-d {shlex.quote(example)}"]
