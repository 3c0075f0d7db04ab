"""The worker class without what shares new connections among processes, so that this earns its place, or goes."""

from gevent.server import StreamServer

from receiver.server import gunicorn_worker
from receiver.server.gunicorn_worker import ProblemWorker


class UnsharedWorker(ProblemWorker):
    """Accepts whatever connection comes, however few the other processes have."""

    def init_process(self) -> None:
        """Serve as usual, but by gevent's own server."""
        vars(gunicorn_worker)["SharingServer"] = StreamServer
        super().init_process()
