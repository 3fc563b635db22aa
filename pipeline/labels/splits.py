"""The parts of a data set: what each is called here, and by others."""

SPLITS = ("train", "val", "test")

SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
_SPLIT_OF = {word: split for split, words in SPELLINGS.items() for word in words}


def split_of(word: str) -> str | None:
    """Return the split, one of `SPLITS`, that a word such as " Validation" stands for; None for any other word."""
    return _SPLIT_OF.get(word.strip().lower())


def expected_words() -> str:
    """Return the words that are known, for a message."""
    return "; ".join(f"{split}: {', '.join(words)}" for split, words in SPELLINGS.items())
