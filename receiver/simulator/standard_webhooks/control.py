"""Control endpoints of the sender, under `/_simulator`; docs/simulator.md lists them."""

from typing import cast

from pydantic import Field
from werkzeug.wrappers import Response

from receiver.simulator.answers import dumps, json_answer
from receiver.simulator.bank import current_bank
from receiver.simulator.control import SendingBody, control_blueprint, send
from receiver.simulator.outbox import Message
from receiver.simulator.standard_webhooks.bank import Bank, Variant, message_id, public_key
from receiver.simulator.validation import Text, read_body

blueprint = control_blueprint("standard_webhooks_control")


class MessageBody(SendingBody):
    """A message: a type and data, or a body as it is; the same `id` is the same event."""

    variant: Variant = "genuine"
    # It goes into a header.
    id: Text | None = Field(default=None, pattern=r"^[\x20-\x7e]+$")
    body: Text | None = None
    type: Text = "payment.completed"
    data: dict[str, object] = Field(default={})


@blueprint.post("/messages")
def send_message() -> Response:
    """Send a message now."""
    body, bank = read_body(MessageBody), cast(Bank, current_bank())
    event = {"type": body.type, "timestamp": f"{bank.clock():%Y-%m-%dT%H:%M:%S.%fZ}", "data": body.data}
    text = dumps(event) if body.body is None else body.body
    return send([Message(body.id or message_id(), text)], body)


@blueprint.get("/keys")
def keys() -> Response:
    """Show the public key, for signatures `v1a`."""
    return json_answer({"public_key": public_key(cast(Bank, current_bank()).private_key)})
