"""Settings: what they take, and the one line that says what is wrong."""

import base64
import datetime
import ipaddress
from pathlib import Path

import pytest
from conftest import KEY
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from receiver.settings import Settings, SettingsError, environment_name, load_settings
from receiver.settings.database_url import PARAMETERS
from receiver.signing import addresses

OTHER_KEY = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)


def failure(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """What is said where these variables are set."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value)


def test_a_key_is_all_that_must_be_set() -> None:
    settings = load_settings()
    assert settings.keys == [KEY]
    assert (settings.database_url, settings.where("/")) == ("sqlite:///var/receiver.db", "http://127.0.0.1:8000/")


def test_a_missing_key_is_named_with_what_it_takes_and_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = failure(monkeypatch, RECEIVER_SECRET_KEYS="")
    assert said.startswith("RECEIVER_SECRET_KEYS is not set; it takes: comma-separated, newest first, each 32 bytes")
    assert "make setup" in said


def test_several_keys_stay_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", f"{OTHER_KEY}, {KEY}")
    assert load_settings().keys == [OTHER_KEY, KEY]


@pytest.mark.parametrize(
    "keys",
    ["hush", "aHVzaA==", KEY[:-1], KEY + KEY, f"{KEY},", f"{KEY},hush", f"{KEY};{OTHER_KEY}", "ключ", "hush" * 10_000],
    ids=lambda keys: keys[:20],
)
def test_a_wrong_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    said = failure(monkeypatch, RECEIVER_SECRET_KEYS=keys)
    assert said.startswith("RECEIVER_SECRET_KEYS is wrong (")
    assert "each 32 bytes in URL-safe Base64" in said
    assert not any(part.strip() in said for part in keys.split(",") if part)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (KEY.rstrip("="), "not padded: `=` is missing at its end"),
        (OTHER_KEY.replace("_", "/"), "URL-safe Base64 has - for + and _ for /"),
        (f"{KEY},{OTHER_KEY.replace('-', '+')}", "URL-safe Base64 has - for + and _ for /"),
        (KEY[:-4], "a key has 30 bytes"),
    ],
)
def test_why_a_key_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, key: str, why: str) -> None:
    assert f"is wrong ({why}); it takes: " in failure(monkeypatch, RECEIVER_SECRET_KEYS=key)


WRONG = [
    ("RECEIVER_BIND", "127.0.0.1:9"),
    ("RECEIVER_WAITING_MAX", "0"),
    ("RECEIVER_WAITING_READERS_MAX", "many"),
    ("RECEIVER_DATABASE_URL", "mysql://host/database"),
    ("RECEIVER_DATABASE_URL", "postgresql://host/database"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host:port/database"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host"),
    ("RECEIVER_DATABASE_URL", "sqlite:///"),
    ("RECEIVER_DATABASE_URL", "sqlite:///:memory:"),
    ("RECEIVER_DATABASE_URL", "sqlite:///receiver.db?mode=ro"),
    ("RECEIVER_DATABASE_URL", "sqlite:///receiver.db?mode"),
    ("RECEIVER_DATABASE_URL", "sqlite:////"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host/database?sslmod=require"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host/database?sslmode=required"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host/database?sslmode=require&sslmode=disable"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host/database?connect_timeout=3s"),
    ("RECEIVER_DATABASE_URL", "postgresql+psycopg://host/database?prepare_threshold=0"),
    ("PORT", "http"),
    ("PORT", "0"),
    ("PORT", "65536"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "bank"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "https://host/bank"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "/bank?x=1"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "/a b"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "//bank"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "/%zz"),
    ("RECEIVER_PUBLIC_PATH_PREFIX", "/bank%2"),
    ("RECEIVER_TRUSTED_PROXIES", "proxy.internal"),
    ("RECEIVER_TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/33"),
    ("RECEIVER_TRUSTED_PROXIES", "10.0.0.1/8"),
    ("RECEIVER_MAX_BODY_BYTES", "1 MB"),
    ("RECEIVER_MAX_BODY_BYTES", "1023"),
    ("RECEIVER_MAX_BODY_BYTES", "67108865"),
    ("RECEIVER_TLS_CERTIFICATE", "nowhere.pem"),
    ("RECEIVER_TLS_KEY", "nowhere.pem"),
    ("RECEIVER_PROCESSES", "0"),
    ("RECEIVER_SEVERITY_AMOUNTS", "high"),
    ("RECEIVER_SEVERITY_AMOUNTS", "low=5"),
    ("RECEIVER_SEVERITY_AMOUNTS", "high=-5"),
    ("RECEIVER_SEVERITY_AMOUNTS", "high=1,000"),
    ("RECEIVER_SEVERITY_AMOUNTS", "high:usd=1000"),
    ("RECEIVER_SEVERITY_AMOUNTS", "high=1000,high=2000"),
    ("RECEIVER_SEVERITY_AGES", "medium=an hour"),
    ("RECEIVER_SEVERITY_AGES", "medium=31536001"),
    ("RECEIVER_SEVERITY_AGES", "medium=1,medium=2"),
    ("RECEIVER_CIRCUIT_FAILURES", "0"),
    ("RECEIVER_STALLED_SECONDS", "59"),
    ("RECEIVER_LOG_LEVEL", "info"),
    ("RECEIVER_REJECTED_KEPT", "9"),
    ("RECEIVER_REJECTED_BODY_BYTES", "-1"),
    ("RECEIVER_SECRET_GRACE_SECONDS", "-1"),
    ("RECEIVER_RECHECK_SECONDS", "0"),
    ("RECEIVER_RECHECK_SECONDS", "nan"),
    ("RECEIVER_RECHECK_MAX_SECONDS", "86401"),
    ("RECEIVER_LEASE_SECONDS", "0"),
    ("RECEIVER_REPLAY_APPROVAL_ABOVE", "-1"),
    ("RECEIVER_METRICS_TOKEN", " "),
    ("RECEIVER_METRICS_TOKEN", "two\nlines"),
    ("BCB_BASE_URL", "api.bcb.bm"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda text: text)
def test_a_wrong_setting_is_named_in_one_line_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    said = failure(monkeypatch, **{name: value})
    field = next(field for field in Settings.model_fields if environment_name(field) == name)
    assert said.startswith(f"{name} is wrong (")
    assert said.endswith(f"it takes: {Settings.model_fields[field].description}")
    assert "\n" not in said


@pytest.mark.parametrize("rest", ["hidden@host:port/database", "a@b/c?hidden=d@host/e"])
def test_a_password_in_the_database_s_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    assert "hidden" not in failure(monkeypatch, RECEIVER_DATABASE_URL=f"postgresql+psycopg://receiver:{rest}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://receiver@/receiver?host=db1:5432&host=db2:5432&sslmode=verify-full",
        "postgresql+psycopg://receiver@/receiver?host=/run/postgresql&options=-c%20work_mem=16MB&options=-c%20a.b=c",
        "sqlite:///below/receiver.db",
    ],
)
def test_the_database_s_url_may_hold_what_the_driver_takes(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RECEIVER_DATABASE_URL", url)
    assert load_settings().database_url == url


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        if field != "secret_keys":
            monkeypatch.setenv(environment_name(field), "")
    assert load_settings() == Settings(_env_file=None)


@pytest.mark.parametrize(
    ("given", "read"), [("/", ""), ("/bank", "/bank"), ("/bank/", "/bank"), ("/a/b%20c", "/a/b%20c")]
)
def test_a_prefix_is_read_without_the_slash_at_its_end(monkeypatch: pytest.MonkeyPatch, given: str, read: str) -> None:
    monkeypatch.setenv("RECEIVER_PUBLIC_PATH_PREFIX", given)
    assert load_settings().public_path_prefix == read


def test_proxies_are_ranges_or_single_addresses_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,2001:db8::/32,")
    assert load_settings().trusted_proxies == tuple(
        ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")
    )


def test_a_proxy_of_ipv4_within_ipv6_is_the_one_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_TRUSTED_PROXIES", "::ffff:10.0.0.1,::ffff:192.0.2.0/120,unix")
    trusted = load_settings().trusted_proxies
    assert trusted == (ipaddress.ip_network("10.0.0.1/32"), ipaddress.ip_network("192.0.2.0/24"), "unix")
    assert all(addresses.is_trusted(peer, trusted) for peer in ("10.0.0.1", "::ffff:10.0.0.1", "192.0.2.9"))


def make_pair(folder: Path, name: str, password: bytes | None = None) -> tuple[str, str]:
    """Write a certificate and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM))
    sealing = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing))
    return str(certificate), str(private)


