"""A block of rows -> a checksum for each of its columns, of the content, whatever the format of the file."""

import hashlib
import json

import numpy as np

from .schema import CacheHeader, CacheRows

Checksums = dict[str, list[str]]  # of each column, one a block; of "header", one


def header_checksum(header: CacheHeader) -> str:
    """Return the checksum of a header: 128 bits of SHA-256, in hexadecimal, as of every column."""
    return _digest(header.to_json().encode())


def block_checksums(rows: CacheRows) -> dict[str, str]:
    """Return the checksum of each column of a block of rows."""
    return {name: _column(values) for name, values in vars(rows).items() if values is not None}


def damaged_columns(rows: CacheRows, number: int, expected: Checksums) -> list[str]:
    """Return the columns of the block with this number, counted from 0, that are not what was written."""
    found = block_checksums(rows)
    return [name for name, digest in found.items() if expected.get(name, [])[number : number + 1] != [digest]]


def _column(values: list[str] | np.ndarray) -> str:
    if isinstance(values, list):
        return _digest(json.dumps(values).encode())
    return _digest(np.ascontiguousarray(values).data)


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
