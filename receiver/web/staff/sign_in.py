"""Signing in and out, by a password or an OpenID Connect provider, and where `/staff` leads."""

import hmac
from typing import Any

from flask import Response, g, request

from receiver.admin import openid, sessions
from receiver.admin import sign_in as acts
from receiver.admin.openid import Begun, Provider, ProviderBusy, ProviderUnavailable
from receiver.admin.passwords import PasswordsBusy
from receiver.admin.people import NameWrong
from receiver.admin.sessions import Visitor
from receiver.admin.sign_in import SignInRefused, SignInSlowed
from receiver.runtime import Runtime
from receiver.web.problems import Problem
from receiver.web.staff.browser import ROOT, is_own_path
from receiver.web.staff.forms import SIGN_IN_BYTES_MAX, field, password
from receiver.web.staff.page import Page, redirect_to, to_sign_in
from receiver.web.staff.rendering import own_path, render, site, url

NOT_SAFE = (
    "Over plain HTTP nobody signs in, since everybody on the way could read along. Open these pages by https://; where "
    "a proxy takes HTTPS, have it send X-Forwarded-Proto, and name it in RECEIVER_TRUSTED_PROXIES."
)

BUSY_SECONDS = 2


class SignIn:
    """The views around signing in."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._is_anybody = False

    @Page("GET /", is_open=True)
    def start(self) -> Response:
        """Lead to what needs a person, or to the sign-in."""
        with site().looking:
            visitor = sessions.visitor(self._runtime, g.cookie)
        if visitor is None:
            return to_sign_in()
        return redirect_to(url("exceptions"))

    @Page("GET /sign-in", is_open=True)
    def form(self) -> Response:
        """Show the form."""
        return self._form()

    @Page("POST /sign-in", is_open=True)
    def sign_in(self) -> Response:
        """Sign somebody in, and lead to the page that they had asked for."""
        request.max_content_length = SIGN_IN_BYTES_MAX
        browser = site().browser
        if not browser.is_safe(request):
            return self._form(403)
        site().tokens.check(g.cookie, request.path, once=False)
        name, given = field("name", most=64), password()
        try:
            cookie = acts.sign_in(self._runtime, name, given, browser.address(request), g.cookie)
        except SignInRefused as error:
            return self._form(401, wrong=str(error), name=name)
        except SignInSlowed as error:
            return self._slowed(f"{error} Try it again in {error.seconds} s.", error.seconds, name)
        except PasswordsBusy as error:
            return self._slowed(str(error), BUSY_SECONDS, name)
        response = redirect_to(site().prefix + next_page())
        browser.set_cookie(request, response, cookie)
        return response

    @Page("POST /sign-out")
    def sign_out(self, visitor: Visitor) -> Response:
        """End the session."""
        sessions.sign_out(self._runtime, visitor)
        response = redirect_to(url("sign-in"), "You are signed out.")
        site().browser.drop_cookie(request, response)
        return response

    def _slowed(self, text: str, seconds: int, name: str) -> Response:
        response = self._form(429, wrong=text, name=name)
        response.headers["Retry-After"] = str(seconds)
        return response

    def _form(self, status: int = 200, wrong: str | None = None, name: str = "") -> Response:
        """Write the page; a browser without a cookie gets one, which the form's token is bound to."""
        browser = site().browser
        is_safe = browser.is_safe(request)
        has_cookie = bool(g.cookie)
        if not has_cookie:
            g.cookie = sessions.new_cookie()
        context: dict[str, Any] = {
            "wrong": wrong,
            "not_safe": None if is_safe else NOT_SAFE,
            "name": name,
            "next": next_page(),
            "provider": self._runtime.settings.oidc_issuer,
            "is_anybody": self._anybody(),
        }
        response = render("sign_in.html", "Sign in", status=status, **context)
        if is_safe and not has_cookie:
            browser.set_cookie(request, response, g.cookie)
        return response

    def _anybody(self) -> bool:
        """Tell whether there is anybody; once there is, it is not looked up for every stranger."""
        self._is_anybody = self._is_anybody or acts.is_anybody(self._runtime)
        return self._is_anybody


def next_page() -> str:
    """Return where to go after signing in: a page of ours, whatever was asked for."""
    asked = request.values.get("next", "")
    return asked if is_own_path(asked) and not asked.startswith(f"{ROOT}/sign-") else ROOT


BACK = ("sign-in", "openid", "back")


class OpenId:
    """The views of signing in by a provider."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._provider = Provider(runtime) if runtime.settings.oidc_issuer is not None else None

    @Page("GET /sign-in/openid", is_open=True)
    def begin(self) -> Response:
        """Send the browser to the provider."""
        provider = self._ready()
        try:
            target, begun = provider.begin(self._redirect_uri())
        except (ProviderUnavailable, ProviderBusy) as error:
            raise _problem(error) from error
        response = redirect_to(target)
        site().browser.hold(request, response, [*begun, next_page()])
        return response

    @Page("GET /sign-in/openid/back", is_open=True)
    def back(self) -> Response:
        """Sign in whom the provider vouches for."""
        provider = self._ready()
        browser = site().browser
        held = browser.held(request)
        state = request.args.get("state", "")
        if len(held) != len(Begun._fields) + 1 or not hmac.compare_digest(state.encode(), held[0].encode()):
            raise Problem(403, "This sign-in was not begun in this browser, or took too long: begin it anew.")
        try:
            code = request.args.get("code")
            if not code:
                raise SignInRefused("The provider did not let you in.")
            identity = provider.finish(self._redirect_uri(), Begun(*held[:-1]), code)
            cookie = openid.sign_in_by(self._runtime, identity, browser.address(request), g.cookie)
        except (SignInRefused, NameWrong) as error:
            response = redirect_to(url("sign-in"), str(error), "bad")
        except (ProviderUnavailable, ProviderBusy) as error:
            raise _problem(error) from error
        else:
            response = redirect_to(site().prefix + held[-1])
            browser.set_cookie(request, response, cookie)
        browser.let_go(request, response)
        return response

    def _ready(self) -> Provider:
        """Return the provider, where there is one and the browser's connection is safe.

        Raises:
            Problem: 404, 403
        """
        if self._provider is None:
            raise Problem(404, "No provider is set up: RECEIVER_OIDC_ISSUER names one.")
        if not site().browser.is_safe(request):
            raise Problem(403, NOT_SAFE)
        return self._provider

    def _redirect_uri(self) -> str:
        """Return where the provider sends the browser back to, which it must know."""
        scheme = "https" if site().browser.is_https(request) else "http"
        base = self._runtime.settings.public_url or f"{scheme}://{request.host}"
        return f"{base}{site().prefix}{own_path(*BACK)}"


def _problem(error: ProviderUnavailable | ProviderBusy) -> Problem:
    return Problem(429 if isinstance(error, ProviderBusy) else 503, str(error), {"Retry-After": "5"})