def test_with_a_certificate_and_its_key_https_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "a")
    monkeypatch.setenv("RECEIVER_TLS_CERTIFICATE", certificate)
    monkeypatch.setenv("RECEIVER_TLS_KEY", key)
    assert load_settings().where("/") == "https://127.0.0.1:8000/"


@pytest.mark.parametrize("name", ["RECEIVER_TLS_CERTIFICATE", "RECEIVER_TLS_KEY"])
def test_one_half_of_the_pair_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    certificate, _ = make_pair(tmp_path, "a")
    said = failure(monkeypatch, **{name: certificate})
    assert said == "RECEIVER_TLS_CERTIFICATE and RECEIVER_TLS_KEY go together: set both or neither"


def test_a_pair_that_does_not_fit_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "a")
    _, other_key = make_pair(tmp_path, "b")
    _, sealed_key = make_pair(tmp_path, "c", b"password")
    for given in ((certificate, other_key), (certificate, sealed_key), (key, certificate), (certificate, certificate)):
        said = failure(monkeypatch, RECEIVER_TLS_CERTIFICATE=given[0], RECEIVER_TLS_KEY=given[1])
        assert said.startswith("RECEIVER_TLS_CERTIFICATE and RECEIVER_TLS_KEY are wrong; they take: a PEM certificate")


