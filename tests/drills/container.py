"""Carrying out the steps of a Containerfile without a container engine, and running what comes of it.

The base image is a fresh Debian by debootstrap; a step runs in it by bubblewrap, which makes the namespaces. What a
registry would be needed for is the only thing left out.
"""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from operations.installations import done

TOOLS = ("debootstrap", "bwrap", "setpriv")
PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "cert", "constraint", "trusted-host", "proxy", "timeout")


NOT_REACHED = re.compile(
    r"Temporary failure|Could not (?:resolve|connect)|(?:Failed|Unable) to fetch"
    r"|Connection (?:refused|failed|timed out)|Max retries|Network is unreachable|No matching distribution"
)
"""What apt and pip say where the network, or an archive, does not answer."""


class NotFetched(Exception):
    """Debian's archive does not give what a base is made of; the text says what was said."""


LENT = "/mnt/lent"
"""Where a step finds what pip's settings name on this machine."""

BUILD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_not() -> str | None:
    """Tell why a root can't be made here; none where it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian's packages debootstrap, bubblewrap and util-linux)"
    if os.geteuid() != 0:
        return "debootstrap needs root"
    tried = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid", "true"]
    ended = subprocess.run(tried, capture_output=True, text=True, check=False)
    if ended.returncode:
        return f"no namespaces can be made here: {ended.stderr.strip()}"
    return None if _sources() else "this machine's apt knows no archive of Debian's (`apt-get update` may help)"


def _sources() -> list[list[str]]:
    """Where this machine has Debian's own packages from: address, release and component of each."""
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    listed = done(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).split()
    return [line.split("|")[:3] for line in listed if line.endswith("|Debian")]


@dataclass(frozen=True)
class Step:
    """One instruction of a Containerfile."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """What it is given: a JSON array (the exec form), or words."""
        return [str(each) for each in json.loads(self.rest)] if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next."""

    name: str
    steps: list[Step]


def stages(text: str) -> tuple[dict[str, str], list[Stage]]:
    """Read a Containerfile: the arguments before its first stage with their defaults, and its stages."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    steps = [Step(*line.split(None, 1)) for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    first = next(number for number, step in enumerate(steps) if step.word == "FROM")
    arguments = dict(step.rest.split("=", 1) for step in steps[:first])
    found: list[Stage] = []
    for step in steps[first:]:
        if step.word == "FROM":
            _, _, name = step.rest.partition(" AS ")
            found.append(Stage(name, []))
        found[-1].steps.append(step)
    return arguments, found


def debian(folder: Path) -> None:
    """Make a clean Debian of this machine's own release, from where this machine has its own packages."""
    sources = _sources()
    release = min((each[1] for each in sources), key=len)
    (archive,) = {each[0] for each in sources if each[1] == release}
    try:
        done(["debootstrap", "--variant=minbase", release, str(folder), archive])
    except AssertionError as error:
        raise NotFetched(str(error)[-500:]) from error
    lines = {f"deb {uri} {suite} {component}\n" for uri, suite, component in sources}
    (folder / "etc" / "apt" / "sources.list").write_text("".join(sorted(lines)))
    # As Debian's own images have it: nobody needs what a crash would leave of them.
    (folder / "etc" / "dpkg" / "dpkg.cfg.d" / "unsafe-io").write_text("force-unsafe-io\n")


def pip_settings() -> dict[str, str]:
    """How pip is set up on this machine, as environment variables: where it finds packages."""
    listed = done([sys.executable, "-m", "pip", "config", "list"])
    found = dict(re.findall(r"^(?:\w+|:env:)\.([a-z-]+)=(.+)$", listed, re.MULTILINE))
    values = {name: str(ast.literal_eval(value)) for name, value in found.items() if name in PIP_SETTINGS}
    return {f"PIP_{name.upper().replace('-', '_')}": value for name, value in values.items()}


