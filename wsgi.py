"""The application for production: `gunicorn wsgi:app`."""

from receiver.serving import wsgi_app

app = wsgi_app()
