"""A law that holds for many: one test tries it on each, and names all that break it."""

import inspect
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import pytest


def each(**values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a test of a law which is given these values one by one, every combination of them.

    The test goes on where the law breaks, and fails in the end with a line for each case. It may ask for fixtures besides; of
    `tmp_path` each case gets a folder of its own.
    """
    cases = [dict(zip(values, case, strict=True)) for case in product(*values.values())]
    return cases_of(cases)


def cases_of(cases: Iterable[dict[str, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator as `each` does, for these cases: the arguments of each."""
    cases = list(cases)
    assert cases, "a law without a case"

    def decorate(law: Callable[..., None]) -> Callable[..., None]:
        def test(**fixtures: Any) -> None:
            first: BaseException | None = None
            lines, skipped = [], []
            for number, case in enumerate(cases):
                try:
                    law(**_fresh(fixtures, number), **case)
                except pytest.skip.Exception as skip:
                    skipped.append(skip)
                except (Exception, pytest.fail.Exception) as error:
                    first = first or error
                    lines.append(f"{_name(case)}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            if lines:
                raise AssertionError("\n".join([f"{len(lines)} of {len(cases)} cases fail", *lines])) from first
            if len(skipped) == len(cases):
                raise skipped[0]

        given = cases[0].keys()
        signature = inspect.signature(law)
        asked = [parameter for name, parameter in signature.parameters.items() if name not in given]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in asked]
        test.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
        test.__name__, test.__qualname__, test.__module__ = law.__name__, law.__qualname__, law.__module__
        test.__doc__ = law.__doc__
        if marks := getattr(law, "pytestmark", None):
            test.pytestmark = marks  # type: ignore[attr-defined]
        return test

    return decorate


def _fresh(fixtures: dict[str, Any], number: int) -> dict[str, Any]:
    if "tmp_path" not in fixtures:
        return fixtures
    folder = fixtures["tmp_path"] / f"case-{number}"
    folder.mkdir()
    return {**fixtures, "tmp_path": folder}


def _name(case: dict[str, Any]) -> str:
    return ", ".join(f"{key} {getattr(value, '__name__', value)}" for key, value in case.items())
