"""The keys of a manifest's entry that say what a cell of labels means."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ..labels.label_words import by_word
from .sections import Names, Section, one_or_several


class LabelKeys(Section, frozen=True):
    """What the cells of labels mean, where they do not tell it themselves.

    label_separator: between the labels of a text. label_form: "names", "numbers" (of `classes`, from 0) or "vector" (a value
    for each class) where a cell could be read as two of them. label_values: what each value of a vector or of a class's
    column stands for. label_threshold: the probability from which a class is present. no_label: words that stand for no label.
    labels: "complete" where the cells hold every label of an image: they are the truth, and what is present is observed;
    "observed" where they hold the few that somebody gave, and the truth is not known.
    """

    label_separator: str = Field(default=";", min_length=1)
    label_form: Literal["names", "numbers", "vector"] | None = None
    # Each word is a byte, beside a few of its own.
    label_values: dict[str, Literal["present", "absent", "unknown"]] | None = Field(default=None, max_length=250)
    label_threshold: float | None = Field(default=None, gt=0, le=1)
    no_label: Annotated[Names, BeforeValidator(one_or_several)] = ()
    labels: Literal["complete", "observed"] = "complete"

    @field_validator("label_values", mode="before")
    @classmethod
    def _by_words(cls, values: Any) -> Any:
        return by_word(values) if isinstance(values, dict) else values

    @field_validator("no_label")
    @classmethod
    def _compared_without_case(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.strip().casefold() for word in words)
