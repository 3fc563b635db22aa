"""Whether trained weights are on this machine, where they come from if they are not, and files of a Hugging Face repository."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from ..errors import AevlpError, in_one_line

SECONDS = 5  # for the first answer of the hub at one of its addresses
ALL_SECONDS = 8  # for it at all of them, and for the name server


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
    if cached(repository, files):
        return None
    return Absent(what, address(repository, files[0]), 4 * parameters, f"hf download {repository} {files[0]}")


def address(repository: str, file: str) -> str:
    """Return where a browser finds a file of a Hugging Face repository."""
    return f"https://huggingface.co/{repository}/resolve/main/{file}"


def cached(repository: str, files: tuple[str, ...]) -> Path | None:
    """Return the first of `files` of a Hugging Face repository that is in the local cache, None where none is."""
    found = (try_to_load_from_cache(repository, file) for file in files)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def check_repository(repository: str) -> str:
    """Return the name of a repository; AevlpError where no repository can have it."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII) or ".." in repository or "--" in repository:
        raise AevlpError(f"no repository of the Hugging Face hub can be named {repository!r}: expected hf-hub:ORG/NAME")
    return repository


def fetched(repository: str, files: tuple[str, ...]) -> Path:
    """Return the first of `files` that a Hugging Face repository has: from the local cache, or else fetched into it.

    Raises AevlpError within seconds where the hub does not answer; and where the repository, or each of the files, is not there.
    """
    if path := cached(repository, files):
        return path
    for file in files:
        if not answers(repository, file):
            continue
        try:
            return Path(hf_hub_download(repository, file))
        except Exception as error:  # whatever a network raises
            raise _unreachable(repository, file, error) from error
    raise AevlpError(f"the repository {repository} of the Hugging Face hub has no {' or '.join(files)}")


def answers(repository: str, file: str) -> bool:
    """Return whether a Hugging Face repository has a file; AevlpError where there is none, or within seconds no answer.

    What downloads asks six times, for half a minute.
    """
    try:
        _in_time(lambda: get_hf_file_metadata(hf_hub_url(repository, file), timeout=SECONDS))
    except EntryNotFoundError:
        return False
    except RepositoryNotFoundError as error:
        raise AevlpError(f"the Hugging Face hub has no repository {repository} that is open to you") from error
    except Exception as error:  # whatever a network raises
        raise _unreachable(repository, file, error) from error
    return True


def _in_time(ask: Callable[[], object]) -> None:
    """Ask, and raise what asking raises; TimeoutError where there is neither answer nor error in time."""
    raised: list[Exception] = []

    def asked() -> None:
        try:
            ask()
        except Exception as error:  # for the thread that waits
            raised.append(error)

    thread = threading.Thread(target=asked, daemon=True)  # which nobody waits for when the program ends
    thread.start()
    thread.join(ALL_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {ALL_SECONDS} s")
    if raised:
        raise raised[0]


def _unreachable(repository: str, file: str, error: Exception) -> AevlpError:
    reason = in_one_line(error, 80) or type(error).__name__
    return AevlpError(f"cannot fetch {file} of {repository} from the Hugging Face hub ({reason})")
