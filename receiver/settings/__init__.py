"""What an operator sets: environment variables, read from `.env` too (the environment wins)."""

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy import make_url

from receiver.model import ReceiverError, Role, Severity
from receiver.settings.database_url import check_database_url
from receiver.settings.values import (
    HOST,
    PATH,
    check_key,
    check_pair,
    header_text,
    read_ages,
    read_amounts,
    socket_path,
)
from receiver.settings.values import UNIX as UNIX
from receiver.settings.values import load_pair as load_pair
from receiver.signing.addresses import Network, network


class SettingsError(ReceiverError):
    """A setting is wrong or missing; the text is one line that names it and says what is accepted."""


class _DotEnv(DotEnvSettingsSource):
    """`.env` as it stands: `${NAME}` within a secret is part of it, and not the value of another variable."""

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        values = dotenv_values(file_path, encoding="utf-8-sig", interpolate=False)
        return {name.lower(): value for name, value in values.items() if value}


class Settings(BaseSettings):
    """Every setting, with its unit and its default. The same list stands in `.env.example` and `docs/settings.md`."""

    model_config = SettingsConfigDict(
        env_prefix="RECEIVER_", env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        description="comma-separated, newest first, each 32 bytes in URL-safe Base64"
    )
    # Out of the repr, because it may hold a password.
    database_url: str = Field(
        "sqlite:///var/receiver.db", repr=False, description="sqlite:///PATH or postgresql+psycopg://…"
    )
    port: int = Field(8000, ge=1, le=65535, validation_alias=AliasChoices("PORT"), description="a TCP port, 1 to 65535")
    bind: str = Field(
        "127.0.0.1", description="an address without a port (127.0.0.1, ::), a host's name, or unix:/PATH of a socket"
    )
    public_path_prefix: str = Field("", description="empty, or a path such as /bank that a proxy takes off")
    public_url: str | None = Field(
        None,
        pattern=r"^(https://[^/?#\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?)$",
        description="https://HOST[:PORT], without a path (http:// on loopback alone)",
    )
    trusted_proxies: Annotated[tuple[Network | Literal["unix"], ...], NoDecode] = Field(
        (), description="comma-separated CIDR ranges, and unix for whoever comes over a unix socket"
    )
    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="bytes, 1024 to 67108864")
    bodies_bytes: int = Field(
        160 * 1024 * 1024, ge=64 * 1024 * 1024, le=64 * 1024**3, description="bytes, 67108864 to 68719476736"
    )
    body_bytes_per_second: int = Field(16 * 1024, ge=1, le=1024 * 1024, description="bytes a second, 1 to 1048576")
    connections_per_address: int = Field(256, ge=1, le=4000, description="connections of an address, 1 to 4000")
    tls_certificate: Path | None = Field(None, description="a readable PEM file, together with RECEIVER_TLS_KEY")
    tls_key: Path | None = Field(None, description="a readable PEM file, together with RECEIVER_TLS_CERTIFICATE")
    processes: int = Field(2, ge=1, le=64, description="processes that answer requests, 1 to 64")
    waiting_max: int = Field(1000, ge=1, le=100_000, description="callbacks that wait for the database, 1 to 100000")
    waiting_readers_max: int = Field(
        100, ge=1, le=10_000, description="readers of the feed that a process lets wait, 1 to 10000"
    )
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="addresses that apprise knows, each of one recipient, with a comma or blank between them",
    )
    metrics_token: SecretStr | None = Field(None, description="text, in an Authorization: Bearer header")
    metrics_directory: Path | None = Field(None, description="a directory that this user can make and write")
    log_format: Literal["text", "json"] | None = Field(None, description="text or json")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    rejected_max: int = Field(
        1000,
        validation_alias=AliasChoices("RECEIVER_REJECTED_KEPT"),
        ge=10,
        le=1_000_000,
        description="rejected deliveries a source, 10 to 1000000",
    )
    rejected_body_bytes: int = Field(16 * 1024, ge=0, le=1024 * 1024, description="bytes, 0 to 1048576")
    secret_grace_seconds: int = Field(3600, ge=0, le=30 * 86400, description="seconds, 0 to 2592000")
    recheck_seconds: float = Field(10, gt=0, le=86400, description="seconds, above 0, up to 86400")
    recheck_max_seconds: float = Field(3600, gt=0, le=86400, description="seconds, above 0, up to 86400")
    sweep_seconds: float = Field(900, ge=0, le=7 * 86400, description="seconds, 0 (never) to 604800")
    recover_after_seconds: float = Field(900, ge=0, le=30 * 86400, description="seconds, 0 to 2592000")
    lease_seconds: float = Field(120, ge=1, le=3600, description="seconds, 1 to 3600")
    day_delay_seconds: float = Field(3600, ge=0, le=7 * 86400, description="seconds, 0 to 604800")
    stalled_seconds: int = Field(172_800, ge=60, le=31 * 86400, description="seconds, 60 to 2678400")
    circuit_failures: int = Field(5, ge=1, le=1000, description="failures in a row, 1 to 1000")
    circuit_seconds: float = Field(30, gt=0, le=3600, description="seconds, above 0, up to 3600")
    circuit_max_seconds: float = Field(600, gt=0, le=86400, description="seconds, above 0, up to 86400")
    severity_amounts: str = Field(
        "high=10000,medium=1000",
        description="comma-separated SEVERITY=AMOUNT or SEVERITY:CURRENCY=AMOUNT: high, medium",
    )
    severity_ages: str = Field(
        "high=86400,medium=3600", description="comma-separated SEVERITY=SECONDS: high, medium; 0 to 31536000"
    )
    oidc_issuer: str | None = Field(
        None,
        pattern=r"^(https://[^/?#\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?)(/[^?#\s]*)?$",
        description="an https:// URL (http:// on loopback alone), together with RECEIVER_OIDC_CLIENT_ID and _SECRET",
    )
    oidc_client_id: str | None = Field(None, description="text")
    oidc_client_secret: SecretStr | None = Field(None, description="text")
    oidc_role_claim: str = Field("roles", min_length=1, description="the name of a claim")
    oidc_name_claim: str = Field("preferred_username", min_length=1, description="the name of a claim")
    oidc_roles: Annotated[tuple[tuple[str, str], ...], NoDecode] = Field(
        (), description="comma-separated VALUE=ROLE: viewer, operator, approver, admin, or payloads"
    )
    retention_payload_days: int = Field(0, ge=0, le=36500, description="days, 0 to 36500; 0 for ever")
    retention_headers_days: int = Field(0, ge=0, le=36500, description="days, 0 to 36500; 0 for ever")
    retention_rejected_days: int = Field(0, ge=0, le=36500, description="days, 0 to 36500; 0 for ever")
    retention_checks_days: int = Field(0, ge=0, le=36500, description="days, 0 to 36500; 0 for ever")
    retention_feed_days: int = Field(0, ge=0, le=36500, description="days, 0 to 36500; 0 for ever")
    consumer_idle_days: int = Field(30, ge=1, le=36500, description="days, 1 to 36500")
    replay_approval_above: int = Field(1000, ge=0, le=10**9, description="entries or deliveries, 0 to 1000000000")
    bcb_client_id: str | None = Field(None, validation_alias=AliasChoices("BCB_CLIENT_ID"), description="text")
    bcb_client_secret: SecretStr | None = Field(
        None, validation_alias=AliasChoices("BCB_CLIENT_SECRET"), description="text"
    )
    bcb_message_signing_secret: SecretStr | None = Field(
        None, validation_alias=AliasChoices("BCB_MESSAGE_SIGNING_SECRET"), description="text, as the bank gave it"
    )
    bcb_base_url: str | None = Field(
        None, validation_alias=AliasChoices("BCB_BASE_URL"), pattern="^https?://", description="a URL"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read `.env` in our own way, from where the caller says."""
        assert isinstance(dotenv_settings, DotEnvSettingsSource)  # noqa: S101 - for the type checker
        in_file = _DotEnv(settings_cls, env_file=dotenv_settings.env_file)
        return init_settings, env_settings, in_file, file_secret_settings

    @field_validator("bind")
    @classmethod
    def _read_bind(cls, value: str) -> str:
        if value.startswith(UNIX):
            return socket_path(value)
        bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            if not HOST.fullmatch(value):
                raise ValueError("no address; the port stands in PORT") from None
            return value
        return f"[{address}]" if address.version == 6 else str(address)

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _read_keys(cls, value: Any) -> Any:
        keys = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        for key in keys:
            check_key(key)
        return keys

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _read_networks(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _read_as_lists_do(cls, value: tuple[Network | Literal["unix"], ...]) -> tuple[Network | Literal["unix"], ...]:
        return tuple(one if isinstance(one, str) else network(str(one)) for one in value)

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _read_alert_urls(cls, value: Any) -> Any:
        # A comma within an address, as between two recipients, is followed by no scheme.
        return re.split(r"[\s,]+(?=[A-Za-z0-9+.-]+://)", value.strip(" ,")) if isinstance(value, str) else value

    @field_validator("metrics_token")
    @classmethod
    def _read_token(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(header_text(value.get_secret_value()))

    @field_validator("public_path_prefix")
    @classmethod
    def _read_prefix(cls, value: str) -> str:
        prefix = value.rstrip("/")
        if not PATH.fullmatch(prefix):
            raise ValueError("not a path in the sense of RFC 3986")
        return prefix

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _read_roles(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.rpartition("=") for part in value.split(",") if part.strip()]
        found = [(given.strip(), role.strip()) for given, _, role in pairs]
        if any(not given or role not in (*Role, "payloads") for given, role in found):
            raise ValueError("not VALUE=ROLE")
        return found

    @field_validator("severity_amounts")
    @classmethod
    def _check_amounts(cls, value: str) -> str:
        read_amounts(value)
        return value

    @field_validator("severity_ages")
    @classmethod
    def _check_ages(cls, value: str) -> str:
        read_ages(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _read_database_url(cls, value: str) -> str:
        check_database_url(value)
        return value

    @field_validator("tls_certificate", "tls_key")
    @classmethod
    def _is_a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("no such file")
        return value

    @model_validator(mode="after")
    def _both_or_neither(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("RECEIVER_TLS_CERTIFICATE and RECEIVER_TLS_KEY go together: set both or neither")
        if self.tls_certificate is not None and self.tls_key is not None:
            check_pair(self.tls_certificate, self.tls_key)
        if (self.oidc_issuer is None, self.oidc_issuer is None) != (
            self.oidc_client_id is None,
            self.oidc_client_secret is None,
        ):
            names = "RECEIVER_OIDC_ISSUER, RECEIVER_OIDC_CLIENT_ID and RECEIVER_OIDC_CLIENT_SECRET"
            raise ValueError(f"{names} go together: set all or none")
        if (self.bcb_client_id is None) != (self.bcb_client_secret is None):
            raise ValueError("BCB_CLIENT_ID and BCB_CLIENT_SECRET go together: set both or neither")
        return self

    @property
    def keys(self) -> list[str]:
        """The secret keys, newest first, as URL-safe Base64."""
        return [key.get_secret_value() for key in self.secret_keys]

    @property
    def severity_amounts_read(self) -> list[tuple[Severity, str, Decimal]]:
        """From which amount on something presses how much; the currency is empty where it is meant for all others."""
        return read_amounts(self.severity_amounts)

    @property
    def severity_ages_read(self) -> list[tuple[Severity, timedelta]]:
        """For how long something has been open to press how much."""
        return read_ages(self.severity_ages)

    @property
    def metrics_directories(self) -> list[Path]:
        """Where processes may count together: as set, else beside the database's file or in `var/`, or the system's."""
        if self.metrics_directory is not None:
            return [self.metrics_directory.absolute()]
        url = make_url(self.database_url)
        near = f"{url.database}-metrics" if url.get_backend_name() == "sqlite" else "var/metrics"
        digest = hashlib.sha256(self.database_url.encode()).hexdigest()[:16]
        return [Path(near).absolute(), Path(gettempdir()) / f"receiver-metrics-{os.geteuid()}-{digest}"]

    @property
    def is_unix_socket(self) -> bool:
        """Whether it listens on a socket in the file system, instead of a TCP port."""
        return self.bind.startswith(UNIX)

    @property
    def listens_at(self) -> str:
        """Where it listens: `ADDRESS:PORT`, or `unix:PATH`."""
        return self.bind if self.is_unix_socket else f"{self.bind}:{self.port}"

    def where(self, path: str) -> str:
        """Say where a path is, as a person on this machine would open it."""
        if self.is_unix_socket:
            return f"{path}, over the unix socket {self.bind.removeprefix(UNIX)}"
        return f"{'https' if self.tls_certificate else 'http'}://{self.listens_at}{path}"


def environment_name(field: str) -> str:
    """Return the environment variable behind a field of `Settings`."""
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"RECEIVER_{field.upper()}"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one is missing or wrong.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env can't be read ({error}); it takes: lines of NAME=VALUE in UTF-8") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    if not first["loc"]:
        return str(first["msg"]).removeprefix("Value error, ")
    place = str(first["loc"][0])
    field = next((name for name in Settings.model_fields if environment_name(name) == place), place)
    if first["type"] == "missing":
        accepted = Settings.model_fields[field].description
        return f"{environment_name(field)} is not set; it takes: {accepted} (`make setup` writes a fresh .env)"
    return wrong(field, str(first["msg"]).removeprefix("Value error, "))


def wrong(field: str, why: str) -> str:
    """Return the line for a setting that does not take."""
    accepted = Settings.model_fields[field].description
    return f"{environment_name(field)} is wrong ({why}); it takes: {accepted}"