@pytest.mark.parametrize("name", ["BCB_CLIENT_ID", "BCB_CLIENT_SECRET"])
def test_one_half_of_the_bank_s_credentials_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    said = failure(monkeypatch, **{name: "half-of-it"})
    assert said == "BCB_CLIENT_ID and BCB_CLIENT_SECRET go together: set both or neither"


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"RECEIVER_SECRET_KEYS={OTHER_KEY}\nRECEIVER_PROCESSES=7\nSOMETHING_ELSE=1\n")
    settings = load_settings()
    assert (settings.keys, settings.processes) == ([KEY], 7)


@pytest.mark.parametrize("quoted", ["'pa${NOPE}ss'", '"pa${NOPE}ss"', "pa${NOPE}ss"])
def test_a_value_in_the_file_stays_as_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quoted: str) -> None:
    monkeypatch.setenv("NOPE", "something else")
    lines = {"BCB_CLIENT_ID": "the-${HOME}-id", "BCB_CLIENT_SECRET": quoted, "BCB_MESSAGE_SIGNING_SECRET": quoted}
    (tmp_path / ".env").write_text("\ufeff" + "".join(f"{name}={value}\n" for name, value in lines.items()))
    settings = load_settings()
    assert settings.bcb_client_id == "the-${HOME}-id"
    for secret in (settings.bcb_client_secret, settings.bcb_message_signing_secret):
        assert secret is not None
        assert secret.get_secret_value() == "pa${NOPE}ss"


def test_a_file_that_is_no_text_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"RECEIVER_PROCESSES=\xff\n")
    said = failure(monkeypatch)
    assert said.startswith(".env can't be read (")
    assert "\n" not in said


def test_no_secret_is_in_what_is_shown_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BCB_CLIENT_ID", "BCB_CLIENT_SECRET", "BCB_MESSAGE_SIGNING_SECRET"):
        monkeypatch.setenv(name, f"hidden {name}")
    monkeypatch.setenv("RECEIVER_DATABASE_URL", "postgresql+psycopg://receiver:hidden-password@host/database")
    shown = f"{load_settings()!r} {load_settings()}"
    assert "hidden-password" not in shown
    assert KEY not in shown
    assert "hidden BCB_CLIENT_SECRET" not in shown
    assert "hidden BCB_MESSAGE_SIGNING_SECRET" not in shown


def test_the_parameters_of_postgresql_are_those_that_the_driver_takes() -> None:
    from psycopg import pq

    assert {option.keyword.decode() for option in pq.Conninfo.get_defaults()} <= PARAMETERS


@pytest.mark.parametrize("given", ["hush", " hush", "hush\n", "\thush\u00a0"])
def test_blanks_at_the_ends_of_the_token_of_metrics_do_not_count(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    monkeypatch.setenv("RECEIVER_METRICS_TOKEN", given)
    token = load_settings().metrics_token
    assert token is not None
    assert token.get_secret_value() == "hush"


@pytest.mark.parametrize(
    ("bind", "place"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/staff"),
        ("unix:/run/receiver/web.sock", "/staff, over the unix socket /run/receiver/web.sock"),
    ],
)
def test_where_a_path_is_can_be_said_of_a_socket_too(bind: str, place: str) -> None:
    assert Settings(_env_file=None, secret_keys=KEY, bind=bind).where("/staff") == place
