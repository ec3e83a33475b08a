"""JSON from anywhere, as plain values that can be trusted to be finite and unique."""

import json
import math
from pathlib import Path
from typing import Any

from metarl.errors import InputError

MOST_DIGITS = 100
"""Digits that a whole number may have: Python would take seconds over very many."""


def parse_json(text: str, place: Path | str) -> Any:
    """Parse what a JSON file, or a line of one, holds.

    Args:
        text: the JSON.
        place: what to call it in errors.

    Raises:
        InputError: naming the place, if it is truncated, nested too deeply or not
            JSON; for numbers that are not finite, text that is not Unicode, and a name
            that is there twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{place}: {twice!r:.60} is there twice.")
        return found

    def number(digits: str) -> Any:
        value = float(digits)
        if not math.isfinite(value):
            raise InputError(f"{place}: {digits:.20} is not finite.")
        return value

    def whole(digits: str) -> Any:
        if len(digits) > MOST_DIGITS:
            raise InputError(f"{place}: {digits:.20}... is too large a number.")
        return int(digits)

    try:
        value = json.loads(
            text,
            object_pairs_hook=once,
            parse_float=number,
            parse_int=whole,
            parse_constant=number,
        )
        if "\\u" in text:  # half a character cannot be shown or written
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except json.JSONDecodeError as error:
        raise InputError(f"{place} is not complete JSON: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{place} is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{place} holds text that is not Unicode.") from error
