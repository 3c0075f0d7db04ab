"""Signing in by OpenID Connect (Core 1.0, authorization code flow with PKCE, RFC 7636): a provider vouches for people.

The role comes from a claim of the ID token. Authlib speaks the protocol; it comes with the extra `oidc`.
"""

import hmac
import importlib.util
import logging
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import jwt
import requests
from sqlalchemy import Connection

from receiver.admin import sign_in
from receiver.admin.people import checked_name
from receiver.admin.sign_in import SignInRefused
from receiver.model import ReceiverError, Role
from receiver.runtime import Runtime
from receiver.settings import Settings, SettingsError
from receiver.store import audit, staff
from receiver.store.database import retried
from receiver.store.staff import StaffExists, StaffRecord

log = logging.getLogger(__name__)

PAYLOADS = "payloads"
"""What stands for the right to read payloads, among the roles."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those of a key that the provider publishes: never one with a shared secret, and never none."""

TIMEOUT_SECONDS = 10.0
KEYS_SECONDS = 3600.0
ANEW_SECONDS = 60.0
"""How often the provider's keys are fetched anew for a token that none of them fits."""

LEEWAY_SECONDS = 60
AT_ONCE = 4
"""Sign-ins that a process asks the provider about at a time; beyond that 429."""


class ProviderUnavailable(ReceiverError):
    """The provider can't be asked, or answers what it should not; why is in the log."""


class ProviderBusy(ReceiverError):
    """Too many sign in at once (the pages' 429)."""


