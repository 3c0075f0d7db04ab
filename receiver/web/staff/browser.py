"""What a browser shows and gets: its cookies, whether its connection is safe for them, and the headers of security."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime

from flask import Request, Response

from receiver.settings import Settings
from receiver.signing import addresses
from receiver.signing.signed_text import NotOurs, SignedText

ROOT = "/staff"
"""Where the pages begin, behind the public prefix."""

POLICY = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; form-action 'self'; connect-src 'self'"
)
"""The Content-Security-Policy (CSP level 3) of every page."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

PROVIDER_SECONDS = 600
"""How long somebody may take at a provider."""

MESSAGE_SECONDS = 60
MESSAGE_CHARACTERS_MAX = 600
"""A cookie holds 4 KiB."""


class Browser:
    """Reads and sets the cookies of one deployment, by the settings of its public prefix and trusted proxies."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.public_path_prefix
        self._trusted = settings.trusted_proxies
        self._messages = SignedText(settings.keys, "staff message")
        self._held = SignedText(settings.keys, "staff provider")

    def is_https(self, request: Request) -> bool:
        """Tell whether the browser's own connection is HTTPS, as far as we or a trusted proxy have seen it."""
        if request.environ["wsgi.url_scheme"] == "https":
            return True
        if not addresses.is_trusted(request.environ.get("REMOTE_ADDR", ""), self._trusted):
            return False
        # Where there are several proxies, the nearest is the one that is trusted.
        return request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower() == "https"

    def is_safe(self, request: Request) -> bool:
        """Tell whether a cookie may be set: over HTTPS, or without any network between."""
        return self.is_https(request) or (
            is_loopback_host(request.host) and _is_loopback(self.address(request)) and not self._is_forwarded(request)
        )

    def _is_forwarded(self, request: Request) -> bool:
        """Tell whether somebody who is not trusted has handed the request on: whoever is behind may be anywhere."""
        named = request.headers.get("X-Forwarded-For") or request.headers.get("Forwarded")
        return bool(named) and not addresses.is_trusted(request.environ.get("REMOTE_ADDR", ""), self._trusted)

    def address(self, request: Request) -> str:
        """Return the browser's address; an IPv6 address stands for its network of 64 bits."""
        remote, forwarded_for = request.environ.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")
        return addresses.party(addresses.sender(remote, forwarded_for, self._trusted))

    def cookie(self, request: Request) -> str | None:
        """Return what the cookie of the session holds."""
        return request.cookies.get(self._name(request, "session"))

    def set_cookie(self, request: Request, response: Response, value: str) -> None:
        """Have the browser hold a session's cookie for as long as it is open; the session itself ends by our clock."""
        self._set(request, response, "session", value, None)

    def drop_cookie(self, request: Request, response: Response) -> None:
        """Have the browser forget its session."""
        self._set(request, response, "session", "", 0)

    def say(self, request: Request, response: Response, kind: str, text: str) -> None:
        """Leave a message for the next page: `good`, `bad` or `warn`, and what it says."""
        made = self._messages.make([kind, text[:MESSAGE_CHARACTERS_MAX]])
        self._set(request, response, "message", made, MESSAGE_SECONDS)

    def message(self, request: Request) -> tuple[str, str] | None:
        """Return the message that was left for this page."""
        given = request.cookies.get(self._name(request, "message"))
        try:
            read = self._messages.read(given) if given else None
        except NotOurs:
            return None
        return (str(read[0]), str(read[1])) if isinstance(read, list) else None

    def drop_message(self, request: Request, response: Response) -> None:
        """Have the browser forget a message that is shown."""
        self._set(request, response, "message", "", 0)

    def hold(self, request: Request, response: Response, values: Sequence[str]) -> None:
        """Have the browser hold what it needs when it comes back from a provider, signed."""
        self._set(request, response, "oidc", self._held.make(list(values)), PROVIDER_SECONDS)

    def held(self, request: Request) -> list[str]:
        """Return what the browser holds for that; nothing where it holds none, or others'."""
        given = request.cookies.get(self._name(request, "oidc"))
        try:
            read = self._held.read(given) if given else None
        except NotOurs:
            return []
        return [str(value) for value in read] if isinstance(read, list) else []

    def let_go(self, request: Request, response: Response) -> None:
        """Have the browser forget that."""
        self._set(request, response, "oidc", "", 0)

    def _name(self, request: Request, what: str) -> str:
        """`__Host-` lets a cookie have no other path than `/`, so its name tells several receivers of a host apart."""
        slug = "".join(character if character.isalnum() else "-" for character in self._prefix)
        return f"{'__Host-' if self.is_https(request) else ''}staff{slug}-{what}"

    def _set(self, request: Request, response: Response, what: str, value: str, max_age: int | None) -> None:
        is_https = self.is_https(request)
        path = "/" if is_https else f"{self._prefix}{ROOT}"
        response.set_cookie(
            self._name(request, what),
            value,
            max_age=max_age,
            path=path,
            secure=is_https,
            httponly=True,
            samesite="Lax",
        )


def is_page(path: str) -> bool:
    """Tell whether a path is one of the staff pages'."""
    return path == ROOT or path.startswith(f"{ROOT}/")


def is_own_path(path: str) -> bool:
    """Tell whether a path leads to a page of ours and nowhere else, whatever a browser makes of it."""
    if path != ROOT and not path.startswith((f"{ROOT}/", f"{ROOT}?")):
        return False
    places, _, _ = path.removeprefix(ROOT).partition("?")
    # An id may hold dots and slashes; what leads up is a whole part of a path, however it is written.
    parts = places.lower().replace("%2e", ".").replace("%2f", "/").split("/")
    return path.isprintable() and "\\" not in path and not places.startswith("//") and ".." not in parts


def is_loopback_host(host: str) -> bool:
    """Tell whether the name that a browser asked for can mean this machine alone (against DNS rebinding)."""
    name = host.rpartition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    return name == "localhost" or _is_loopback(name)


def _is_loopback(text: str) -> bool:
    found = addresses.address(text.partition("/")[0])
    if found is None:
        return False
    return found.is_loopback or (isinstance(found, ipaddress.IPv6Address) and text == "::/64")


def relative(moment: datetime, now: datetime) -> str:
    """Return how far a time is from now, in words: `3 min ago`, `in 2 h`; `staff.js` has the same."""
    seconds = (now - moment).total_seconds()
    size, unit = abs(seconds), "s"
    for limit, count, name in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h"), (float("inf"), 86400, "days")):
        if size < limit:
            size, unit = size / count, name
            break
    if abs(seconds) < 5:
        return "just now"
    words = f"{round(size)} {unit}"
    return f"{words} ago" if seconds > 0 else f"in {words}"
