"""The names of losses and policies with constants, as in gpr[q3=0.5], and constants that are set one by one, as in gpr.q3=0.5."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from .errors import AevlpError

FILE = ".json"  # a policy from a file is named by its path, which may hold brackets
RENAMED = {"plain": "label-propagation"}
_LONGEST = 48  # of what constants add to a file's name
_SPECIAL = {"null": None, "true": True, "false": False}
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,14})")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_][\w.+/-]*")


@dataclass(frozen=True)
class MethodName:
    """The name of a loss or a policy, and the constants that are given with it."""

    name: str
    constants: Mapping[str, Any]

    def __str__(self) -> str:
        """Return it as a user may write it; the same constants in another order are the same text."""
        if not self.constants:
            return self.name
        return f"{self.name}[{','.join(f'{key}={_written(self.constants[key])}' for key in sorted(self.constants))}]"


def current(name: str) -> str:
    """Return the name that a loss or policy has today; `plain` was that of label propagation."""
    return RENAMED.get(name, name)


def parsed(text: str) -> MethodName:
    """Return name and constants of NAME or NAME[CONSTANT=VALUE,…].

    A value is a number, a word, true, false, null, or a list of numbers in brackets. Raises AevlpError for anything else, for
    brackets that do not close and for a constant that stands twice.
    """
    text = text.strip()
    if text.endswith(FILE) or not set("[]") & set(text):
        return MethodName(current(text), {})
    name, bracket, rest = text.partition("[")
    if not bracket or not rest.endswith("]") or _depth(text) != 0:
        raise AevlpError(f"{text}: the brackets do not close, expected NAME[CONSTANT=VALUE,…] as in gpr[q3=0.5]")
    if not name.strip():
        raise AevlpError(
            f"{text}: there is no name before the bracket, expected NAME[CONSTANT=VALUE,…] as in gpr[q3=0.5]"
        )
    constants: dict[str, Any] = {}
    for item in split_names(rest[:-1], text):
        key, sign, value = (part.strip() for part in item.partition("="))
        if not sign or not key.isidentifier():
            raise AevlpError(f"{text}: expected CONSTANT=VALUE in the brackets, as in gpr[q3=0.5], found {item!r}")
        if key in constants:
            raise AevlpError(f"{text}: the constant {key} stands twice")
        constants[key] = _value(value, f"{key} in {text}")
    if not constants:
        raise AevlpError(
            f"{text}: there is no constant in the brackets: write {name.strip()}, or NAME[CONSTANT=VALUE,…]"
        )
    return MethodName(current(name.strip()), constants)


def split_names(text: str, whole: str | None = None) -> list[str]:
    """Return what stands between the commas of a list that are outside brackets, without spaces and what is empty.

    whole: what the text is a part of, for errors. Raises AevlpError where a bracket has no other.
    """
    found, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if depth < 0:
            break
        if sign == "," and depth == 0:
            found.append(text[start:place])
            start = place + 1
    if depth != 0:
        raise AevlpError(
            f"{whole or text}: the brackets do not close, expected NAME[CONSTANT=VALUE,…] as in gpr[q3=0.5]"
        )
    return [name for name in (part.strip() for part in (*found, text[start:])) if name]


def set_constants(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return name -> constants of texts NAME.CONSTANT=VALUE, as --set takes them; AevlpError for any other, and one set twice."""
    found: dict[str, dict[str, Any]] = {}
    for text in settings:
        place, sign, value = (part.strip() for part in text.partition("="))
        name, _, key = place.rpartition(".")
        name = current(name)
        if not sign or not name or not key.isidentifier():
            raise AevlpError(f"--set takes NAME.CONSTANT=VALUE, as in gpr.q3=0.5, found {text!r}")
        if key in found.setdefault(name, {}):
            raise AevlpError(f"--set {place} is given twice")
        found[name][key] = _value(value, f"--set {place}")
    return found


def with_constants(method: MethodName, given: Mapping[str, Mapping[str, Any]]) -> MethodName:
    """Return a method with what `set_constants` gave for its name; AevlpError where a constant is set both ways."""
    more = given.get(method.name, {})
    if both := sorted(set(more) & set(method.constants)):
        raise AevlpError(
            f"{both[0]} is set both in {method} and by --set {method.name}.{both[0]}: leave one of them out"
        )
    return MethodName(method.name, {**method.constants, **more})


def file_name(text: str) -> str:
    """Return a loss's or policy's name as a part of a file's name, the same each time and another for other constants.

    module:Class and paths have characters that a file's name cannot have; of values that have, a part of their SHA-256 is left.
    """
    method = parsed(text)
    name = _safe(method.name)
    if not method.constants:
        return name
    constants = str(method)[len(method.name) + 1 : -1]
    readable = "-".join(constants.replace("=", ",").split(","))
    if re.fullmatch(r"[\w.-]+", readable) and "--" not in readable and len(readable) <= _LONGEST:
        return f"{name}-{readable}"
    return f"{name}-{sha256(constants.encode()).hexdigest()[:10]}"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")


def _depth(text: str) -> int:
    depth = 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if depth < 0:
            return depth
    return depth


def _value(text: str, where: str) -> Any:
    """Return what a text says, as the manifest would, but without the surprises of YAML: 010, 12:30 and yes."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if text.startswith("[") and text.endswith("]"):
        numbers = [_number(part.strip()) for part in text[1:-1].split(",")]
        if None not in numbers:
            return numbers
    elif (number := _number(text)) is not None:
        return number
    elif _WORD.fullmatch(text):
        return text
    raise AevlpError(f"{where}: expected a number, a word, true, false, null or [numbers], found {text!r}")


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if not math.isfinite(value):
        return None
    return int(text) if _WHOLE.fullmatch(text) else value


def _written(value: Any) -> str:
    """Return a value as `_value` reads it; a float without fraction as a whole number, which it equals."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return next(word for word, special in _SPECIAL.items() if special is value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
