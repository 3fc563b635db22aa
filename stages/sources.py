"""What a command is told of its images -> the data set's entry: one of a manifest, or one made of a source that is looked at."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..pipeline.errors import AevlpError, some
from ..pipeline.files.locations import RemotePath, location
from ..pipeline.labels.splits import SPLITS
from ..pipeline.manifest.formats import DatasetSpec
from ..pipeline.manifest.load import SUFFIXES, Manifest, checked_manifest, load_manifest
from ..pipeline.sources import (
    Given,
    Understood,
    asking,
    class_names,
    content_of,
    is_name,
    kept_shares,
    look,
    same_entry,
    write_entry,
)
from .console import say
from .own_outputs import refuse_own_outputs
from .places import CACHES
from .source_options import SourceOptions

_SIGNS = {"blank": " ", "space": " ", "tab": "\t", "newline": "\n", "comma": ",", "semicolon": ";"}


More = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """spec: of the data set. understood: of a source that was looked at, whose manifest is `path`; None for one of a manifest."""

    spec: DatasetSpec
    understood: Understood | None = None
    path: Path | None = None

    def write(self) -> None:
        """Write the manifest of a source that was looked at, unless the very same is there; say where it is."""
        if self.understood is None or self.path is None:
            return
        if not same_entry(self.understood, self.path):
            write_entry(self.understood, self.path)
            say(f"wrote this as {self.path}: edit it where it is wrong, and pass it as SOURCE")


def find_source(
    options: SourceOptions, cache: Path | None = None, more: More | None = None, forgiving: bool = False
) -> Source:
    """Return the data set that is meant; nothing is written, and what was understood of a source is said.

    cache: where its cache goes, beside which its manifest belongs; None for `cache/`. more: gives other keys of
    the entry, for a manifest in a folder. forgiving: whether faults of labels are passed over, for a check
    that lists them, and a manifest that is there does not count. Raises
    AevlpError where nothing or two things are meant, and as `look` does.
    """
    if options.source is None:
        if options.dataset is None:
            raise AevlpError(
                "no SOURCE: pass a folder of images, a table, a COCO-style .json, a manifest, or a name that `aevlp datasets` "
                "lists"
            )
        return Source(_listed(options.dataset, load_manifest(options.manifest), options))
    name = str(options.source)
    path = location(name)
    if (manifest := manifest_of(options)) is not None:
        return Source(_of_manifest(path, manifest, options))
    with asking(path):
        there = path.exists()
    listed = load_manifest(options.manifest)
    known = name in listed
    if known and there and options.dataset is None:
        raise AevlpError(f"{name} is a data set of the manifest, and a path here: say --dataset {name}, or ./{name}")
    if known:
        return Source(_listed(name, listed, options))
    if options.dataset is not None or (options.manifest and not there):
        raise AevlpError(
            f"{name} and --dataset or --manifest name data sets both: pass one of them; the folder of a data set is --data-root"
        )
    if not there and "/" not in name and "." not in name:
        names = some(list(listed.datasets), 12)
        raise AevlpError(
            f"{name}: no such file or folder, and no data set of the manifest (known are {names}): pass another SOURCE"
        )
    refuse_own_outputs(path)
    return _looked_at(path, options, cache, more, forgiving)


def _listed(name: str, manifest: Manifest, options: SourceOptions) -> DatasetSpec:
    _require_nothing_said(name, options)
    return manifest[name]


def manifest_of(options: SourceOptions) -> Manifest | None:
    """Return the manifest that SOURCE is, None where it is none; AevlpError where options say of it what stands in it."""
    path = None if options.source is None else location(options.source)
    if path is None or isinstance(path, RemotePath) or path.suffix.lower() not in SUFFIXES:
        return None
    with asking(path):
        if not path.is_file():
            return None
    if options.manifest:
        raise AevlpError(f"{path} is a manifest, and --manifest names another: pass one of the two")
    _require_nothing_said(str(path), options)
    return load_manifest(path)


def _of_manifest(path: Path, manifest: Manifest, options: SourceOptions) -> DatasetSpec:
    if options.dataset is None and len(manifest.datasets) > 1:
        raise AevlpError(
            f"{path} holds {len(manifest.datasets)} data sets: say which as --dataset {some(list(manifest.datasets), 12)}"
        )
    return manifest[options.dataset or next(iter(manifest.datasets))]


def _require_nothing_said(name: str, options: SourceOptions) -> None:
    said = [*(["classes"] if options.classes is not None else []), *stated_keys(options)]
    if said:
        raise AevlpError(
            f"{name} is of a manifest, which says its {said[0]}: change it there, and leave the option out"
        )


def _looked_at(path: Path, options: SourceOptions, cache: Path | None, more: More | None, forgiving: bool) -> Source:
    if options.data_root is not None:
        raise AevlpError(f"{path} is a source of its own: leave --data-root out")
    classes = None if options.classes is None else class_names(options.classes)
    place = CACHES if cache is None or isinstance(cache, RemotePath) else cache.parent
    stem = cache.stem if cache is not None and is_name(cache.stem) else None
    keys, added = stated_keys(options), more(place) if more else {}

    def understood(keys: dict[str, Any]) -> Understood:
        found = look(path, Given(classes, keys), stem, forgiving)
        return replace(found, entry=_joined(found.entry, added))

    found = understood(keys)
    written = place / f"{stem or found.name}.yaml"
    if "split_by" not in keys and (shares := kept_shares(found, written)) not in (None, _shares_of(found)):
        found = understood({**keys, "split_by": {"content": shares}})
    for line in found.lines:
        say(line)
    if not forgiving:
        same_entry(found, written)
    return Source(checked_manifest(content_of(found, written), written)[found.name], found, written)


def _shares_of(found: Understood) -> dict[str, float] | None:
    return found.entry.get("split_by", {}).get("content")


def _joined(entry: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with more keys; what both say in a section is joined."""
    sections = {key: {**entry.get(key, {}), **value} for key, value in more.items() if isinstance(value, dict)}
    return {**entry, **more, **sections}


