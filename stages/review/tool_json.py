"""A file in JSON, of whatever tool -> its content, and in words what it seems to be."""

from pathlib import Path
from typing import Any

import msgspec

from ...pipeline.errors import AevlpError, in_one_line, some


def tool_json(path: Path) -> Any:
    """Return the content of a file in JSON; AevlpError where it cannot be read, is empty, or breaks off."""
    try:
        text = path.read_bytes()
        if not text.strip():
            raise AevlpError(f"{path} is empty: write it again with the tool that it is from")
        return msgspec.json.decode(text)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AevlpError(f"cannot read {path} as JSON: {in_one_line(error, 200)}") from error


def seems(content: Any) -> str:
    """Return what a content looks like, for an error."""
    if not isinstance(content, dict):
        return "a list" if isinstance(content, list) else f"only {in_one_line(ValueError(content), 40)}"
    if {"images", "annotations"} <= set(content):
        return "what looks like annotations of COCO"
    if "samples" in content:
        return "what looks like a data set of FiftyOne"
    return f"an object with the keys {some(list(content), 5)}" if content else "an empty object"
