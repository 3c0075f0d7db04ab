"""`receiver run`, `worker`, `demo`: the processes; and `receiver doctor`, which says whether all is set for them."""

import signal
import sys
from dataclasses import asdict
from queue import Empty, SimpleQueue

import click

from receiver.cli.context import Command, migrated
from receiver.cli.output import as_json, cell, in_rfc3339, write_json


@click.command(cls=Command)
def run() -> None:
    """Migrate the database, then run the web server and the reconciler together until Ctrl-C."""
    from receiver import logs, runtime
    from receiver.server import start, supervisor
    from receiver.server.listening import check_listening
    from receiver.settings import load_settings
    from receiver.store import schema

    settings = load_settings()
    # First of all: else a worker would be at work over the database until the web server has ended, as it is where a
    # port is in use.
    check_listening(settings)
    with runtime.naming_database():
        started = runtime.start(settings)
        logs.configure(started.settings.log_level, started.settings.log_format)
        schema.upgrade(started.database, started.encryption)
    start.prepare(started)
    click.echo(f"Callbacks at {settings.where('/webhooks/<source>')}; the API at /api/v1", err=True)
    sys.exit(supervisor.run([supervisor.WEB, supervisor.WORKER]))


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="Do what is due, then end.")
def worker(once: bool) -> None:
    """Run the reconciler: ask the banks about payments that are due, and fetch public keys ahead."""
    from receiver import logs, runtime
    from receiver.worker.loop import Worker

    started = migrated()
    logs.configure(started.settings.log_level, started.settings.log_format)
    started = runtime.tracing(runtime.counting(started))
    if once:
        done = Worker(started).run_once()
        click.echo(f"Done: {done}.")
        return
    stop = _Asked()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.ask)
    started.database.checkpoint_aside()
    Worker(started).run(stop)


class _Asked:
    """Whether a signal has asked the process to end.

    A handler runs in the middle of whatever the main thread does. `threading.Event` has a lock, on which it would wait
    for ever where that is waiting for the event; to put something into this queue is safe (it is reentrant).
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[None] = SimpleQueue()

    def ask(self, *_: object) -> None:
        self._asked.put(None)

    def is_set(self) -> bool:
        return not self._asked.empty()

    def wait(self, timeout: float, /) -> bool:
        try:
            self._asked.get(timeout=timeout)
        except Empty:
            return False
        self._asked.put(None)
        return True


@click.command(cls=Command)
def demo() -> None:
    """Tell the whole story on a throw-away database, with a simulated bank on loopback."""
    from receiver.demo import story

    sys.exit(story.run())


@click.command(cls=Command)
@click.argument("source", required=False)
@as_json
def doctor(source: str | None, as_json: bool) -> None:
    """Look at settings, database, secrets, conflicts and the banks' APIs; say what is wrong and what to do."""
    from receiver.admin import standing
    from receiver.admin.diagnosis import examine

    runtime = migrated()
    findings = list(examine(runtime, source))
    if as_json:
        shown = {"findings": [asdict(finding) for finding in findings], **asdict(standing.state(runtime, source))}
        write_json(in_rfc3339(shown))
    else:
        for finding in findings:
            click.echo(f"{finding.state:<5} {finding.what}: {cell(finding.text)}")
    sys.exit(1 if any(finding.state == "fail" for finding in findings) else 0)