@dataclass
class Root:
    """A root directory that the steps of a stage have made, with what they have said about it."""

    path: Path
    workdir: str = "/"
    user: str = "0:0"
    environment: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def carry_out(self, stage: Stage, context: Path, others: Mapping[str, "Root"]) -> None:
        """Carry out the steps of a stage; an instruction that is not known here fails."""
        given: dict[str, str] = {}
        for step in stage.steps:
            match step.word:
                case "FROM":
                    pass
                case "ARG":
                    given |= pip_settings()
                case "RUN":
                    self.run(step.rest, given)
                case "COPY":
                    self._copy(step.words, context, others)
                case "ENV":
                    name, _, value = step.rest.partition("=")
                    self.environment[name] = value
                case "WORKDIR":
                    self.workdir = step.rest
                    self.inside(step.rest).mkdir(parents=True, exist_ok=True)
                case "USER":
                    self.user = step.rest
                case "VOLUME":
                    self.volumes.append(step.rest)
                case "HEALTHCHECK":
                    self.health = Step("CMD", step.rest.partition(" CMD ")[2]).words
                case "CMD":
                    self.command = step.words
                case "EXPOSE":
                    assert step.rest.isdigit()
                case _:
                    raise AssertionError(f"nobody knows how to carry out {step.word}")

    def inside(self, path: str) -> Path:
        """Where a path of this root is on our side."""
        return self.path / path.lstrip("/")

    def run(self, script: str, given: Mapping[str, str]) -> None:
        """Run a script as root, in the machine's network; `given` are build arguments, which may name files here."""
        environment = {"PATH": BUILD_PATH, "DEBIAN_FRONTEND": "noninteractive", **given, **self.environment}
        lent: dict[str, None] = {}
        for name, value in given.items():
            for place in map(Path, re.findall(r"(?<![\w/:])(?:file://)?(/[\w./-]+)", value)):
                # An index on the disk leads to files beside it.
                lent[str(place if place.is_file() else place.parent)] = None
            environment[name] = re.sub(r"(?<![\w/:])((?:file://)?)(/[\w./-]+)", rf"\1{LENT}\2", value)
        binds = [word for place in lent for word in ("--ro-bind-try", place, LENT + place)]
        options = ["--bind", str(self.path), "/", "--tmpfs", "/mnt", *binds]
        done([*_bubblewrap(options, environment, self.workdir), "/bin/sh", "-c", script])

    def _copy(self, words: Sequence[str], context: Path, others: Mapping[str, "Root"]) -> None:
        start = context
        if words[0].startswith("--from="):
            start, words = others[words[0].removeprefix("--from=")].path, words[1:]
        target = self.inside(words[-1] if words[-1].startswith("/") else f"{self.workdir}/{words[-1]}")
        for source in (start / word.lstrip("/") for word in words[:-1]):
            into = target / source.name if words[-1].endswith("/") else target
            into.parent.mkdir(parents=True, exist_ok=True)
            done(
                [
                    "cp",
                    "--recursive",
                    "--no-dereference",
                    "--preserve=mode,timestamps",
                    "--no-target-directory",
                    str(source),
                    str(into),
                ]
            )

    def started(self, words: Sequence[str], environment: Mapping[str, str], volumes: Mapping[str, Path]) -> list[str]:
        """Return the command that runs one in this root: it can't be written, nor can its user become another.

        As engines do it with `--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges`, in the
        machine's own network.
        """
        user, group = self.user.split(":")
        lent = [word for place, folder in volumes.items() for word in ("--bind", str(folder), place)]
        options = ["--ro-bind", str(self.path), "/", "--perms", "1777", "--tmpfs", "/tmp", *lent, "--as-pid-1"]  # noqa: S108
        options += ["--die-with-parent", "--unshare-ipc", "--unshare-uts"]
        bare = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        bare += ["--inh-caps=-all", "--bounding-set=-all"]
        return [*_bubblewrap(options, {**self.environment, **environment}, self.workdir), *bare, *words]

    def volume(self, place: str, folder: Path) -> Path:
        """Make a volume that is as the image has its mount point."""
        folder.mkdir()
        shutil.copystat(self.inside(place), folder)
        there = self.inside(place).stat()
        os.chown(folder, there.st_uid, there.st_gid)
        return folder


def _bubblewrap(options: Sequence[str], environment: Mapping[str, str], folder: str) -> list[str]:
    given = [word for name, value in environment.items() for word in ("--setenv", name, value)]
    return [
        "bwrap",
        *options,
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--unshare-pid",
        "--chdir",
        folder,
        "--clearenv",
        *given,
    ]


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask the first process of a container to stop, as engines do; bubblewrap itself hands no signal on."""
    (first,) = psutil.Process(process.pid).children()
    first.send_signal(signal.SIGTERM)
