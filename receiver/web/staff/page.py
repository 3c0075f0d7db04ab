"""Ties a view to its route and to who may ask for it; what follows an action: a message on the next page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue

from receiver.admin import sessions
from receiver.admin.sessions import Visitor
from receiver.model import ReceiverError, Role
from receiver.store.database import StoreUnavailable
from receiver.web.problems import Problem
from receiver.web.staff.browser import ROOT
from receiver.web.staff.forms import FORM_BYTES_MAX
from receiver.web.staff.rendering import Site, is_by_itself, is_partial, own_path, present_path, shown_path, site

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "page"

NOT_FOR_YOU = {
    Role.OPERATOR: "This is for operators, approvers and admins.",
    Role.APPROVER: "This is for approvers and admins.",
    Role.ADMIN: "This is for admins.",
}


@dataclass(frozen=True)
class Page:
    """What a view is reached by, and who may: the decorator of every view of the staff pages.

    `route` is a method and a path below `/staff`, such as `GET /events/<event_id>`. The view is called with the
    `visitor` and, by name, the parts of the path. A POST is let through with a valid form token alone.
    """

    route: str
    role: Role = Role.VIEWER
    payloads: bool = False
    """Whether the right to read payloads is needed besides the role."""
    area: str = ""
    """Which entry of the navigation is the present one; the first place of the route where nothing is said."""
    is_open: bool = False
    """Whether nobody need be signed in; the view then is called without a visitor, and looks after itself."""

    def __call__(self, view: View) -> View:
        """Leave it at a view."""
        setattr(view, _ATTRIBUTE, self)
        return view

    @property
    def place(self) -> str:
        """The entry of the navigation that it belongs to."""
        return self.area or self.route.partition(" ")[2].strip("/").partition("/")[0]


def page_of(view: object) -> Page | None:
    """Return what was left at a view; none where nothing was."""
    found: Page | None = getattr(view, _ATTRIBUTE, None)
    return found


def blueprint(name: str, views: object, shared: Site) -> Blueprint:
    """Make the routes of all views of an object."""
    routes = Blueprint(f"staff_{name}", __name__, template_folder="templates", url_prefix=ROOT)
    for attribute, function in vars(type(views)).items():
        page = page_of(function)
        if page is None:
            continue
        method, _, rule = page.route.partition(" ")
        if method == "GET" and rule == f"/{page.place}":
            shared.areas[page.place] = True
        routes.add_url_rule(rule, attribute, _serving(getattr(views, attribute), page), methods=[method])
    return routes


def _serving(view: Callable[..., Any], page: Page) -> Callable[..., ResponseReturnValue]:
    """Return a view as Flask calls it."""

    @wraps(view)
    def serve(**path: str) -> ResponseReturnValue:
        shared = site()
        _check_text(path)
        g.area = page.place
        g.cookie = shared.browser.cookie(request)
        if page.is_open:
            return cast(ResponseReturnValue, view(**path))
        with shared.looking:
            visitor = sessions.visitor(shared.runtime, g.cookie, is_used=not is_by_itself())
        if visitor is None:
            return to_sign_in()
        g.visitor = visitor
        _require(visitor, page)
        if request.method == "POST":
            request.max_content_length = FORM_BYTES_MAX
            shared.tokens.check(g.cookie, request.path)
            g.is_form_used = True
        return cast(ResponseReturnValue, view(visitor, **path))

    return serve


def _check_text(path: Mapping[str, str]) -> None:
    """Refuse what no database can store, and so what nothing is called.

    Raises:
        Problem: 400
    """
    asked = (value for values in request.args.listvalues() for value in values)
    if any("\0" in text for text in (*path.values(), *asked)):
        raise Problem(400, "A NUL stands in the address.")


def _require(visitor: Visitor, page: Page) -> None:
    """Let somebody in who may.

    Raises:
        Problem: 403
    """
    if not visitor.may(page.role):
        raise Problem(403, f"{NOT_FOR_YOU[page.role]} You are a {visitor.role}.")
    if page.payloads and not visitor.payloads:
        raise Problem(403, "You may not read what the banks sent: that right is given apart from the role.")


def to_sign_in() -> Response:
    """Lead to the sign-in and, after it, back to the page that was asked for."""
    asked = shown_path() if is_partial() else present_path() if request.method == "GET" else None
    target = site().prefix + own_path("sign-in", next=None if asked in (ROOT, f"{ROOT}/") else asked)
    if is_partial():
        # A redirect would be followed unseen, and the form put in the place of a list.
        return Response("", 401, {"HX-Redirect": target})
    return redirect_to(target)


def redirect_to(target: str, message: str | None = None, kind: str = "good") -> Response:
    """Lead to a page, given as `url` gives it (303), which shows a message: `good`, `warn` or `bad`."""
    response = Response("", 303, {"Location": target})
    if message is not None:
        site().browser.say(request, response, kind, message)
    return response


def done(
    act: Callable[[], Any], back: str, message: str | Callable[[Any], str], *, back_undone: str | None = None
) -> Response:
    """Do what a form asks for, and lead `back` with a message: what was done, or why it could not be.

    `act` is a function of `receiver.admin` with its arguments; a `message` that is a function is given what came back.
    Where nothing was done it leads `back_undone`, if that is another page.

    Raises:
        StoreUnavailable
    """
    try:
        found = act()
    except StoreUnavailable:
        raise
    except ReceiverError as error:
        text = str(error)
        return redirect_to(back_undone or back, f"{text[:1].upper()}{text[1:]}", "bad")
    return redirect_to(back, message if isinstance(message, str) else message(found))
