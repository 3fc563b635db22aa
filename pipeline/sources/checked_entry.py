"""The entry that is made of a source -> what reads it, or what is wrong with it, by the options that said it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AevlpError
from ..manifest.formats import DatasetSpec
from ..manifest.load import checked_manifest
from ..manifest.mistakes import ManifestError, Mistake
from .understood import OPTIONS, Draft, Given

# A format that a source may have -> what its sources are, in words.
_WORDS = {
    "table": "a table",
    "huggingface": "a Hugging Face data set",
    "webdataset": "tar shards",
    "coco_json": "COCO-style annotations",
    "image_folder": "a folder for each class",
    "images": "images without labels",
}
_ENTRY = 2  # keys of a manifest that lead to an entry
_SHOWN = 60  # characters of a value
_UNKNOWN, _KNOWN = "unknown key", ": known are "


def require_format(source: Path, draft: Draft, given: Given) -> None:
    """Raise AevlpError where a format is given that is not the source's."""
    asked, found = given.keys.get("format"), draft.entry["format"]
    if asked not in (None, found):
        raise AevlpError(
            f"{source} is read as {_WORDS[found]}, `format: {found}`, and not as --key 'format: {asked}': leave that out, or "
            f"pass a manifest as SOURCE"
        )


def checked_entry(source: Path, name: str, entry: dict[str, Any], root: Path, given: Given) -> DatasetSpec:
    """Return the entry of a source, checked; AevlpError that names every option whose value it does not take."""
    try:
        return checked_manifest({"datasets": {name: entry}}, Path(str(root)) / f"{name}.yaml")[name]
    except ManifestError as error:
        raise AevlpError("; ".join(_said(source, mistake, entry, given) for mistake in error.mistakes)) from error


def _said(source: Path, mistake: Mistake, entry: Mapping[str, Any], given: Given) -> str:
    keys = mistake.place[_ENTRY:]
    # What is wrong with an entry as a whole names its keys.
    key = keys[0] if keys else next((key for key in given.keys if f"`{key}`" in mistake.text), "")
    if not given.says(key):
        return f"{source}: {'.'.join(keys)}{': ' * bool(keys)}{mistake.text}"
    option = OPTIONS.get(key) or f"--key '{key}: …'"
    if mistake.readers:
        return f"{option} is for {_sources(mistake.readers)}, and {source} is read as {_WORDS[entry['format']]}: leave it out"
    if mistake.text.startswith(_UNKNOWN):
        return f"{option}: {mistake.text.replace(_UNKNOWN, f'{_UNKNOWN} {keys[-1]!r}', 1)}"
    text = mistake.text.replace("Input should be", "expected", 1)
    return f"{option}: {'.'.join(keys[1:])}{': ' * (len(keys) > 1)}{text}{_found(text, entry, keys)}"


def _sources(formats: Sequence[str]) -> str:
    words = [_WORDS[name] for name in formats if name in _WORDS] or [f"`format: {formats[0]}` of a manifest"]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _found(text: str, entry: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return what stands at a place of an entry, "" where the text says it, and where it is no single value."""
    value: Any = entry
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    said = ", found " in text or _KNOWN in text or value is None or isinstance(value, Mapping)
    return "" if said else f", found {repr(value)[:_SHOWN]}"
