"""Whether the address that is set can be listened on, told in one line before gunicorn tries."""

import errno
import socket
from pathlib import Path
from tempfile import NamedTemporaryFile

from receiver.settings import UNIX, Settings, SettingsError, wrong


def check_listening(settings: Settings) -> None:
    """Accept an address that this machine has and this user may listen on, in use or not.

    Raises:
        SettingsError
    """
    try:
        if settings.is_unix_socket:
            _try_socket(Path(settings.bind.removeprefix(UNIX)))
        else:
            _try_address(settings.bind.strip("[]"), settings.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            # By this very server perhaps, which reads its settings anew: what it says of others is plain.
            return
        raise SettingsError(wrong("bind", f"{settings.listens_at}: {error.strerror}")) from None


def _try_socket(path: Path) -> None:
    if path.exists() and not path.is_socket():
        raise FileExistsError(errno.EEXIST, "there is something else by this name")
    # Beside it: what is there may be in use.
    with NamedTemporaryFile(dir=path.parent):
        pass


def _try_address(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
