"""The receiver without its middleware past Flask, so that this earns its place, or goes."""

from receiver.server.start import wsgi_app
from receiver.web.callbacks import CallbackMiddleware

app = wsgi_app()
assert isinstance(app.wsgi_app, CallbackMiddleware)
app.wsgi_app = app.wsgi_app._flask  # type: ignore[method-assign, assignment]
