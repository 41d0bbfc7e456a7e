"""JSON in and out (RFC 8259), with errors that say where the fault is.

Python's ``json`` reads and writes NaN, which no other reader accepts; it reads numbers of any
length, which takes quadratic time; and it answers deep nesting with a RecursionError. Here all of
these are errors that name the fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, Optional

from ..errors import UnsendableError

#: Numbers with more digits are refused, as CPython itself does since 3.11.
_MAX_DIGITS = 4300

#: What a value with others in it begins with.
_OPENING = ("{", "[")


def parse_json(data: bytes) -> Any:
    """Return what a text in JSON says.

    Args:
        data: The text, in UTF-8 (16 and 32 bits are recognised).

    Raises:
        ValueError: it is no JSON, or is nested too deeply.
    """
    decoder = _short if len(data) <= _MAX_DIGITS else _long
    text = _text(data)
    try:
        if text[:1] in _OPENING:  # else there may be white space, or nothing
            value, end = decoder.raw_decode(text)
            if end == len(text):
                return value
        return decoder.decode(text)  # which tells what is wrong
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _text(data: bytes) -> str:
    """Return a text in JSON as one of Python's, as ``json.loads`` does."""
    start = data[:4]
    if start.isascii() and 0 not in start:
        return data.decode("utf-8", "surrogatepass")  # as most are
    return data.decode(json.detect_encoding(data), "surrogatepass")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value in JSON")


def _parse_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


# ``json.loads`` makes a decoder for each text that is not to be read in the usual way.
_short = json.JSONDecoder(parse_constant=_refuse_constant)
_long = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_parse_int)
_encode = json.JSONEncoder(allow_nan=False, separators=(", ", ": ")).encode


def write_json(value: Any, default: Optional[Callable[[Any], Any]] = None) -> bytes:
    """Return a value as JSON.

    Args:
        value: What to write.
        default: Makes something writable of an object that is not, as for ``json.dumps``.

    Raises:
        UnsendableError: it holds something that JSON cannot.
    """
    encode = _encode
    if default is not None:
        encode = json.JSONEncoder(allow_nan=False, default=default).encode
    try:
        return encode(value).encode("ascii")
    except RecursionError as error:
        raise UnsendableError("the result is nested too deeply for JSON") from error
    except (TypeError, ValueError) as error:
        fault = _find_fault(value, default)
        raise UnsendableError(fault or f"the result cannot be written as JSON: {error}") from error


def _find_fault(value: Any, default: Optional[Callable[[Any], Any]]) -> Optional[str]:
    """Return what in a value JSON cannot hold, and where: the first of several."""
    waiting: list[tuple[Any, str, tuple[int, ...]]] = [(value, "result", ())]
    known: dict[int, Any] = {}  # what was looked into; the values keep the ids from being reused
    while waiting:
        item, where, around = waiting.pop()
        if item is None or isinstance(item, (str, int, float)):
            fault = _number_fault(item)
            if fault:
                return f"{where} is {fault}, which JSON cannot hold"
            continue
        if id(item) in around:
            return f"{where} contains itself, which JSON cannot hold"
        if id(item) in known:
            continue
        known[id(item)] = item
        inside = (*around, id(item))
        inner: list[tuple[Any, str, tuple[int, ...]]]
        if isinstance(item, dict):
            for key in item:
                fault = _key_fault(key)
                if fault:
                    return f"{where} has a key {fault}"
            inner = [(one, f"{where}[{key!r}]", inside) for key, one in item.items()]
        elif isinstance(item, (list, tuple)):
            inner = [(one, f"{where}[{n}]", inside) for n, one in enumerate(item)]
        else:
            try:
                inner = [(_replace(item, default), where, inside)]
            except Exception:
                return f"{where} is of type {type(item).__name__}, which JSON cannot hold"
        waiting += reversed(inner)
    return None


def _key_fault(key: Any) -> str:
    """Say why a dict with a key is no object in JSON; empty when it is one."""
    if key is not None and not isinstance(key, (str, int, float)):
        return f"of type {type(key).__name__}: {key!r}"
    fault = _number_fault(key)
    return f"that is {fault}" if fault else ""


def _replace(item: Any, default: Optional[Callable[[Any], Any]]) -> Any:
    if default is None:
        raise TypeError
    return default(item)


def _number_fault(item: Any) -> str:
    """Say what is wrong with a number; empty when nothing is."""
    if isinstance(item, float) and not isfinite(item):
        return f"the float {item}"
    if isinstance(item, int) and abs(item) >= 10**_MAX_DIGITS:
        return f"an int of more than {_MAX_DIGITS} digits"
    return ""
