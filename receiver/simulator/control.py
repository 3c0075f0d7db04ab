"""Control endpoints that every bank shares, under `/_simulator`: requests, faults, options, deliveries, clock.

docs/simulator.md lists them with those of each bank. Bad input is answered 400 `{"error":"bad_input","message":…}`.
"""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from flask import Blueprint
from pydantic import AfterValidator, Field
from werkzeug.wrappers import Response

from receiver.simulator.bank import current_bank
from receiver.simulator.faults import HUGE_BYTES, Fault, Kind
from receiver.simulator.gateway import CONTROL_PREFIX
from receiver.simulator.json_bodies import (
    YEAR_MAX,
    BadInput,
    Body,
    Delay,
    Headers,
    Number,
    RetryAfterForm,
    Seconds,
    Text,
    Time,
    Url,
    json_answer,
    plain_error,
    read_body,
    read_object,
)
from receiver.simulator.outbox import Message, NothingToSend, Sending

SECONDS_A_YEAR = 365 * 86400

ERROR_STATUSES = frozenset(status.value for status in HTTPStatus if status.value >= 400)


def control_blueprint(name: str) -> Blueprint:
    """Return an empty blueprint for control endpoints, which refuses bad input."""
    made = Blueprint(name, __name__, url_prefix=CONTROL_PREFIX)
    made.register_error_handler(BadInput, _refuse)
    made.register_error_handler(NothingToSend, _refuse)
    return made


def _refuse(error: Exception) -> Response:
    return plain_error(400, "bad_input", str(error))


blueprint = control_blueprint("control")


def _status_of_an_error(status: int) -> int:
    if status not in ERROR_STATUSES:
        raise ValueError("must be that of an error, from 400 to 599")
    return status


class FaultBody(Body):
    """A fault; `count` 0 means until cleared."""

    kind: Kind
    path: Text = "*"
    count: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    seconds: Seconds | None = None
    size: Annotated[int, Field(ge=0, le=2_000_000_000)] = HUGE_BYTES
    shape: str | None = None
    retry_after: RetryAfterForm = "minutes"
    status: Annotated[int, AfterValidator(_status_of_an_error)] = 400
    share: Annotated[Number, Field(gt=0, le=1)] = 1.0


class ClockBody(Body):
    """What the bank's clock shows, `forward` seconds on from there, and how many times as fast it runs."""

    now: Time | None = None
    forward: Seconds = 0.0
    speed: Annotated[Number, Field(ge=0, le=100_000)] | None = None


class SubscriptionBody(Body):
    """Whether callbacks are sent."""

    active: bool


class SendingBody(Body):
    """How a callback is sent; part of every request that sends something."""

    variant: str = "genuine"
    url: Url | None = None
    delays: Annotated[list[Delay], Field(max_length=20)] | None = None
    copies: Annotated[int, Field(ge=0, le=200)] = 1
    headers: Headers = Field(default={})
    wait: bool = True
    after: Seconds = 0.0

    def sending(self) -> Sending:
        """Return it as the outbox takes it."""
        return Sending(self.variant, self.url, self.delays, self.copies or 1, self.headers)


def send(messages: Sequence[Message], body: SendingBody) -> Response:
    """Send messages and answer with what became of them, or at once with what they are about.

    Raises:
        NothingToSend: where there is no address, or no earlier callback to repeat.
    """
    outbox, sending = current_bank().outbox, body.sending()
    for message in messages:
        outbox.address(message, sending)
    if body.after:
        outbox.postpone(messages, sending, current_bank().clock() + timedelta(seconds=body.after))
    elif not body.wait:
        outbox.spawn(messages, sending)
    if body.after or not body.wait:
        subjects = [message.subject for message in messages]
        return json_answer({"subjects": subjects, "deliveries": [], **outbox.state()}, 202)
    sent = [delivery for message in messages for delivery in outbox.send(message, sending)]
    return json_answer({"deliveries": [delivery.as_json() for delivery in sent], **outbox.state()})


@blueprint.get("/requests")
def requests() -> Response:
    """Show the requests that the bank received, oldest first."""
    return json_answer({"requests": [entry.as_json() for entry in current_bank().requests.entries()]})


@blueprint.delete("/requests")
def forget_requests() -> Response:
    """Forget them; beyond 1,000 the oldest go by themselves."""
    current_bank().requests.clear()
    return json_answer({"requests": []})


@blueprint.get("/faults")
def faults() -> Response:
    """Show the faults in force, each with how many uses are left."""
    left = current_bank().faults.left()
    return json_answer({"faults": [{"kind": fault.kind, "path": fault.path, "left": count} for fault, count in left]})


@blueprint.post("/faults")
def add_fault() -> Response:
    """Put a fault in force."""
    body, shapes = read_body(FaultBody), current_bank().error_shapes
    if body.shape is not None and body.shape not in shapes:
        raise BadInput(f"shape must be one of {', '.join(shapes)}, not {body.shape[:100]!a}")
    current_bank().faults.add(Fault(**{**dict(body), "count": body.count or None}))
    return faults()


@blueprint.delete("/faults")
def clear_faults() -> Response:
    """Put an end to all faults."""
    current_bank().faults.clear()
    return faults()


@blueprint.get("/options")
def options() -> Response:
    """Show the options that are no secret."""
    return json_answer({"options": current_bank().options.shown()})


@blueprint.patch("/options")
def change_options() -> Response:
    """Change some options at once: names and values of the bank's `Config`."""
    current_bank().options.change(read_object())
    return options()


@blueprint.get("/deliveries")
def deliveries() -> Response:
    """Show the last callbacks and what became of them, oldest first."""
    return json_answer({"deliveries": [delivery.as_json() for delivery in current_bank().outbox.deliveries()]})


@blueprint.delete("/deliveries")
def forget_deliveries() -> Response:
    """Forget them; none can be sent again then."""
    current_bank().outbox.clear()
    return deliveries()


@blueprint.get("/subscription")
def subscription() -> Response:
    """Show whether callbacks are sent, how many were given up since they are, and how many things were missed."""
    return json_answer(current_bank().outbox.state())


@blueprint.put("/subscription")
def set_subscription() -> Response:
    """Switch callbacks on, the failures forgotten, or off; what was missed is never sent."""
    current_bank().outbox.activate(read_body(SubscriptionBody).active)
    return subscription()


@blueprint.get("/clock")
def clock() -> Response:
    """Show the bank's time, and how many times as fast as the machine's it passes."""
    found = current_bank().clock
    return json_answer({"now": found().isoformat(), "speed": found.speed})


@blueprint.put("/clock")
def set_clock() -> Response:
    """Set the bank's clock."""
    body, found = read_body(ClockBody), current_bank().clock
    if (body.now or found()).year + body.forward / SECONDS_A_YEAR >= YEAR_MAX:
        raise BadInput(f"forward must not lead beyond the year {YEAR_MAX}")
    found.set(body.now, body.speed, body.forward)
    return clock()


@blueprint.post("/tokens/expire")
def expire_tokens() -> Response:
    """Make every token worthless at once."""
    return json_answer({"expired": current_bank().tokens.expire_all()})
