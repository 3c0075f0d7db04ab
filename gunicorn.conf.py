"""How gunicorn serves `wsgi:app`; the values and their reasons stand in `receiver/gunicorn_settings.py`."""

from receiver.gunicorn_settings import *  # noqa: F403