class Begun(NamedTuple):
    """What a browser holds from when it is sent to the provider until it comes back."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Identity:
    """Whom the provider vouches for."""

    issuer: str
    subject: str
    name: str
    role: Role
    payloads: bool


class Provider:
    """One OpenID Connect provider, with what it says of itself and its keys, both fetched when they are needed."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts; asks nothing yet.

        Raises:
            SettingsError: the extra is not installed.
        """
        if importlib.util.find_spec("authlib") is None:
            raise SettingsError("RECEIVER_OIDC_ISSUER is set, and Authlib is not installed: install the extra `oidc`")
        self._runtime = runtime
        self._settings = runtime.settings
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._found: Mapping[str, Any] = {}
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")

    def begin(self, redirect_uri: str) -> tuple[str, Begun]:
        """Return where to send a browser, and what it is to hold meanwhile.

        Raises:
            ProviderUnavailable
            ProviderBusy
        """
        begun = Begun(*(secrets.token_urlsafe(32) for _ in Begun._fields))
        with self._place():
            endpoint = self._configuration()["authorization_endpoint"]
            target, _ = self._client(redirect_uri).create_authorization_url(
                endpoint, state=begun.state, nonce=begun.nonce, code_verifier=begun.verifier
            )
        return str(target), begun

    def finish(self, redirect_uri: str, begun: Begun, code: str) -> Identity:
        """Return whom the provider vouches for, once a browser has come back with a code.

        Raises:
            SignInRefused: the ID token is not for us, not fresh or not the provider's; or gives no role.
            ProviderUnavailable
            ProviderBusy
        """
        with self._place():
            try:
                token = self._client(redirect_uri).fetch_token(
                    self._configuration()["token_endpoint"], code=code, code_verifier=begun.verifier
                )
                claims = self._claims(token["id_token"])
            except ProviderUnavailable:
                raise
            except (jwt.PyJWTError, KeyError, TypeError) as error:
                raise _refused(error) from error
            except Exception as error:  # the library's errors have no root of their own
                raise _unavailable(error) from error
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), begun.nonce.encode()):
            raise _refused("the nonce is another")
        return self._identity(claims)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise ProviderBusy("Too many people sign in at once: try it in a moment.")
        try:
            yield
        finally:
            self._places.release()

    def _client(self, redirect_uri: str) -> Any:
        from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]

        secret = self._settings.oidc_client_secret
        client = OAuth2Session(
            self._settings.oidc_client_id,
            secret.get_secret_value() if secret is not None else None,
            redirect_uri=redirect_uri,
            scope="openid profile",
            code_challenge_method="S256",
            default_timeout=TIMEOUT_SECONDS,
        )
        client.trust_env = False
        return client

    def _configuration(self) -> Mapping[str, Any]:
        if not self._found or self._age() > KEYS_SECONDS:
            self._fetch()
        return self._found

    def _age(self) -> float:
        return abs(self._runtime.clock().timestamp() - self._fetched_at)

    def _fetch(self) -> None:
        """Fetch what the provider says of itself (OpenID Connect Discovery 1.0), and its keys.

        Raises:
            ProviderUnavailable
        """
        issuer = str(self._settings.oidc_issuer)
        try:
            found = _json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != issuer:
                raise ValueError(f"it says that it is {str(found.get('issuer'))[:100]!r}")
            listed = jwt.PyJWKSet.from_dict(_json(str(found["jwks_uri"]))).keys
        except (requests.RequestException, ValueError, KeyError, jwt.PyJWTError) as error:
            raise _unavailable(error) from error
        self._found, self._keys = found, {str(key.key_id): key for key in listed}
        self._fetched_at = self._runtime.clock().timestamp()

    def _claims(self, id_token: str) -> Mapping[str, Any]:
        """Return what an ID token says, once it is proven (OpenID Connect Core 1.0, section 3.1.3.7)."""
        header = jwt.get_unverified_header(id_token)
        key_id = str(header.get("kid"))
        if key_id not in self._keys and self._age() > ANEW_SECONDS:
            self._fetch()
        key = self._keys[key_id] if len(self._keys) != 1 or "kid" in header else next(iter(self._keys.values()))
        required = ["exp", "iat", "sub", "iss", "aud"]
        options: Any = {"require": required, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key.key,
            algorithms=[name for name in ALGORITHMS if key.algorithm_name in (None, name)],
            audience=self._settings.oidc_client_id,
            issuer=self._settings.oidc_issuer,
            options=options,
        )
        self._check_times(claims)
        if claims.get("azp", self._settings.oidc_client_id) != self._settings.oidc_client_id:
            raise jwt.InvalidTokenError("it was made for another app")
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """By our own clock, as everything is."""
        now = self._runtime.clock().timestamp()
        if not int(claims["iat"]) - LEEWAY_SECONDS <= now < int(claims["exp"]) + LEEWAY_SECONDS:
            raise jwt.ExpiredSignatureError("it is too old, or from the future")

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        said = claims.get(self._settings.oidc_role_claim)
        words = said if isinstance(said, list) else [said]
        granted = {role for word in words if isinstance(word, str) for role in roles_of(self._settings, word)}
        role = max((role for role in Role if role in granted), key=list(Role).index, default=None)
        if role is None:
            raise SignInRefused(
                "You are known, but have no role here: whoever looks after the provider can give you one."
            )
        name = checked_name(str(claims.get(self._settings.oidc_name_claim) or claims["sub"]))
        return Identity(str(claims["iss"]), str(claims["sub"]), name, role, PAYLOADS in granted)


def roles_of(settings: Settings, word: str) -> list[str]:
    """Return what a value of the claim grants: by RECEIVER_OIDC_ROLES, or else the role of that name."""
    if settings.oidc_roles:
        return [role for value, role in settings.oidc_roles if value == word]
    return [word] if word in (*Role, PAYLOADS) else []


@retried
def sign_in_by(runtime: Runtime, identity: Identity, address: str, before: str | None = None) -> str:
    """Begin the session of somebody whom the provider vouches for, and return what its cookie holds.

    Who comes for the first time is added (audited as `staff.added`), whose role is another is changed
    (`staff.changed`). `before` is the cookie that the browser had.

    Raises:
        SignInRefused: they are disabled, or there is another person of that name.
        StoreUnavailable
    """
    now = runtime.clock()
    standing: dict[str, Any] = {"role": identity.role, "payloads": identity.payloads}
    about = {**standing, "issuer": identity.issuer}
    with runtime.database.write() as connection:
        person = staff.identified(connection, identity.issuer, identity.subject)
        if person is None:
            person = _added(connection, runtime, identity, now, about)
        if person.disabled_at is not None:
            raise SignInRefused("You are disabled here: an admin can change that.")
        if (person.role, person.payloads) != (identity.role, identity.payloads):
            staff.change(connection, runtime.encryption, person, person._replace(**standing))
            staff.end_sessions(connection, person.id, now)
            about = {"person": person.name, **about}
            audit.write(connection, runtime.encryption, at=now, who="oidc", what="staff.changed", about=about)
        return sign_in.begin(connection, runtime, person, address, before, {"by": identity.issuer})


def _added(
    connection: Connection, runtime: Runtime, identity: Identity, now: datetime, about: Mapping[str, Any]
) -> StaffRecord:
    """Add who comes for the first time, unless another browser of theirs does so at the same moment.

    Raises:
        SignInRefused: there is another person of that name.
    """
    known_as = (identity.issuer, identity.subject)
    standing: dict[str, Any] = {"role": identity.role, "payloads": identity.payloads}
    try:
        added = staff.add(connection, runtime.encryption, name=identity.name, now=now, identity=known_as, **standing)
    except StaffExists as error:
        found = staff.identified(connection, *known_as)
        if found is None:
            text = f"There is another person {identity.name} here: an admin has to sort that out."
            raise SignInRefused(text) from error
        return found
    about = {"person": added.name, **about}
    audit.write(connection, runtime.encryption, at=now, who="oidc", what="staff.added", about=about)
    return added


def _json(url: str) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    if answer.status_code != requests.codes.ok:
        raise ValueError(f"{url} answers {answer.status_code}")
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError(f"{url} answers no JSON object")  # noqa: TRY004 - it is what was sent that is wrong
    return found


def _refused(why: object) -> SignInRefused:
    """Log why, without what stands in the token."""
    log.warning("an ID token is refused: %s", why if isinstance(why, str) else type(why).__name__)
    return SignInRefused("The provider's answer is not taken: sign in anew.")


def _unavailable(error: Exception) -> ProviderUnavailable:
    log.warning("the OpenID Connect provider: %s: %s", type(error).__name__, str(error)[:300])
    return ProviderUnavailable("The provider can't be asked just now.")
