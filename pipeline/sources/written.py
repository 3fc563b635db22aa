"""An understood source -> a manifest of one entry, beside its cache, which a person can edit and pass back."""

import os
from pathlib import Path
from typing import Any

import yaml

from ..errors import AevlpError, counted
from ..files.atomic_write import replacing
from ..files.locations import RemotePath
from .understood import Understood

_ORDER = ("title", "format", "root", "table", "images", "annotations", "shards", "files", "splits")
_SHOWN, _WIDTH = 2, 70  # keys that differ, and characters of each
_HEAD = """# What aevlp understood of {source}. Edit it, and pass it back: aevlp run {path}
# All keys: docs/data_formats.md
"""


def content_of(found: Understood, path: Path) -> dict[str, Any]:
    """Return what a manifest at `path` says of an understood source; its folder is said as it was, from there."""
    entry = {"root": _root(found.root, path), **found.entry}
    ordered = {key: entry[key] for key in _ORDER if key in entry} | entry
    return {"datasets": {found.name: _simple(ordered)}}


def same_entry(found: Understood, path: Path) -> bool:
    """Return whether a manifest is there already; AevlpError where it says otherwise than what is understood now."""
    if not path.exists():
        return False
    written = _read(path)
    if written == content_of(found, path):
        return True
    keys = _different(written, content_of(found, path), found.name)
    raise AevlpError(
        f"{path} is there already and says otherwise ({keys}): pass it as SOURCE to take it as it is, delete it, or choose "
        f"another --cache"
    )


def kept_shares(found: Understood, path: Path) -> dict[str, float] | None:
    """Return the shares by which a manifest that is there divides a source by content, None where it says more or none.

    They are kept for a source that grows, so that none of its images moves from one split to another.
    """
    now = content_of(found, path)
    written: Any = _read(path) if path.exists() else None
    try:
        shares = written["datasets"][found.name]["split_by"]["content"]
    except (TypeError, KeyError):
        return None
    now["datasets"][found.name]["split_by"] = {"content": shares}
    return shares if written == now else None


def _read(path: Path) -> Any:
    """Return what a manifest that is there holds, None where it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def write_entry(found: Understood, path: Path) -> None:
    """Write the manifest of an understood source, whole or not at all."""
    text = yaml.safe_dump(
        content_of(found, path), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    said = "".join(f"# {line}\n" for line in found.lines)
    with replacing(path) as temporary:
        temporary.write_text(_HEAD.format(source=found.source, path=path) + said + text, encoding="utf-8")


def _root(root: Path, path: Path) -> str:
    if isinstance(root, RemotePath) or root.is_absolute():
        return str(root)
    return Path(os.path.relpath(root.absolute(), path.resolve().parent)).as_posix()


def _simple(value: Any) -> Any:
    """Return a value of lists and dictionaries, as YAML reads it back."""
    if isinstance(value, dict):
        return {key: _simple(inner) for key, inner in value.items()}
    return [_simple(inner) for inner in value] if isinstance(value, list | tuple) else value


def _different(written: Any, wanted: dict[str, Any], name: str) -> str:
    try:
        before, now = written["datasets"][name], wanted["datasets"][name]
        keys = [key for key in {**now, **before} if (key in before, before.get(key)) != (key in now, now.get(key))]
        said = [f"{_line(key, before) or f'no {key}'}, now {_line(key, now) or 'not said'}" for key in keys[:_SHOWN]]
        more = f"; and {counted(len(keys) - _SHOWN, 'key')} more" if len(keys) > _SHOWN else ""
        return f"{'; '.join(said)}{more}"
    except (TypeError, KeyError, AttributeError):
        return f"it is no manifest of {name}"


def _line(key: str, entry: dict[str, Any]) -> str | None:
    """Return what an entry says of a key, as YAML in a line, None where it says nothing."""
    if key not in entry:
        return None
    text = yaml.safe_dump({key: entry[key]}, allow_unicode=True, default_flow_style=True, width=10**6).strip()[1:-1]
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
