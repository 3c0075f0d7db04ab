"""What a form sends: its token (against CSRF and against being sent twice), and its fields."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import request

from receiver.admin import sessions
from receiver.admin.sessions import SESSION_LIFE, cookie_digest
from receiver.runtime import Runtime
from receiver.signing.signed_text import NotOurs, SignedText
from receiver.web.problems import Problem

FIELD = "form_token"

FORM_BYTES_MAX = 256 * 1024
SIGN_IN_BYTES_MAX = 8 * 1024
"""Whoever has proven nothing sends no more than a name and a password."""

TEXT_CHARACTERS_MAX = 4000

OLD = "This form is too old, was sent before, or was not made for you: go back, load the page anew, and send it then."


class FormTokens:
    """Makes and checks the tokens of forms: each for one cookie, one path and one time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._texts = SignedText(runtime.settings.keys, "staff form")

    def make(self, cookie: str, path: str) -> str:
        """Return the token of a form that is sent to `path` by whoever holds the cookie."""
        made_at = int(self._runtime.clock().timestamp())
        return self._texts.make([cookie_digest(cookie)[:32], path, made_at, secrets.token_urlsafe(12)])

    def check(self, cookie: str | None, path: str, *, once: bool = True) -> None:
        """Accept the form of this request.

        Raises:
            Problem: 403, its token is changed, another's, another form's, too old, or was used before.
            StoreUnavailable
        """
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "This form comes from another place than these pages.")
        try:
            read: Any = self._texts.read(field(FIELD, needed=False))
            digest, place, made_at, nonce = read
        except (NotOurs, TypeError, ValueError) as error:
            raise Problem(403, OLD) from error
        ends_at = datetime.fromtimestamp(int(made_at), UTC) + SESSION_LIFE
        is_mine = cookie is not None and digest == cookie_digest(cookie)[:32] and place == path
        if not is_mine or not self._is_young(ends_at):
            raise Problem(403, OLD)
        if once and not sessions.use_form(self._runtime, str(nonce), ends_at):
            raise Problem(403, OLD)

    def _is_young(self, ends_at: datetime) -> bool:
        now = self._runtime.clock()
        return now < ends_at <= now + SESSION_LIFE + timedelta(minutes=1)


def field(name: str, *, needed: bool = True, most: int = TEXT_CHARACTERS_MAX) -> str:
    """Return a field of the form that was sent, without blanks around it; empty where it may be left out.

    Raises:
        Problem: 400, it is missing, too long, given twice, or holds a NUL.
    """
    given = request.form.getlist(name)
    text = as_typed(given[0]) if given else ""
    label = name.replace("_", " ")
    if len(given) > 1:
        raise Problem(400, f"The field “{label}” was sent {len(given)} times.")
    if len(text) > most or "\0" in text:
        raise Problem(400, f"The field “{label}” takes up to {most} characters of text.")
    if needed and not text:
        raise Problem(400, f"The field “{label}” is empty.")
    return text


def as_typed(text: str) -> str:
    """Return a text as it was typed, without blanks around it: a browser sends a new line as two characters."""
    return text.replace("\r\n", "\n").strip()


def password(name: str = "password") -> str:
    """Return a password that was sent, with the blanks that it has.

    Raises:
        Problem: 400, it is missing, or given twice.
    """
    field(name)
    return request.form[name]
