"""dj-stripe's webhook endpoint in the smallest Django project that holds it; runs in an environment of its own.

It verifies signatures as it ships. Django keeps its connections, and has only the middleware that sets
`Content-Length`, so that nothing but the endpoint is measured. Its key and account are rows already: it calls nobody.
"""

import os
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings

ENDPOINT = "11111111-2222-4333-8444-555555555555"
API_KEY = "sk_test_" + "a" * 24


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path[1:],
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parse_qs(parts.query).get("host", [parts.hostname or ""])[0],
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"options": "-c synchronous_commit=on"},
    }


settings.configure(
    SECRET_KEY="of the benchmark alone",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": _database(os.environ["DJSTRIPE_DATABASE_URL"])},
    # Tables straight from the models: its migrations take half a minute.
    MIGRATION_MODULES={"contenttypes": None, "auth": None, "djstripe": None},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "djstripe"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    STRIPE_TEST_SECRET_KEY=API_KEY,
    STRIPE_LIVE_MODE=False,
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from djstripe.models import Account, APIKey, WebhookEndpoint  # noqa: E402


def _healthz(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [path("healthz", _healthz), path("stripe/", include("djstripe.urls", namespace="djstripe"))]


def prepare() -> None:
    """Make the tables, and add the rows that an endpoint in use has."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    account = Account.objects.create(id="acct_bench", livemode=False)
    APIKey.objects.create(secret=API_KEY, type="secret", livemode=False, djstripe_owner_account=account)
    WebhookEndpoint.objects.create(
        id="we_bench",
        livemode=False,
        djstripe_owner_account=account,
        enabled_events=["*"],
        secret=os.environ["BENCH_SECRET"],
        status="enabled",
        url="https://receiver.example/stripe/webhook/",
        djstripe_uuid=ENDPOINT,
    )


if __name__ == "__main__":
    prepare()
else:
    application = get_wsgi_application()
