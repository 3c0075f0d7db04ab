"""How pages are written: templates, links with the public prefix, static files, and what macros need.

`render` is what a view ends with. In templates: `url("events", id, q="x")` is a link to a page, `here(cursor=None)` the
present one with other parameters, `static("staff.css")` a file, `form_token(path)` the token of a form.
"""

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from flask import Flask, Response, current_app, g, render_template, request
from jinja2_fragments.flask import render_blocks
from markupsafe import Markup, escape

from receiver.admin.sessions import Visitor
from receiver.metrics.names import BUCKETS
from receiver.runtime import Runtime
from receiver.store.particulars import ACCOUNTS
from receiver.web.auth import LOOKS_AT_ONCE
from receiver.web.staff.browser import ROOT, Browser, is_own_path, relative
from receiver.web.staff.forms import FormTokens

FOLDER = Path(__file__).parent / "static"

TYPES = {
    "staff.css": "text/css; charset=utf-8",
    "staff.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

NAVIGATION = (
    ("overview", "Overview"),
    ("exceptions", "Needs a person"),
    ("events", "Events"),
    ("deliveries", "Deliveries"),
    ("payments", "Payments"),
    ("jobs", "Jobs"),
    ("replays", "Replays"),
    ("consumers", "Consumers"),
    ("sources", "Sources"),
    ("days", "Days"),
    ("people", "People"),
    ("audit", "Audit"),
)
"""Every page that is in the navigation, by its path; those whose view is there are shown."""

USED = "Staff-Used"
"""The header with which a part of a page is asked for because somebody types or chooses: without it, nobody need sit
there. The form that sends it says so (`hx-headers`)."""

MASKED_BUT = 4


@dataclass(frozen=True)
class Site:
    """What all pages of a process share."""

    runtime: Runtime
    browser: Browser
    tokens: FormTokens
    looking: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(LOOKS_AT_ONCE))
    """Sessions that are looked up at a time: anybody can make a cookie up, and callbacks need the database too."""
    areas: dict[str, bool] = field(default_factory=dict)
    """Which areas have a page of their own, filled as they are registered."""

    @property
    def prefix(self) -> str:
        """The path that a proxy takes off."""
        return self.runtime.settings.public_path_prefix

    @cached_property
    def files(self) -> Mapping[str, tuple[bytes, str]]:
        """The static files, each with its version."""
        read = {name: (FOLDER / name).read_bytes() for name in TYPES}
        return {name: (content, hashlib.sha256(content).hexdigest()[:12]) for name, content in read.items()}


def site() -> Site:
    """Return what the pages of this application share."""
    found: Site = current_app.extensions["staff"]
    return found


def visitor() -> Visitor | None:
    """Return who is signed in; none on the pages of signing in."""
    found: Visitor | None = g.get("visitor")
    return found


