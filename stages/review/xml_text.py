"""Names -> what XML can hold."""

import re

from ...pipeline.errors import AevlpError

_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def checked_for_xml(name: str) -> str:
    """Return a name; AevlpError where a character of it cannot stand in XML, escaped or not."""
    if found := _IMPOSSIBLE.search(name):
        raise AevlpError(f"{name!r}: XML cannot hold the character {found[0]!r}: take --export fiftyone or csv")
    return name
