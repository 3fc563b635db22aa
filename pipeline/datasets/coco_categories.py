"""The tables of categories in the annotation files of a data set's splits -> its classes, matched by name."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from ..errors import AevlpError, unknown_name
from ..files.whole_text import is_whole
from .coco_file import Category, id_text
from .faults import Remark


@dataclass
class CategoryTable:
    """The k categories of one file: their ids as text, names, the names that they are grouped under, and which its n
    annotations use (k bools)."""

    path: Path
    ids: list[str]
    names: list[str]
    parents: list[str | None]
    used: np.ndarray

    def names_used(self) -> list[str]:
        """Return the names of the categories that an annotation uses."""
        return [name for name, used in zip(self.names, self.used, strict=True) if used]


@dataclass
class Classes:
    """C class names, for each file the place of each of its categories among them, -1 for one that is none, and remarks."""

    names: tuple[str, ...]
    places: list[np.ndarray]
    remarks: list[Remark] = field(default_factory=list)


def category_table(path: Path, categories: Sequence[Category]) -> CategoryTable:
    """Return a file's table, no category used yet; AevlpError where it is empty, or an id is none or stands twice."""
    if not categories:
        raise AevlpError(f"{path}: the list of categories is empty or missing, expected at least one")
    place: dict[str, int] = {}
    for n, category in enumerate(categories):
        found = id_text(category.id)
        if found is None:
            raise AevlpError(
                f"{path}: the category {category.name!r} has the id {category.id!r}, expected a whole number"
            )
        if not is_whole(category.name):
            raise AevlpError(f"{path}: the category {category.name!r} holds half a character: write its name anew")
        if (first := place.setdefault(found, n)) != n:
            raise AevlpError(
                f"{path}: the categories {categories[first].name!r} and {category.name!r} have one id, {category.id!r}"
            )
    return CategoryTable(
        path,
        list(place),
        [category.name for category in categories],
        [c.supercategory if isinstance(c.supercategory, str) else None for c in categories],
        np.zeros(len(categories), dtype=bool),
    )


def joined_classes(tables: Sequence[CategoryTable], stated: tuple[str, ...] | None) -> Classes:
    """Return the classes of all files: those of the first in its order, then what others add; or `stated` ones in theirs.

    A category is known by its name, whatever its id. One that no annotation uses is no class where it is only what others are
    grouped under, or is not among `stated`. Raises AevlpError where a name stands for two categories that are both used,
    where a used one is not among `stated`, and where two files give one id two names that may be one class.
    """
    _no_name_for_two(tables)
    used = {name for table in tables for name in table.names_used()}
    known = list(dict.fromkeys(name for table in tables for name in table.names))
    if stated is not None:
        names, remarks = _as_stated(tables, known, used, stated)
    else:
        names, remarks = _without_groups(tables, known, used)
        _no_id_for_two(tables, set(names))
    for table in tables:
        if absent := [name for name in names if name not in table.names and name in used]:
            listed = ", ".join(map(repr, absent))
            text = f"{table.path} has no category {listed}: its images are taken to show none of that name"
            remarks.append(Remark("read differently", text))
    place = {name: n for n, name in enumerate(names)}
    places = [np.array([place.get(name, -1) for name in table.names]) for table in tables]
    return Classes(tuple(names), places, remarks)


def _no_name_for_two(tables: Sequence[CategoryTable]) -> None:
    of_name: defaultdict[str, set[str]] = defaultdict(set)
    for table in tables:
        twice = {name for name in table.names if table.names.count(name) > 1}
        for number, name, used in zip(table.ids, table.names, table.used, strict=True):
            if used and name in twice:
                of_name[name].add(number)
                if len(of_name[name]) > 1:
                    ids = " and ".join(sorted(of_name[name]))
                    raise AevlpError(
                        f"{table.path}: categories named twice: {name!r} (the ids {ids}), and annotations use both: give each a "
                        f"name of its own"
                    )


def _no_id_for_two(tables: Sequence[CategoryTable], classes: set[str]) -> None:
    """Refuse an id whose class in one file is unknown to the other and the other way round: it may have been renamed."""
    for one, other in combinations(tables, 2):
        name_of = dict(zip(one.ids, one.names, strict=True))
        for number, name in zip(other.ids, other.names, strict=True):
            before = name_of.get(number, name)
            if {before, name} <= classes and before not in other.names and name not in one.names:
                raise AevlpError(
                    f"the category {number} is {before!r} in {one.path} and {name!r} in {other.path}, and neither file has the "
                    f"other's: give it one name in both, or list all classes as `classes` in the manifest if they are two"
                )


def _as_stated(
    tables: Sequence[CategoryTable], known: list[str], used: set[str], stated: tuple[str, ...]
) -> tuple[list[str], list[Remark]]:
    for table in tables:
        for name in table.names_used():
            if name not in stated:
                text = unknown_name("class", name, stated)
                raise AevlpError(f"{table.path}: annotations use a category that is not among `classes`: {text}")
    remarks = [
        Remark("left out", f"the category {name!r}, which no annotation uses, is not among the manifest's `classes`")
        for name in known
        if name not in stated
    ]
    return list(stated), remarks


def _without_groups(
    tables: Sequence[CategoryTable], known: list[str], used: set[str]
) -> tuple[list[str], list[Remark]]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for table in tables:
        for name, parent in zip(table.names, table.parents, strict=True):
            if parent is not None and parent != name and name not in members[parent]:
                members[parent].append(name)
    groups = [name for name in known if name not in used and members[name]]
    if len(groups) == len(known):
        return known, []
    remarks = []
    for name in groups:
        listed = ", ".join(map(repr, members[name][:3])) + ", …" * (len(members[name]) > 3)
        text = f"the category {name!r} is only what others ({listed}) are grouped under and no annotation uses it: it is no class"
        remarks.append(Remark("left out", f"{text}; list all classes as `classes` in the manifest to keep it"))
    return [name for name in known if name not in groups], remarks
