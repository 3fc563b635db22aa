"""The tokenizer of a CLIP: open_clip's own, or one of transformers from files beside the configuration or from the hub."""

from collections.abc import Callable
from typing import Any

from ..errors import AevlpError
from ..files import absent_files as hub
from ..quiet import first_line, quiet
from .source import ClipModel, registered

FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


def tokenizer_of(model: ClipModel) -> Callable[..., Any]:
    """Return what maps sentences to numbers of tokens (n, length); AevlpError within seconds where it cannot be loaded."""
    import open_clip

    name = model.config["text_cfg"].get("hf_tokenizer_name")
    try:
        if not name:
            return open_clip.get_tokenizer(model.registered)
        folder = model.folder
        beside = folder is not None and any((folder / file).is_file() for file in FILES)
        return _of_transformers(model, str(folder) if beside else name, beside)
    except Exception as error:  # whatever foreign files or an unreachable hub raise
        reason = str(error) if isinstance(error, AevlpError) else first_line(error)
        if isinstance(error, ImportError):
            reason += " (pip install transformers)"
        advice = (
            f"; it needs {' and '.join(FILES[:2])} of {name}: hf download {name}, or put them beside {_config(model)}"
        )
        raise AevlpError(f"cannot load the tokenizer of {model.name}: {reason}{advice if name else ''}") from error


def _config(model: ClipModel) -> str:
    return "its configuration" if model.folder is None else str(model.folder)


def _of_transformers(model: ClipModel, place: str, local: bool) -> Callable[..., Any]:
    """Return a tokenizer of transformers from a folder or a repository of the hub, which is asked only for what is not here."""
    import open_clip

    text = {**model.config["text_cfg"], "hf_tokenizer_name": place}
    known = registered({**model.config, "text_cfg": text})
    safe: Any = {"trust_remote_code": False}  # a configuration may ask for code that lies beside the files
    try:
        with quiet():
            return open_clip.get_tokenizer(known, local_files_only=True, **safe)
    except ImportError:
        raise
    except Exception:  # whatever a missing file raises
        if local:
            raise
    hub.answers(place, FILES[0])
    with quiet():
        return open_clip.get_tokenizer(known, **safe)
