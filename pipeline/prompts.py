"""Class names and a template -> one sentence a class."""

from collections.abc import Mapping, Sequence


def class_prompts(classes: Sequence[str], template: str, natural_names: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each class: its natural name, or its own with underscores as spaces, in the template's {}."""
    natural_names = natural_names or {}
    return [template.replace("{}", natural_names.get(name, name.replace("_", " "))) for name in classes]