def stated_keys(options: SourceOptions) -> dict[str, Any]:
    """Return the keys of the entry that options say."""
    keys: dict[str, Any] = {
        name: value for name in ("image_column", "label_column") if (value := getattr(options, name)) is not None
    }
    if options.label_separator is not None:
        keys["label_separator"] = _SIGNS.get(options.label_separator, options.label_separator)
    if options.split_column is not None:
        keys["split_column"] = None if options.split_column.lower() == "none" else options.split_column
    if options.split_by is not None:
        keys["split_by"] = _shares(options.split_by)
    if isinstance(options.key, dict):
        keys |= _plain(options.key)
    else:
        for text in options.key or ():
            keys |= _key(text)
    if "classes" in keys:
        raise AevlpError("--key 'classes: …': the names have an option of their own, say them as --classes cat,dog")
    return keys


def _key(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise AevlpError(f"--key {text!r} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise AevlpError(f"--key: expected a key and its value, as 'label_form: vector', found {text!r}")
    return found


def _plain(keys: dict[str, Any]) -> dict[str, Any]:
    """Return keys with values as YAML reads them; AevlpError for one that it cannot write."""
    for name, value in keys.items():
        try:
            keys = {**keys, name: yaml.safe_load(yaml.safe_dump(value))}
        except yaml.YAMLError as error:
            raise AevlpError(
                f"key={{{name!r}: …}}: expected a text, a number, a list or a dictionary of such, found {value!r}"
            ) from error
    return keys


def _shares(text: str) -> dict[str, Any] | None:
    if text.strip().lower() == "none":
        return None
    parts = [part.partition("=") for part in text.split(",")]
    if len(parts) <= len(SPLITS) and all(not sign for _, sign, _ in parts):
        parts = [(split, "=", share) for split, (share, _, _) in zip(SPLITS, parts, strict=False)]
    names = [name.strip() for name, _, _ in parts]
    try:
        shares = [float(share) for _, _, share in parts]
        if len(set(names)) < len(names):
            raise ValueError
        return {"content": dict(zip(names, shares, strict=True))}
    except ValueError:
        raise AevlpError(
            f"--split-by: expected shares as train=0.7,val=0.1,test=0.2, each split once, or none, found {text!r}"
        ) from None
