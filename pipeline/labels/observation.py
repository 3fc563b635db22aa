"""Full labels -> what is observed of them, by a named regime; adding one is a function here and a line in `REGIMES`.

Hiding labels is a simulation, to study what is learned from few of them; without one every label that is given is observed.
Every regime is drawn for each split on its own, from the same seed, by NumPy's legacy generator as in the protocol.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import AevlpError, unknown_name
from ..plugins import keyword_constants, require_known
from .codes import NEGATIVE, POSITIVE, UNKNOWN
from .single_positive import observe

SEED = 1200
Sizes = Callable[[], np.ndarray] | None


def none(labels: np.ndarray, sizes: Sizes) -> np.ndarray:
    """Every positive, so that nothing is hidden; what is absent stays 0, not -1: some losses give observed negatives no loss."""
    return np.where(labels > 0, POSITIVE, UNKNOWN).astype(np.int8)


def single_positive(labels: np.ndarray, sizes: Sizes, *, seed: int = SEED) -> np.ndarray:
    """One positive an image, each as likely as another: the benchmarks' (Cole et al., CVPR 2021)."""
    return observe(labels, seed=seed)


def counts(labels: np.ndarray, sizes: Sizes, *, positives: int = 1, negatives: int = 0, seed: int = SEED) -> np.ndarray:
    """So many positives and negatives an image, -1 for all of them (Cole et al., CVPR 2021)."""
    return observe(labels, positives, negatives, seed)


def frequency(labels: np.ndarray, sizes: Sizes, *, power: float = 1.0, seed: int = SEED) -> np.ndarray:
    """One positive an image, a class as likely as the number of its positives in the split to the power `power`.

    Above 0 annotators name what they often see; below 0 what is rare.
    """
    present = labels > 0
    size = power * np.log(np.maximum(present.sum(axis=0), 1))  # logarithms: the powers themselves may be out of range
    random = np.random.RandomState(seed)
    observed = np.zeros(labels.shape, dtype=np.int8)
    for row, columns in zip(observed, map(np.flatnonzero, present), strict=True):
        if len(columns):
            weight = np.exp(size[columns] - size[columns].max())
            row[random.choice(columns, p=weight / weight.sum())] = POSITIVE
    return observed


def largest(labels: np.ndarray, sizes: Sizes) -> np.ndarray:
    """One positive an image, that of the largest object; nothing is drawn, and ties go to the lower class index."""
    if sizes is None:
        raise AevlpError("the regime largest needs objects with boxes or areas, and this data set has none")
    areas = np.where(labels > 0, sizes(), -1.0)
    observed = np.zeros(labels.shape, dtype=np.int8)
    rows = np.flatnonzero((labels > 0).any(axis=1))
    without = rows[areas[rows].max(axis=1) <= 0]
    if len(without):
        raise AevlpError(
            f"the regime largest finds no box or area of any object in {len(without):,} images that show something, first "
            f"row {without[0]} of its split"
        )
    observed[rows, areas[rows].argmax(axis=1)] = POSITIVE
    return observed


def fraction(labels: np.ndarray, sizes: Sizes, *, fraction: float, seed: int = SEED) -> np.ndarray:
    """Each entry, positive or negative, is observed with this probability: partial labels (Durand et al., CVPR 2019)."""
    _in_unit_range("fraction", fraction)
    known = np.random.RandomState(seed).random_sample(labels.shape) < fraction
    return np.where(known, np.where(labels > 0, POSITIVE, NEGATIVE), 0).astype(np.int8)


def wrong(labels: np.ndarray, sizes: Sizes, *, rate: float, seed: int = SEED) -> np.ndarray:
    """The single positive, of which this share is put on a class that the image does not show.

    The wrong labels of a rate are among those of a larger one with the same seed, and all others are those of `single_positive`.
    """
    _in_unit_range("rate", rate)
    observed = observe(labels, seed=seed)
    random = np.random.RandomState([seed, 1])  # a stream of its own, and the same for any rate
    draws = random.random_sample((len(labels), 2))
    for row, present, (chance, place) in zip(observed, labels > 0, draws, strict=True):
        absent = np.flatnonzero(~present)
        if chance < rate and len(absent) and row.any():
            row[:] = 0
            row[absent[int(place * len(absent))]] = POSITIVE
    return observed


