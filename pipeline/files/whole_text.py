"""Text that JSON, YAML or the name of a file may hold, and that no file of text can."""


def is_whole(text: str) -> bool:
    """Return whether a text holds no half of a character (a lone surrogate)."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)
