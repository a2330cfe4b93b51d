"""Deciding an IAM policy document by itself, as far as ours go: a reader of what was applied, not of what was meant.

Follows the IAM user guide (evaluation logic, condition operators, policy variables): an explicit Deny wins, then any
Allow, else no. Anything it does not know raises, so that a new operator cannot pass by being overlooked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Context = Mapping[str, str]


def statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The statements, as a list in any case."""
    found = document["Statement"]
    return found if isinstance(found, list) else [found]


def listed(value: Any) -> list[str]:
    """One string or many."""
    return [value] if isinstance(value, str) else list(value)


def _matches(pattern: str, value: str, context: Context) -> bool:
    """IAM wildcards. A variable's value is taken literally; a variable nobody set matches nothing."""
    parts = []
    for piece in re.split(r"(\$\{[^}]*\}|[*?])", pattern):
        if piece == "*":
            parts.append(".*")
        elif piece == "?":
            parts.append(".")
        elif piece in {"${*}", "${?}", "${$}"}:
            parts.append(re.escape(piece[2]))
        elif piece.startswith("${"):
            name = piece[2:-1]
            if name not in context:
                return False
            parts.append(re.escape(context[name]))
        else:
            parts.append(re.escape(piece))
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _one(operator: str, name: str, wanted: list[str], context: Context) -> bool:
    present = name in context
    if operator == "Null":
        return present is (wanted == ["false"])
    if operator == "ForAllValues:StringEquals":
        return all(value in wanted for value in context.get(name, "").split(",") if value)
    negated = "Not" in operator
    if not present:
        return negated
    value = context[name]
    if operator in {"StringEquals", "StringNotEquals", "ArnNotEquals"}:
        found = value in wanted
    elif operator in {"StringLike", "StringNotLike"}:
        found = any(_matches(pattern, value, context) for pattern in wanted)
    elif operator == "Bool":
        found = value.lower() == wanted[0].lower()
    elif operator == "NumericGreaterThan":
        found = float(value) > float(wanted[0])
    else:
        raise ValueError(f"unknown condition operator {operator}")
    return found is not negated


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
        raise ValueError("Not... is not read here")
    return (
        any(_matches(pattern.lower(), action.lower(), context) for pattern in listed(statement["Action"]))
        and any(_matches(pattern, resource, context) for pattern in listed(statement.get("Resource", resource)))
        and all(
            _one(operator, name, listed(wanted), context)
            for operator, tests in statement.get("Condition", {}).items()
            for name, wanted in tests.items()
        )
    )


def allowed(document: Mapping[str, Any], action: str, resource: str = "", **context: str) -> bool:
    """Whether the document grants this. Keys of `context` write ``:`` and ``/`` as ``__`` and ``___``."""
    known = {name.replace("___", "/").replace("__", ":"): value for name, value in context.items()}
    effects = {s["Effect"] for s in statements(document) if _applies(s, action, resource, known)}
    return "Allow" in effects and "Deny" not in effects


def denied(document: Mapping[str, Any], action: str, resource: str, **context: str) -> bool:
    """Whether the document refuses this explicitly."""
    known = {name.replace("___", "/").replace("__", ":"): value for name, value in context.items()}
    return any(s["Effect"] == "Deny" and _applies(s, action, resource, known) for s in statements(document))


def grants(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every (action, resource) pattern that is allowed."""
    for statement in statements(document):
        if statement["Effect"] == "Allow":
            for action in listed(statement["Action"]):
                for resource in listed(statement.get("Resource", "")):
                    yield action, resource
