"""What tries a law on many names all that break it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import cases_of, each


def test_all_that_break_a_law_are_named() -> None:
    tried = []

    @each(name=["a", "b", "c"], size=[1, 2])
    def law(name: str, size: int) -> None:
        tried.append((name, size))
        if name == "b":
            pytest.fail(f"not {size}")
        assert (name, size) != ("c", 2)
        with pytest.raises(ValueError):
            float("1" if (name, size) == ("a", 1) else "x")

    with pytest.raises(AssertionError, match=r"^4 of 6 cases fail\nname a, size 1: .*DID NOT RAISE") as error:
        law()
    assert [line.split(":")[0] for line in str(error.value).splitlines()[1:]] == [
        "name a, size 1", "name b, size 1", "name b, size 2", "name c, size 2"
    ]  # fmt: skip
    assert len(tried) == 6


@each(n=[1, 2])
def test_each_case_has_a_folder_of_its_own(n: int, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()


def test_a_law_over_random_inputs_is_tried_on_each() -> None:
    found = set()

    def law(name: str, number: int) -> None:
        found.add(name)
        assert name != "b" or number < 5

    tried: Callable[..., None] = each(name="ab")(given(number=st.integers(0, 9))(law))
    with pytest.raises(AssertionError, match="1 of 2 cases fail\nname b: "):
        tried()
    assert found == {"a", "b"}


def test_a_law_is_skipped_where_every_case_is() -> None:
    @each(n=[1, 2])
    def some(n: int) -> None:
        if n == 1:
            pytest.skip("no")

    some()

    @each(n=[1, 2])
    def none(n: int) -> None:
        pytest.skip("no")

    with pytest.raises(pytest.skip.Exception):
        none()


def test_a_law_without_a_case_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="without a case"):
        cases_of([])
