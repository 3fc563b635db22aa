"""A manifest's text with some constants changed in place: comments, order and everything else stay as they are."""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import AevlpError
from ..files.atomic_write import replacing
from .load import manifest_content, manifest_text


def set_in_manifest(path: Path, place: Sequence[str], values: Mapping[str, Any]) -> None:
    """Set the keys of a mapping in a manifest, such as place ("datasets", "photos", "damp"), and replace the file whole.

    A mapping that is not there yet is added to the entry. Raises AevlpError, and leaves the file as it was, where it is not YAML,
    cannot be read or written, and where anything else would change with it, as what several entries share by an anchor does.
    """
    text = manifest_text(path)
    manifest_content(text, path)
    changed = changed_text(text, place, values)
    if changed is None:
        raise AevlpError(
            f"{path}: {'.'.join(place)} is written in a way that cannot be changed without changing more, such as by an anchor: "
            f"write it by hand, {_flow(values)}"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(changed.encode("utf-8"))
        temporary.chmod(stat.S_IMODE(path.stat().st_mode))


def changed_text(text: str, place: Sequence[str], values: Mapping[str, Any]) -> str | None:
    """Return YAML text in which exactly these keys of the mapping at `place` have these values; None where no edit gives that."""
    try:
        before = yaml.safe_load(text)
        expected = _with_values(before, place, values)
        changed = text
        for key, value in values.items():
            changed = _with_value(changed, place, key, value)
        return changed if _alike(yaml.safe_load(changed), expected) else None
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):  # a list where a mapping should be
        return None


def _with_values(content: Any, place: Sequence[str], values: Mapping[str, Any]) -> Any:
    """Return content with the values at the place, which shares no changed mapping with what it was made of."""
    if not place:
        return {**(content or {}), **values}
    inner = (content or {}).get(place[0])
    return {**(content or {}), place[0]: _with_values(inner, place[1:], values)}


def _alike(one: Any, other: Any) -> bool:
    """Return whether two contents are equal, the kinds of their numbers too."""
    if isinstance(one, dict) and isinstance(other, dict):
        known = all(key in other and _alike(value, other[key]) for key, value in one.items())
        return known and len(one) == len(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return type(one) is type(other) and one == other


def _with_value(text: str, place: Sequence[str], key: str, value: Any) -> str:
    """Return text with one key set; LookupError where there is no mapping to set it in."""
    node = yaml.compose(text, yaml.SafeLoader)
    missing: list[str] = []
    for number, name in enumerate(place):
        inner = _pairs(node).get(name)
        if inner is None or _is_empty(inner):
            missing = list(place[number:])
            break
        node = inner
    if missing and missing[0] in _pairs(node):  # as in `damp:`, or `damp: {}`
        inner = _pairs(node)[missing[0]]
        return _replaced(text, inner, _nested(missing[1:], key, value), text[inner.start_mark.index - 1] == ":")
    if missing:
        return _added(text, node, missing[0], _nested(missing[1:], key, value))
    known = _pairs(node).get(key)
    if known is not None:
        return _replaced(text, known, _written(value), False)
    return _added(text, node, key, _written(value))


def _pairs(node: Any) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise LookupError("no mapping")
    return {key.value: value for key, value in node.value}


def _is_empty(node: Any) -> bool:
    return (isinstance(node, yaml.MappingNode) and not node.value) or (
        isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")
    )


def _replaced(text: str, node: Any, written: str, after_colon: bool) -> str:
    return text[: node.start_mark.index] + " " * after_colon + written + text[node.end_mark.index :]


def _added(text: str, node: Any, key: str, written: str) -> str:
    """Return text with a key more in a mapping that has some: behind the last one, in the manner of the mapping."""
    if node.flow_style:
        end = node.value[-1][1].end_mark.index
        return f"{text[:end]}, {key}: {written}{text[end:]}"
    ends = [(name, value) for name, value in node.value if _ends_on_its_line(value)]
    if not ends:
        raise LookupError("no place")
    name, value = ends[-1]
    end = re.compile(r"[^\r\n]*").match(text, value.end_mark.index)
    assert end is not None
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{text[: end.end()]}{newline}{' ' * name.start_mark.column}{key}: {written}{text[end.end() :]}"


def _ends_on_its_line(node: Any) -> bool:
    """Return whether what follows a value's end is the rest of its line: not so behind a block."""
    if isinstance(node, yaml.ScalarNode):
        return node.style not in ("|", ">")
    return bool(node.flow_style)


def _nested(place: Sequence[str], key: str, value: Any) -> str:
    return f"{{{place[0]}: {_nested(place[1:], key, value)}}}" if place else _flow({key: value})


def _flow(values: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{key}: {_written(value)}' for key, value in values.items())}}}"


def _written(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
