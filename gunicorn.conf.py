"""How gunicorn serves `wsgi:app`; the values and their reasons stand in `receiver/server/gunicorn_config.py`."""

from receiver.server.gunicorn_config import *  # noqa: F403
