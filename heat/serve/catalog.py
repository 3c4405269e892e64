"""The methods as the page offers them, each with its options and why it may not be had."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from heat.api import check_precision
from heat.errors import HeatError
from heat.method import Method
from heat.model import LanguageModel
from heat.registry import methods


def catalog(lm: LanguageModel) -> list[dict[str, Any]]:
    """All methods.

    Args:
        lm: The model they are to explain.

    Returns:
        For JSON, sorted by name: summary, source, kind, and for each option its default and, where it has only some
        values, those; `why_not` says why the method cannot be used with this model and `note` what to know before, or
        they are empty.
    """
    return [
        {
            "name": name,
            "summary": method.summary,
            "source": method.source,
            "kind": method.kind,
            "why_not": _why_not(method, lm),
            "note": method.obstacle(lm) or method.only_named,
            "options": [_option(method, option) for option in fields(method)],
        }
        for name, method in methods().items()
    ]


def _why_not(method: type[Method], lm: LanguageModel) -> str:
    if not method.is_installed():
        return f"needs the extra {method.extra}"
    try:
        check_precision(method, lm.dtype)
    except HeatError as error:
        return str(error)
    return ""


def _option(method: type[Method], option: Field[Any]) -> dict[str, Any]:
    hint = get_type_hints(method)[option.name]
    default = None if option.default is MISSING else option.default
    shown = "" if default is None else default if isinstance(default, str) else json.dumps(default)
    return {"name": option.name, "default": shown, "values": _values(hint)}


def _values(hint: Any) -> list[str]:
    """The values of an option that has only some; empty where it has many."""
    if hint is bool:
        return ["true", "false"]
    if get_origin(hint) is Literal:
        return [str(value) for value in get_args(hint)]
    parts = [_values(part) for part in get_args(hint)] if get_args(hint) else []
    return [value for part in parts for value in part] if parts and all(parts) else []
