"""Control endpoints of the sender, under `/_simulator`. All bodies are JSON objects; every field is optional.

| call | does |
| --- | --- |
| `POST /_simulator/messages` | sends a message now: `{"type":"invoice.paid","data":{…},"id":"msg_…"}` becomes `{"type","timestamp","data"}`, or `{"body":"…"}` is sent as it is; and the fields of a sending (see `callback_control`). The same `id` again is the same event |
| `GET /_simulator/keys` | `{"public_key":"whpk_…"}`, for signatures `v1a` |

Variants: `genuine`, `again`, `forged`, `altered`, `stale`, `future`, `unsigned`, `not-json`. Any header can be spoilt by
`{"headers":{"webhook-signature":"v1,"}}`. An endpoint that answers 410 gets nothing more, until
`PUT /_simulator/subscription`.
"""  # noqa: E501 - a table's row can't be broken

from typing import cast

from flask import Blueprint, current_app, request
from werkzeug.wrappers import Response

from receiver.simulator.answers import json_answer
from receiver.simulator.application import STATE
from receiver.simulator.callback_control import bank_blueprint, sending, sent
from receiver.simulator.fields import BadFieldError, Fields
from receiver.simulator.json_text import dumps
from receiver.simulator.parcels import Message
from receiver.simulator.standard_webhooks import signatures
from receiver.simulator.standard_webhooks.sender import VARIANTS, Sender, message_id


def blueprint() -> Blueprint:
    """Return the sender's control endpoints."""
    made = bank_blueprint("standard_webhooks_control")
    made.add_url_rule("/messages", view_func=send_message, methods=["POST"])
    made.add_url_rule("/keys", view_func=keys)
    return made


def send_message() -> Response:
    """`POST /_simulator/messages`."""
    fields = Fields(request.get_data())
    how, wait = sending(fields, VARIANTS)
    identity = fields.text("id", message_id())
    if not (identity.isascii() and identity.isprintable()):
        raise BadFieldError("id must be printable ASCII, for it goes into a header")
    if "body" in fields:
        text = fields.text("body")
    else:
        kind, data = fields.text("type", "payment.completed"), fields.mapping("data")
        text = dumps({"type": kind, "timestamp": f"{_sender().clock():%Y-%m-%dT%H:%M:%S.%fZ}", "data": data})
    fields.done()
    return sent(_sender().outbox, [Message(identity, text)], how, wait=wait)


def keys() -> Response:
    """`GET /_simulator/keys`."""
    return json_answer({"public_key": signatures.public_key(_sender().private_key)})


def _sender() -> Sender:
    return cast(Sender, current_app.extensions[STATE])
