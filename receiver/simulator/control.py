"""Control endpoints that every bank shares, under `/_simulator`.

| call | does |
| --- | --- |
| `GET /_simulator/requests` | `{"requests":[{"at","method","path","query","status","fault"},…]}`, oldest first |
| `DELETE /_simulator/requests` | forgets them (beyond 1,000 the oldest go by themselves) |
| `POST /_simulator/faults` | adds a fault, see below |
| `GET /_simulator/faults` | `{"faults":[{"kind","path","left"},…]}` |
| `DELETE /_simulator/faults` | clears them |
| `GET /_simulator/options` | `{"options":{…}}`: the bank's options that are no secret (not BCB's, which are fixed) |
| `PATCH /_simulator/options` | changes some of them at once: names and values of the bank's `Config` |

A fault: `{"kind":"429","path":"/v1/payments/*","count":2,"seconds":5,"shape":"full","retryAfter":"minutes",
"size":50000000,"status":400}`; only `kind` is required. Kinds: `429`, `500`, `503`, `error`, `slow`, `hang-up`,
`truncated`, `not-json`, `expired-token`, `huge`. `count` 0 means until cleared. `seconds` is how long `slow` takes, or
after how long to come back; `size` (bytes) is for `huge`, `status` for `error`. `shape` is one of the bank's shapes of
errors (BCB's: `full`, `error`, `string`); `retryAfter` is `minutes`, `iso` or `absent`.

Bad input is answered 400 `{"error":"bad_input","message":…}`.
"""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import RETRY_AFTER_FORMS, error_answer, json_answer
from receiver.simulator.faults import HUGE_BYTES, KINDS, Fault
from receiver.simulator.fields import BadFieldError, Fields
from receiver.simulator.fittings import fittings
from receiver.simulator.gateway import CONTROL_PREFIX
from receiver.simulator.options import Options

COUNT_MAX = 1_000_000
SIZE_MAX = 2_000_000_000


def blueprint() -> Blueprint:
    """Return the shared control endpoints."""
    made = Blueprint("control", __name__, url_prefix=CONTROL_PREFIX)
    made.register_error_handler(BadFieldError, refuse)
    made.add_url_rule("/requests", view_func=requests)
    made.add_url_rule("/requests", view_func=forget_requests, methods=["DELETE"])
    made.add_url_rule("/faults", view_func=faults)
    made.add_url_rule("/faults", view_func=add_fault, methods=["POST"])
    made.add_url_rule("/faults", view_func=clear_faults, methods=["DELETE"])
    made.add_url_rule("/options", view_func=options)
    made.add_url_rule("/options", view_func=change_options, methods=["PATCH"])
    return made


def refuse(error: Exception) -> Response:
    """Answer that the input is not what was asked for."""
    return error_answer(400, "bad_input", str(error))


def requests() -> Response:
    """`GET /_simulator/requests`."""
    return json_answer({"requests": [entry.as_json() for entry in fittings().journal.entries()]})


def forget_requests() -> Response:
    """`DELETE /_simulator/requests`."""
    fittings().journal.clear()
    return json_answer({"requests": []})


def faults() -> Response:
    """`GET /_simulator/faults`."""
    left = fittings().faults.left()
    return json_answer({"faults": [{"kind": fault.kind, "path": fault.path, "left": count} for fault, count in left]})


def add_fault() -> Response:
    """`POST /_simulator/faults`."""
    fittings().faults.add(_fault(Fields(request.get_data())))
    return faults()


def clear_faults() -> Response:
    """`DELETE /_simulator/faults`."""
    fittings().faults.clear()
    return faults()


def _fault(fields: Fields) -> Fault:
    shapes = ("", *fittings().errors.shapes)
    fault = Fault(
        kind=fields.choice("kind", KINDS),
        path=fields.text("path", "*"),
        count=fields.whole("count", 1, COUNT_MAX) or None,
        seconds=fields.number("seconds") if "seconds" in fields else None,
        size=fields.whole("size", HUGE_BYTES, SIZE_MAX) or 0,
        shape=fields.choice("shape", shapes, "") or None,
        retry_after=fields.choice("retryAfter", RETRY_AFTER_FORMS, "minutes"),
        status=_status(fields),
    )
    fields.done()
    return fault


def _status(fields: Fields) -> int:
    status = fields.whole("status", 400, 599) or 0
    if status not in {known.value for known in HTTPStatus} or status < 400:
        raise BadFieldError("status must be that of an error, from 400 to 599")
    return status


def options() -> Response:
    """`GET /_simulator/options`."""
    return json_answer({"options": _options().shown()})


def change_options() -> Response:
    """`PATCH /_simulator/options`."""
    _options().change(Fields(request.get_data()).rest())
    return options()


def _options() -> Options[Any]:
    found = fittings().options
    if found is None:
        raise BadFieldError("this bank's options are fixed when it starts")
    return found
