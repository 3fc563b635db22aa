"""Whether trained weights are on this machine, and where they come from if they are not."""

from dataclasses import dataclass

from huggingface_hub import try_to_load_from_cache


@dataclass(frozen=True)
class Absent:
    """A file that is needed and not on this machine: what it is, where it is from, its size in bytes (None where unknown),
    and how to get it."""

    what: str
    source: str
    size: int | None
    how: str


def absent_from_hub(what: str, repository: str, files: tuple[str, ...], parameters: int) -> Absent | None:
    """Return None where one of `files` of a Hugging Face repository is in the local cache, else the first as absent.

    parameters: how many numbers the file holds; in single precision, as these are published, that gives its size.
    """
    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return None
    source = f"https://huggingface.co/{repository}/resolve/main/{files[0]}"
    return Absent(what, source, 4 * parameters, f"hf download {repository} {files[0]}")
