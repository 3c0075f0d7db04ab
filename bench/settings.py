"""The committed gunicorn settings as plain values: for the report, and for those who can't import the receiver."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers import ROOT

_ASK = """
import json
from receiver.server import gunicorn_config as settings
simple = (str, int, float, bool)
named = {name: value for name, value in vars(settings).items() if not name.startswith("_")}
print(json.dumps({name: value for name, value in named.items() if isinstance(value, simple)}))
"""

ELSEWHERE = {"bind", "proc_name", "loglevel"}
"""What differs from server to server and is no matter of speed."""


def committed(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what `gunicorn.conf.py` sets in that environment; it may differ from database to database."""
    asked = subprocess.run(
        [sys.executable, "-c", _ASK], cwd=ROOT, env=dict(environment), check=True, capture_output=True, text=True
    )
    values: dict[str, Any] = json.loads(asked.stdout)
    return {name: value for name, value in values.items() if name not in ELSEWHERE}


def without_receiver(values: Mapping[str, Any], file: Path) -> Path:
    """Write them as a gunicorn configuration whose worker class is gunicorn's own that ours derives from."""
    plain = {**values, "worker_class": _own_class(str(values["worker_class"])), "loglevel": "error"}
    lines = [f"{name} = {value!r}" for name, value in plain.items()]
    file.write_text("import os\n" + "\n".join(lines) + "\nbind = f\"127.0.0.1:{os.environ['PORT']}\"\n")
    return file


def _own_class(name: str) -> str:
    if "." not in name:
        return name
    module, _, cls = name.rpartition(".")
    asked = subprocess.run(
        [sys.executable, "-c", f"from {module} import {cls} as c; print(*(b.__name__ for b in c.__mro__))"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    bases = asked.stdout.split()
    return "gevent" if "GeventWorker" in bases else "gthread" if "ThreadWorker" in bases else "sync"
