"""Gunicorn's settings (its own names), from ours. `docs/decisions.md` says why they are what they are."""

import os
import resource
import ssl
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from receiver.server.listening import check_listening, leave_sockets_of_others
from receiver.settings import SettingsError, load_pair, load_settings

MAJORS = {"gunicorn": 27, "gevent": 26}
"""The major versions that the worker class was tested with: it reaches into both. `pyproject.toml` caps them too."""

for _name, _major in MAJORS.items():
    if version(_name).partition(".")[0] != str(_major):
        sys.exit(f"receiver: {_name} {version(_name)} is installed; {_name} {_major} alone is accepted")

try:
    _settings = load_settings()
    check_listening(_settings)
except SettingsError as error:
    sys.exit(f"receiver: {error}")

bind = _settings.listens_at
when_ready = leave_sockets_of_others
worker_class = "receiver.server.gunicorn_worker.ProblemWorker"
workers = _settings.processes
worker_connections = 4000
backlog = 2048

# Slow senders and waiting readers hold a connection each, and no thread.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

# Also how long the reading of one request may take; above the 30 s for which the feed may hold one.
timeout = 40
graceful_timeout = 30
keepalive = 75

# A file by which the master sees that a process lives: in memory, so that a full or slow disk keeps none from starting.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 - gunicorn makes it safely

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

certfile = str(_settings.tls_certificate) if _settings.tls_certificate else None
keyfile = str(_settings.tls_key) if _settings.tls_key else None


def ssl_context(_: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the context for HTTPS: gunicorn's own, unless the files hold what OpenSSL does not pass over."""
    try:
        return default()
    except ssl.SSLError:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        assert _settings.tls_certificate is not None  # noqa: S101 - HTTPS is on
        assert _settings.tls_key is not None  # noqa: S101
        load_pair(context, _settings.tls_certificate, _settings.tls_key)
        return context


# The application reads X-Forwarded-For and X-Forwarded-Proto itself, by RECEIVER_TRUSTED_PROXIES; gunicorn is to
# believe nobody. Of itself it believes whoever comes over a unix socket, whatever `forwarded_allow_ips` says: that a
# request came by HTTPS, and (SCRIPT_NAME) that a part of its path is none.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

accesslog = None
errorlog = "-"
loglevel = _settings.log_level.lower()
proc_name = "receiver"
control_socket_disable = True
