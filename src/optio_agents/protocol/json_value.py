"""Reads the JSON of a message entry. Stricter than the json module: what is accepted can be written again anywhere."""

import json
import math

MAX_DEPTH = 100
"""How many arrays and objects may stand inside each other, the outermost included."""


def read_json(text: str) -> object:
    """The value of one JSON text (RFC 8259).

    Raises ValueError for what is no JSON (NaN and Infinity are not), for a number beyond the range of an IEEE 754
    double, for an escape of half a surrogate pair, and for nesting deeper than MAX_DEPTH.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    _check(value)
    return value


def _integer(digits: str) -> int:
    _real(digits)
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number beyond the range of a double")
    return number


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _check(value: object) -> None:
    level: list[object] = [value]
    depth = 0
    while level:
        inner: list[object] = []
        for each in level:
            match each:
                case str():
                    each.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair
                case dict():
                    inner.extend(each.keys())
                    inner.extend(each.values())
                case list():
                    inner.extend(each)
        depth += any(isinstance(each, dict | list) for each in level)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        level = inner
