"""Whether the address that is set can be listened on, told in one line before gunicorn tries; and how that ends."""

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from gunicorn import sock

from receiver.settings import UNIX, Settings, SettingsError, wrong


def check_listening(settings: Settings) -> None:
    """Accept an address that this machine has and this user may listen on; a TCP port may be in use, a socket may not.

    Where a port is in use, gunicorn says so. A socket's file it removes, whoever listens there. What is handed over is
    taken as it is.

    Raises:
        SettingsError
    """
    if _is_handed_over():
        return
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
    if _is_listened_on(path):
        raise FileExistsError(errno.EEXIST, "in use by another server")
    # Beside it: what is there may be in use.
    with NamedTemporaryFile(dir=path.parent):
        pass


def _is_handed_over() -> bool:
    """Tell whether gunicorn is handed its listeners: by the master before it (USR2), or by systemd."""
    return "GUNICORN_FD" in os.environ or os.environ.get("LISTEN_PID") == str(os.getpid())


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:
            # So many wait to be taken in that there is no room for another.
            return True
    return True


def _try_address(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)


def leave_sockets_of_others(master: Any) -> None:
    """Have a master, once it listens, remove a socket's file at its end where that is still the one it has made.

    Gunicorn itself removes whatever is there by then. Where nothing is, it fails: no process would be asked to stop and
    to finish its requests first.
    """
    made = {name: _file(name) for name in map(_name, master.LISTENERS)}

    def close(listeners: Iterable[Any], unlink: bool = True) -> None:
        for listener in listeners:
            name = _name(listener)
            # Another file has another number for as long as this one is listened on.
            if unlink and (file := _file(name)) is not None and file == made.get(name):
                with suppress(OSError):
                    os.unlink(name)
            listener.close()

    sock.close_sockets = close


def _name(listener: Any) -> str:
    """Return where a listener's file is; nothing where it has none."""
    name = listener.getsockname()
    return name if isinstance(name, str) else ""


def _file(name: str) -> tuple[int, int] | None:
    """Return what tells the file that is there from all others."""
    try:
        found = os.lstat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino
