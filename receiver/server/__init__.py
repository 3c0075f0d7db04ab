"""The processes: gunicorn's configuration and worker, the start of the application, the supervisor."""
