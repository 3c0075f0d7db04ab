"""TLS with handshakes in each connection's own thread, so that a client that stalls holds up nobody else."""

import contextlib
import socket
import ssl
from typing import Any
from wsgiref.types import WSGIApplication

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

HANDSHAKE_SECONDS = 10.0
_DRAIN_SECONDS = 0.5


class TlsServer(ThreadedWSGIServer):
    """A server whose every connection is TLS; a handshake that fails is told to the client in an alert (RFC 8446, 6.2)
    and to nobody else."""

    def __init__(
        self,
        host: str,
        port: int,
        app: WSGIApplication,
        handler: type[WSGIRequestHandler],
        context: ssl.SSLContext,
    ) -> None:
        """Listen; `context` is the server's side."""
        super().__init__(host, port, app, handler)
        # Set afterwards: given to the constructor, it would wrap the listening socket and shake hands while accepting.
        self.ssl_context = context
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then serve the connection."""
        request.settimeout(HANDSHAKE_SECONDS)
        with self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except OSError:
                _drain(secured)
                return
            secured.settimeout(None)
            super().finish_request(secured, client_address)
            with contextlib.suppress(OSError):
                secured.shutdown(socket.SHUT_RDWR)


def _drain(connection: socket.socket) -> None:
    """Read what the client still sends: closing a socket with unread bytes resets it, and the alert would be lost."""
    connection.settimeout(_DRAIN_SECONDS)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        # The TLS layer is given up after a failed handshake; these are the raw bytes below it.
        while socket.socket.recv(connection, 65536):
            pass
