"""Signing in by an OpenID Connect provider: to it, and back."""

import hmac

from flask import Response, g, request

from receiver.admin import openid
from receiver.admin.openid import Begun, Provider, ProviderBusy, ProviderUnavailable
from receiver.admin.people import NameWrong
from receiver.admin.sign_in import SignInRefused
from receiver.runtime import Runtime
from receiver.web.problems import Problem
from receiver.web.staff.page import Page, redirect_to
from receiver.web.staff.rendering import own_path, site, url
from receiver.web.staff.sign_in import NOT_SAFE, next_page

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