def own_path(*places: str, **query: Any) -> str:
    """Return the path of a page without the public prefix; a parameter that is `None` is left out."""
    path = "/".join([ROOT, *(quote(place, safe="~:@!$&'()*+,;=") for place in places)])
    given = {name.rstrip("_"): value for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def url(*places: str, **query: Any) -> str:
    """Return the link to a page, such as `url("events", event_id)`; a name ending in `_` is that name without it."""
    return site().prefix + own_path(*places, **query)


def here(**changes: Any) -> str:
    """Return the link to this page with some parameters changed; `None` takes one away."""
    return site().prefix + present_path(**changes)


def present_path(**changes: Any) -> str:
    """Return the path of this page without the public prefix, some parameters changed as in `here`."""
    query: dict[str, Any] = dict(request.args.lists())
    query |= {name.rstrip("_"): value for name, value in changes.items()}
    given = {name: value for name, value in query.items() if value is not None and value != ""}
    path = quote(request.path, safe="/~:@!$&'()*+,;=")
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def shown_path() -> str | None:
    """Return the path, without the public prefix, of the page that a part is asked for; none where it is not ours."""
    prefix = site().prefix
    try:
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return None
    path = shown._replace(scheme="", netloc="", fragment="").geturl().removeprefix(prefix)
    is_ours = shown.netloc == request.host and shown.path.startswith(f"{prefix}{ROOT}")
    return path if is_ours and is_own_path(path) else None


def static(name: str) -> str:
    """Return the link to a static file, which changes with its content."""
    return f"{site().prefix}{ROOT}/static/{site().files[name][1]}/{name}"


def form_token(path: str) -> str:
    """Return the token of a form that is sent to `path`, as `url` gives it."""
    # As the request will say it: ids may hold what a link has to spell otherwise.
    place = unquote(path.partition("?")[0].removeprefix(site().prefix))
    return site().tokens.make(g.cookie, place)


def render(
    template: str, title: str, *, fragment: str | Sequence[str] = (), status: int = 200, **context: Any
) -> Response:
    """Write a page from `templates/staff/<template>`; where htmx asks for a part of it, the block `fragment` alone.

    Several blocks are of one look: they belong together, and `hx-select-oob` puts each in its place.
    """
    given = {**_context(), "title": title, **context}
    name = f"staff/{template}"
    if fragment and is_partial():
        text = render_blocks(name, [fragment] if isinstance(fragment, str) else list(fragment), **given)
    else:
        text = render_template(name, **given)
    return Response(text, status, {"Vary": "HX-Request"}, content_type="text/html; charset=utf-8")


def is_partial() -> bool:
    """Tell whether htmx asks for a part of a page, to put it in the place of what is there."""
    asked = request.headers
    return "HX-Request" in asked and "HX-Boosted" not in asked and "HX-History-Restore-Request" not in asked


def is_by_itself() -> bool:
    """Tell whether a page asks by itself, to refresh what it shows."""
    return is_partial() and USED not in request.headers


def _context() -> dict[str, Any]:
    found = site()
    return {
        # Here and not imported by templates: a block that is written alone has no imports.
        "ui": current_app.jinja_env.get_template("staff/macros.html").module,
        "visitor": visitor(),
        "navigation": [entry for entry in NAVIGATION if found.areas.get(entry[0])],
        "area": g.get("area", ""),
        "now": found.runtime.clock(),
        "message": None if is_partial() else found.browser.message(request),
    }


def register(app: Flask) -> None:
    """Give templates what they use."""
    app.jinja_env.globals |= {"url": url, "here": here, "static": static, "form_token": form_token}
    app.jinja_env.filters |= {
        "relative": lambda moment: relative(moment, site().runtime.clock()),
        "utc": utc,
        "iso": iso,
        "money": money,
        "masked": masked,
        "account": account,
        "count": count,
        "duration": duration,
        "within": within,
        "words": words,
    }


def utc(moment: datetime) -> str:
    """Write a time for people, to the second: `2026-03-04 12:00:00 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(moment: datetime) -> str:
    """Write a time for programs (RFC 3339)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: Decimal | str | None) -> str:
    """Write an amount with its thousands apart and its decimals as they were sent."""
    if amount is None:
        return ""
    try:
        return f"{Decimal(amount):,f}"
    except (InvalidOperation, ValueError):
        return str(amount)


def masked(account: str | None) -> Markup:
    """Write an account's last characters alone; a screen reader says that they are the last."""
    if not account:
        return Markup("")
    end = account[-MASKED_BUT:] if len(account) > MASKED_BUT else ""
    return Markup('<span class="account" aria-label="account ending in {}">••••{}</span>').format(end, end)


def account(event: Any) -> str:
    """Write the account that an event is about, as it stands in its facts, which lists have masked."""
    found = (event.facts.get(name) for name in ACCOUNTS)
    return next((each for each in found if isinstance(each, str)), "")


def count(number: float | None) -> str:
    """Write a number with its thousands apart."""
    return "" if number is None else f"{number:,}"


def duration(seconds: float | None) -> str:
    """Write a length of time in the one unit that says it best."""
    if seconds is None:
        return ""
    for limit, size, unit in ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def within(seconds: float) -> str:
    """Write a time that was not exceeded; where it is infinite, it was longer than any that is told apart."""
    return f"within {duration(seconds)}" if math.isfinite(seconds) else f"in more than {duration(BUCKETS[-1])}"


def words(text: object) -> Markup:
    """Write a word of ours, such as `unknown_to_bank`, as a person would."""
    return escape(str(text).replace("_", " "))
