"""Class names and templates -> the sentences of each class."""

from collections.abc import Mapping, Sequence

from ..errors import AevlpError, unknown_name


def class_names(
    classes: Sequence[str],
    rule: str = "plain",
    natural_names: Mapping[str, str] | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    compat: str = "paper",
) -> list[list[str]]:
    """Return the words for each class, the main name first.

    rule: "plain" takes a class's natural name, or its own with underscores as spaces, and its synonyms; "attribute" makes a
    name of CUB's `has_<attribute>::<value>`. compat: "published" leaves natural names and synonyms out, and keeps the
    published slip in CUB's names. Raises AevlpError where a natural name or synonyms are given for no class.
    """
    natural, more = natural_names or {}, synonyms or {}
    for kind, names in (("class in natural_names", natural), ("class in synonyms", more)):
        for name in names:
            if name not in classes:
                raise unknown_name(kind, name, classes)
    if compat == "published":
        natural, more = {}, {}
    main = [
        natural.get(name) or (attribute_name(name, compat) if rule == "attribute" else _spaced(name))
        for name in classes
    ]
    return [list(dict.fromkeys((word, *more.get(name, ())))) for name, word in zip(classes, main, strict=True)]


def class_prompts(names: Sequence[Sequence[str]], templates: Sequence[str]) -> list[list[str]]:
    """Return the sentences of each class: each of its names in the {} of each template."""
    return [[template.replace("{}", name) for name in words for template in templates] for words in names]


def imagenet_templates() -> list[str]:
    """Return the 80 templates of CLIP for ImageNet (Radford et al., ICML 2021), {} where the name goes."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES  # here, as it loads torch

    return [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]


def attribute_name(attribute: str, compat: str = "paper") -> str:
    """Return the words for a CUB attribute `has_<attribute>::<value>`, such as "curved bill" or "blue upper".

    The value without its bracketed remark, then the second underscore-separated piece of the whole text. For the attributes
    of one word that piece holds the value again ("large size::large"): "paper" drops it, "published" keeps it.
    Raises AevlpError where the text has another form.
    """
    start, found, value = attribute.partition("::")
    if not (found and value and "_" in start):
        raise AevlpError(f"the class {attribute!r} is no attribute: expected has_<attribute>::<value>")
    piece = attribute.split("_")[1]
    if compat == "paper":
        piece = piece.partition("::")[0]
    return f"{_spaced(value.partition('_(')[0])} {piece}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
