"""The application for production: `gunicorn wsgi:app`."""

from receiver.server.start import wsgi_app

app = wsgi_app()
