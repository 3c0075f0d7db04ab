"""Ties a view to its route, and to the models that read what it is asked and write what it answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from receiver.web.auth import Tokens
from receiver.web.problems import Problem
from receiver.web.schemas.base import Answer, Body, Path, Query, Shape
from receiver.web.schemas.wording import refusal

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


@dataclass(frozen=True)
class Operation:
    """What a view takes and answers, besides its docstring; the word is OpenAPI's. It is the view's decorator.

    The view is called with the parts of its path, and by name with the `token` where a scope is asked for, and with
    the `query` and the `body` where it has them.

    `route` is a method and a rule of Flask's; `forms` are the paths of a rule that OpenAPI can't write as one.
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


def blueprint(name: str, views: object, tokens: Tokens) -> Blueprint:
    """Make the routes of all views of an object."""
    routes = Blueprint(name, __name__, template_folder="templates")
    for attribute, function in vars(type(views)).items():
        described = operation_of(function)
        if described is not None:
            method, _, rule = described.route.partition(" ")
            serve = _serving(getattr(views, attribute), described, tokens)
            routes.add_url_rule(rule, attribute, serve, methods=[method])
    return routes


def _serving(view: Callable[..., Any], described: Operation, tokens: Tokens) -> Callable[..., ResponseReturnValue]:
    """Return a view as Flask calls it."""

    @wraps(view)
    def serve(**path: str) -> ResponseReturnValue:
        given: dict[str, Any] = {}
        if described.scope is not None:
            given["token"] = tokens.require(described.scope)
        # Where the rule has other forms, its one part is all of them.
        if described.path is not None and not described.forms:
            _check_path(described.path, path)
        if described.query is not None:
            given["query"] = _query(described.query)
        if described.body and not isinstance(described.body, Content):
            given["body"] = _body(described.body)
        if described.scope is None or described.waits:
            return written(view(**path, **given))
        with tokens.turns.turn_of(given["token"].id):
            return written(view(**path, **given))

    def written(answered: ResponseReturnValue | Answer) -> ResponseReturnValue:
        if not isinstance(answered, Answer):
            return answered
        return Response(answered.written(), described.status_of(answered), content_type="application/json")

    return serve


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


def _query(model: type[Query]) -> Query:
    """Read the request's parameters.

    Raises:
        Problem: 400, naming the parameter and what it takes.
    """
    try:
        return model.read(request.args)
    except ValidationError as error:
        raise Problem(400, refusal(model, error)) from error


def _body(models: Sequence[type[Body]]) -> Body:
    """Read the request's body as the model whose mark it has, else as the first.

    Raises:
        Problem: 400, naming the field and what it takes.
    """
    try:
        given = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Problem(400, "Send a JSON object.")
    model = next((model for model in models if model.mark in given), models[0])
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Problem(400, refusal(model, error)) from error
