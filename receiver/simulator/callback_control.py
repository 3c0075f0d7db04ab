"""Control endpoints of every bank with an outbox, under `/_simulator`.

| call | does |
| --- | --- |
| `GET /_simulator/deliveries` | `{"deliveries":[…]}`, oldest first, 500 at most |
| `DELETE /_simulator/deliveries` | forgets them |
| `GET /_simulator/subscription` | `{"active":true,"failed":0,"missed":0}`: whether callbacks are sent, how many were given up since they are, how many things were never told |
| `PUT /_simulator/subscription` | `{"active":true}` (required) switches callbacks on again, or off; what was missed is never sent |

A sending, wherever something is sent: `{"variant":"genuine","url":"http://…","delays":[1,2],"copies":1,
"headers":{…},"wait":true}`; each bank has variants of its own beside `genuine` and `again` (the bytes and headers of the
last genuine callback). It answers `{"deliveries":[…],"active","failed","missed"}`, with `"wait":false` 202 at once. A
delivery: `{"subject","variant","url","headers","sent","bytes","accepted","status","body","tries":[{"at","seconds",
"status","body","error"},…]}`.
"""  # noqa: E501 - a table's row can't be broken

from collections.abc import Sequence

from flask import Blueprint, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.control import refuse
from receiver.simulator.fields import BadFieldError, Fields
from receiver.simulator.gateway import CONTROL_PREFIX
from receiver.simulator.outbox import NothingToSendError, Outbox
from receiver.simulator.parcels import Message, Sending

COPIES_MAX = 200


def blueprint(outbox: Outbox) -> Blueprint:
    """Return the control endpoints of one outbox."""
    made = Blueprint("callback_control", __name__, url_prefix=CONTROL_PREFIX)
    made.register_error_handler(BadFieldError, refuse)

    @made.get("/deliveries")
    def deliveries() -> Response:
        return json_answer({"deliveries": [record.as_json() for record in outbox.records()]})

    @made.delete("/deliveries")
    def forget_deliveries() -> Response:
        outbox.clear()
        return deliveries()

    @made.get("/subscription")
    def subscription() -> Response:
        return json_answer(outbox.state())

    @made.put("/subscription")
    def set_subscription() -> Response:
        fields = Fields(request.get_data())
        if "active" not in fields:
            raise BadFieldError("active is missing")
        active = fields.flag("active", default=True)
        fields.done()
        outbox.activate(active)
        return subscription()

    return made


def bank_blueprint(name: str) -> Blueprint:
    """Return an empty blueprint for a bank's own control endpoints, which refuses bad input."""
    made = Blueprint(name, __name__, url_prefix=CONTROL_PREFIX)
    made.register_error_handler(BadFieldError, refuse)
    made.register_error_handler(NothingToSendError, refuse)
    return made


def sending(fields: Fields, variants: Sequence[str]) -> tuple[Sending, bool]:
    """Take the fields of a sending; return it, and whether its outcome is waited for."""
    taken = Sending(
        variant=fields.choice("variant", variants, "genuine"),
        url=fields.url("url") if "url" in fields else None,
        delays=fields.seconds_list("delays"),
        copies=fields.whole("copies", 1, COPIES_MAX) or 1,
        headers=fields.headers("headers"),
    )
    return taken, fields.flag("wait", default=True)


def sent(outbox: Outbox, messages: Sequence[Message], how: Sending, *, wait: bool) -> Response:
    """Send messages and answer with what became of them."""
    outbox.address(how)
    records = []
    if wait:
        records = [record for message in messages for record in outbox.send(message, how)]
    else:
        outbox.spawn(messages, how)
    told = {"deliveries": [record.as_json() for record in records], **outbox.state()}
    return json_answer(told, 200 if wait else 202)