REGIMES: dict[str, Callable[..., np.ndarray]] = {
    "none": none,
    "single-positive": single_positive,
    "counts": counts,
    "frequency": frequency,
    "largest": largest,
    "fraction": fraction,
    "wrong": wrong,
}
ALIASES = {"uniform": "single-positive"}  # other names for what is given
NONE: dict[str, Any] = {"regime": "none"}


def checked(simulate: dict[str, Any] | str) -> dict[str, Any]:
    """Return a regime with all its constants, {"regime": name, constant: value}, never under one of `ALIASES`.

    simulate: such a dictionary, where constants with defaults may be left out, or a text as `parsed` reads it.
    Raises AevlpError where one is not known or odd.
    """
    if isinstance(simulate, str):
        return parsed(simulate)
    given = dict(simulate)
    name = given.pop("regime", "counts")
    name = ALIASES.get(str(name), name)
    if not isinstance(name, str) or name not in REGIMES:
        raise unknown_name("regime", str(name), [*REGIMES, *ALIASES])
    known = keyword_constants(REGIMES[name])
    require_known(f"the regime {name}", known, given)
    for constant, value in given.items():
        whole = known[constant].annotation is int
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not (number and -1e300 < value < 1e300):
            raise AevlpError(f"{constant} of the regime {name} must be a {'whole ' * whole}number, found {value!r}")
        if constant == "seed" and not 0 <= value < 2**32:
            raise AevlpError(f"seed of the regime {name} must be in [0, 2^32), found {value}")
    complete = {"regime": name, **{p.name: given.get(p.name, p.default) for p in known.values()}}
    for constant, value in complete.items():
        if value is inspect.Parameter.empty:
            raise AevlpError(f"the regime {name} needs {constant}")
    apply(complete, np.eye(2, dtype=np.int8), lambda: np.ones((2, 2)))  # a constant out of range speaks up here
    return complete


def parsed(text: str) -> dict[str, Any]:
    """Return the regime that a command line names, such as "wrong,rate=0.2,seed=7"; AevlpError where it cannot be."""
    name, *constants = (part.strip() for part in text.split(","))
    simulate: dict[str, Any] = {"regime": name}
    for part in constants:
        constant, equals, value = part.partition("=")
        try:
            number: int | float = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            equals, number = "", 0
        if not equals:
            raise AevlpError(f"a regime is written NAME or NAME,constant=number,…, found {part!r} in {text!r}")
        if constant.strip() in simulate:
            raise AevlpError(f"{constant.strip()} of a regime is given twice in {text!r}")
        simulate[constant.strip()] = number
    return checked(simulate)


def written(simulate: dict[str, Any]) -> str:
    """Return the text that `parsed` reads as this regime, without the constants that are its defaults."""
    takes = inspect.signature(REGIMES[simulate["regime"]]).parameters
    constants = (f"{key}={value}" for key, value in simulate.items() if key != "regime" and value != takes[key].default)
    return ",".join((simulate["regime"], *constants))


def apply(simulate: dict[str, Any], labels: np.ndarray, sizes: Sizes = None) -> np.ndarray:
    """Return observed codes (n, C) int8 of one split's full labels (n, C), > 0 where the class is present.

    simulate: what `checked` returned. sizes: gives the area of the largest object of each class in each image, (n, C),
    where that is known.
    """
    constants = {key: value for key, value in simulate.items() if key != "regime"}
    return REGIMES[simulate["regime"]](labels, sizes, **constants)


def _in_unit_range(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise AevlpError(f"{name} must be in [0, 1], found {value}")
