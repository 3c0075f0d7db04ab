"""Ties a view to its route, and to the models that read what it is asked and write what it answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from receiver.admin.names import SHOWN_CHARACTERS, Names
from receiver.web.auth import Tokens
from receiver.web.problems import Problem
from receiver.web.schemas.base import Answer, Body, GivenTwice, ListPage, NoBody, NoQuery, Path, Query, Shape
from receiver.web.schemas.wording import given_twice, refusal

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "operation"


@dataclass(frozen=True)
class Content:
    """A body or an answer that is not one model's JSON.

    For each media type it has a model, a JSON Schema, or none for bytes that have no schema.
    """

    about: str
    types: Mapping[str, type[BaseModel] | Mapping[str, Any] | None]
    headers: Mapping[str, str] = field(default_factory=dict)


JSON_TYPE, CSV_TYPE = "application/json", "text/csv"

AS_CSV: Mapping[str, Mapping[str, Any]] = {CSV_TYPE: {"type": "string"}}
"""What a list may be written as besides JSON (`Accept`)."""

LINK = {"Link": '`<…>; rel="next"`, where there is more; with what is no JSON object only.'}


@dataclass(frozen=True)
class Operation:
    """What a view takes and answers, besides its docstring; the word is OpenAPI's. It is the view's decorator.

    The view is called with the parts of its path, and by name with the `token` where a scope is asked for, and with
    the `query` and the `body` where it has them.

    `route` is a method and a rule of Flask's; `forms` are the paths of a rule that OpenAPI can't write as one. A `path`
    beside `forms` describes and does not check: Flask's one part is all of these, and the view has to take it apart.
    Whoever calls needs a token with the `scope`; without one nobody needs a token. `problems` says when a status
    comes; those that follow from the rest (a scope, a body, the database) are added by `receiver.web.openapi`.
    """

    route: str
    answers: Mapping[int, type[Answer] | Content]
    scope: str | None = None
    path: type[Path] | None = None
    query: type[Query] | None = None
    headers: type[Shape] | None = None
    body: Sequence[type[Body]] | Content = ()
    problems: Mapping[int, str] = field(default_factory=dict)
    forms: Sequence[str] = ()
    asks_database: bool = True
    waits: bool = False
    """It may be held until something comes, and sees itself that its token has no more than its share."""

    @property
    def takes_body(self) -> bool:
        """Whether a JSON body is read, if only to see that it is empty."""
        return self.scope is not None and self.route.startswith("POST ")

    @property
    def bodies(self) -> Sequence[type[Body]]:
        """The models that a JSON body is read by."""
        return self.body if self.body and not isinstance(self.body, Content) else [NoBody]

    def __call__(self, view: View) -> View:
        """Leave it at a view."""
        setattr(view, _ATTRIBUTE, self)
        return view

    def status_of(self, answered: Answer) -> int:
        """Return the status that goes with an answer, by its model.

        Raises:
            TypeError: the view answered what it does not say that it answers.
        """
        for status, shown in self.answers.items():
            if type(answered) in (shown.types.values() if isinstance(shown, Content) else (shown,)):
                return status
        raise TypeError(f"{self.route} says nothing of answering {type(answered).__name__}")


def operation_of(view: object) -> Operation | None:
    """Return what was left at a view; none where nothing was."""
    found: Operation | None = getattr(view, _ATTRIBUTE, None)
    return found


def blueprint(name: str, views: object, tokens: Tokens, prefix: str) -> Blueprint:
    """Make the routes of all views of an object; `prefix` is the path that a proxy takes off."""
    routes = Blueprint(name, __name__, template_folder="templates")
    for attribute, function in vars(type(views)).items():
        described = operation_of(function)
        if described is not None:
            method, _, rule = described.route.partition(" ")
            serve = _serving(getattr(views, attribute), described, tokens, prefix)
            routes.add_url_rule(rule, attribute, serve, methods=[method])
    return routes


def _serving(
    view: Callable[..., Any], described: Operation, tokens: Tokens, prefix: str
) -> Callable[..., ResponseReturnValue]:
    """Return a view as Flask calls it."""

    @wraps(view)
    def serve(**path: str) -> ResponseReturnValue:
        given: dict[str, Any] = {}
        names: Names | None = None
        if described.scope is not None:
            token = given["token"] = tokens.require(described.scope)
            names = tokens.names_for(token)
        if described.path is not None and not described.forms:
            _check_path(described.path, path)
        if described.scope is not None:
            query = _query(described.query or NoQuery, names)
            given |= {"query": query} if described.query is not None else {}
        if described.takes_body:
            body = _body(described.bodies, names)
            given |= {"body": body} if described.body else {}
        if described.scope is None or described.waits:
            return written(view(**path, **given))
        with tokens.turns.of(given["token"].id):
            return written(view(**path, **given))

    def written(answered: ResponseReturnValue | Answer) -> ResponseReturnValue:
        if not isinstance(answered, Answer):
            return answered
        if isinstance(answered, ListPage) and preferred(CSV_TYPE) == CSV_TYPE:
            headers = {"Link": link_to_next(prefix, answered)} if answered.next else {}
            return Response(answered.as_csv(), headers=headers, content_type=f"{CSV_TYPE}; charset=utf-8")
        return Response(answered.written(), described.status_of(answered), content_type=JSON_TYPE)

    return serve


def preferred(*types: str) -> str:
    """Return which of these media types the request prefers (`Accept`), or JSON where that is as welcome or none is."""
    return request.accept_mimetypes.best_match([JSON_TYPE, *types], JSON_TYPE)


def link_to_next(prefix: str, page: ListPage) -> str:
    """Return the header `Link` (RFC 8288) to the page behind this one, as a path with the public prefix."""
    query = urlencode(dict(request.args.lists(), **{page.cursor_parameter: page.next}), doseq=True)
    return f'<{prefix}{request.path}?{query}>; rel="next"'


def _check_path(model: type[Path], given: Mapping[str, str]) -> None:
    """Refuse a path that can lead nowhere.

    Raises:
        Problem
    """
    try:
        model.model_validate(given)
    except ValidationError as error:
        detail = "There is nothing of this name." if model.status == 404 else refusal(model, error)
        raise Problem(model.status, detail) from error


def _query(model: type[Query], names: Names | None) -> Query:
    """Read the request's parameters; `names` are those that may stand in them.

    Raises:
        Problem: 400, naming the parameter and what it takes.
        NameUnknown
    """
    try:
        return model.read(request.args, names)
    except GivenTwice as error:
        raise Problem(400, given_twice(error.name)) from error
    except ValidationError as error:
        raise Problem(400, refusal(model, error)) from error


def _body(models: Sequence[type[Body]], names: Names | None) -> Body:
    """Read the request's body as the model whose mark it has, else as the first; `names` are those it may hold.

    Raises:
        Problem: 400, naming the field and what it takes.
        NameUnknown
    """
    text = request.get_data(cache=False)
    if not text and NoBody in models:
        return NoBody()
    try:
        given = json.loads(text, object_pairs_hook=_once_each)
    except GivenTwice as error:
        raise Problem(400, given_twice(error.name)) from error
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Problem(400, "Send a JSON object.")
    model = next((model for model in models if model.mark in given), models[0])
    try:
        return model.model_validate(given, context=names)
    except ValidationError as error:
        marks = [other.mark for other in models if other.mark is not None]
        raise Problem(400, refusal(model, error, marks)) from error


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object's dictionary, in which no field may stand twice.

    Raises:
        GivenTwice
    """
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise GivenTwice(name[:SHOWN_CHARACTERS])
        made[name] = value
    return made
