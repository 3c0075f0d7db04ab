"""Sources: how each is, its options; switch one on and off, set an option."""

from flask import Response

from receiver.admin import health, refusals, source_changes
from receiver.admin import sources as acts
from receiver.admin.sessions import Visitor
from receiver.admin.source_changes import NewSettings
from receiver.model import Role
from receiver.runtime import Runtime
from receiver.web.staff.forms import field
from receiver.web.staff.page import Page, done
from receiver.web.staff.rendering import render, url


def names(runtime: Runtime) -> list[str]:
    """Return the names of the sources that were not removed.

    Raises:
        StoreUnavailable
    """
    return [source.name for source in acts.listing(runtime)]


class Sources:
    """The views of sources."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._runtime = runtime

    @Page("GET /sources")
    def sources(self, visitor: Visitor) -> Response:
        """List the sources with how each is."""
        return render("sources.html", "Sources", fragment="found", sources=health.every(self._runtime))

    @Page("GET /sources/<name>")
    def source(self, visitor: Visitor, name: str) -> Response:
        """Show how one source is, and its settings."""
        found = health.of_source(self._runtime, name)
        return render(
            "source.html",
            f"Source {name}",
            found=found,
            valid=health.valid_secrets(found, self._runtime.clock()),
            certificate=health.certificate(self._runtime, found.source),
            refused=refusals.stored(self._runtime, found.source),
            may_change=visitor.may(Role.ADMIN),
        )

    @Page("POST /sources/<name>/enable", role=Role.ADMIN)
    def enable(self, visitor: Visitor, name: str) -> Response:
        """Take a source's callbacks."""
        return done(lambda: acts.enable(self._runtime, visitor.who, name), url("sources", name), f"{name} is enabled.")

    @Page("POST /sources/<name>/disable", role=Role.ADMIN)
    def disable(self, visitor: Visitor, name: str) -> Response:
        """Take no more callbacks for a source."""
        return done(
            lambda: acts.disable(self._runtime, visitor.who, name),
            url("sources", name),
            lambda goes_on: f"{name} is disabled: its callbacks get 404{f'; {goes_on}' if goes_on else ''}.",
        )

    @Page("POST /sources/<name>/option", role=Role.ADMIN)
    def option(self, visitor: Visitor, name: str) -> Response:
        """Set one option of a source, or unset it where no value is given."""
        key, value = field("key"), field("value", needed=False)
        new = NewSettings(options={key: value}) if value else NewSettings(unset=[key])
        return done(
            lambda: source_changes.change(self._runtime, visitor.who, name, new),
            url("sources", name),
            f"{key} is {'set' if value else 'unset'}. All processes use it within a second.",
        )
