"""What people have, a folder or a file -> the manifest entry that reads it, or a question in one line.

Nothing is written here, and no label is guessed: what can be meant in two ways is asked for by the option that settles it.
"""

from .class_names import class_names
from .look import asking, look
from .naming import is_name
from .understood import Given, Understood
from .written import content_of, kept_shares, same_entry, write_entry

__all__ = [
    "Given",
    "Understood",
    "asking",
    "class_names",
    "content_of",
    "is_name",
    "kept_shares",
    "look",
    "same_entry",
    "write_entry",
]
