"""What a user names as a model of Hugging Face transformers -> its folder, its configuration and its weights as safetensors.

transformers:FOLDER has the files of a repository as they lie there; transformers:ORG/NAME is a repository of the hub, of which
is fetched what is not on this machine yet. No code that lies beside a model is ever run: its class is one that this list has.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AevlpError, in_one_line
from ..files import absent_files as hub
from ..files.absent_files import Absent
from ..manifest.clip_names import RANDOM, TRANSFORMERS
from ..manifest.clip_names import TRANSFORMERS_CONFIG as CONFIG
from .source import ClipSource

PREPROCESSING = "preprocessor_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"  # which only together are a tokenizer
TOKENIZERS = ("tokenizer.json", "spiece.model", "tokenizer.model", VOCABULARY)
TOKENIZER_CONFIG = "tokenizer_config.json"
TEXTS = (PREPROCESSING, TOKENIZER_CONFIG, "special_tokens_map.json", MERGES, *TOKENIZERS)
KINDS = {
    "clip": ("CLIPConfig", "CLIPModel"),
    "siglip": ("SiglipConfig", "SiglipModel"),
}  # of model_type; SigLIP 2's too
NAFLEX = "siglip2"  # which takes patches of an image of any shape, and no square one


@dataclass(frozen=True)
class Files:
    """A model's folder, its config.json and preprocessor_config.json ({} where there is none); repository: of the hub, or ""."""

    folder: Path
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    repository: str = ""


def found_files(model: str) -> Files:
    """Return the files of a model, but its weights; AevlpError where they are not there, or of a model that is not known here."""
    name = model.removeprefix(TRANSFORMERS)
    folder = Path(name)
    repository = ""
    if not folder.is_dir():
        repository = _repository(model)
        try:
            folder = hub.fetched(repository, (CONFIG,)).parent
        except AevlpError as error:  # what was meant may be a folder
            raise AevlpError(
                f"{model}: no such folder, and as a repository of the hub: {error}; pass a folder that is there, or fetch the "
                f"model with hf download {repository} where there is a network"
            ) from error
        here = {file for file in TEXTS if (folder / file).is_file()}
        if PREPROCESSING not in here or not here & set(TOKENIZERS):
            for file in TEXTS:
                if file not in here and hub.answers(repository, file):
                    hub.fetched(repository, (file,))
    config, preprocessing = (_json(folder / file) for file in (CONFIG, PREPROCESSING))
    if not config:
        raise AevlpError(f"{model}: it has no {CONFIG}; expected a folder as transformers saves a model")
    check_config(config, model)
    return Files(folder, config, preprocessing, repository)


def check_config(config: dict[str, Any], model: str) -> None:
    """Raise AevlpError for the configuration of a model of which no image tower and text tower can be taken."""
    kind = config.get("model_type")
    if kind == NAFLEX:
        raise AevlpError(
            f"{model} is a NaFlex SigLIP 2, which takes images in patches of any number: choose one of a fixed size, such as "
            f"{TRANSFORMERS}google/siglip2-base-patch16-224"
        )
    if kind not in KINDS:
        raise AevlpError(f"{model}: expected a model_type in {CONFIG} of {' or '.join(KINDS)}, found {kind!r}")


def require_tokenizer(files: Files, model: str) -> None:
    """Raise AevlpError where no tokenizer lies with a model: transformers makes an empty one, to which all words are alike."""
    here = {name for name in TEXTS if (files.folder / name).is_file()}
    if here & set(TOKENIZERS) - {VOCABULARY} or {VOCABULARY, MERGES} <= here:
        return
    both = f"{TOKENIZERS[0]} and {TOKENIZER_CONFIG}"
    todo = f"put {both} of the model there"
    if files.repository:
        todo = (
            f"save its weights with {both} of the model in a folder of your own, and pass that as {TRANSFORMERS}FOLDER"
        )
    raise AevlpError(
        f"{model} has no tokenizer, so no prompt can be read: {files.folder} holds no {TOKENIZERS[0]}, nor "
        f"{VOCABULARY} and {MERGES}, spiece.model or tokenizer.model in its place; {todo}"
    )


def weights_files(files: Files, source: ClipSource) -> list[Path]:
    """Return the safetensors files of a model's weights, none for random ones, fetched where they are on the hub.

    Raises AevlpError where they are not there, or no safetensors.
    """
    if source.weights == RANDOM:
        return []
    if source.weights is not None:
        path = Path(source.weights)
        if path.suffix != ".safetensors" or not path.is_file():
            raise AevlpError(
                f"no weights {source.weights!r} for {source.model}: expected a .safetensors file or {RANDOM}, or none for those "
                f"that lie with the model"
            )
        return [path]
    for name in (WEIGHTS, INDEX):
        path = _at(files, name)
        if path is not None:
            parts = [name] if name == WEIGHTS else sorted(set(_json(path).get("weight_map", {}).values()))
            found = [(part, _at(files, part)) for part in parts]
            if absent := [part for part, at in found if at is None]:
                raise AevlpError(f"{source.model} has lost {absent[0]}, which {name} names: fetch it again")
            return [at for _, at in found if at is not None]
    raise AevlpError(
        f"{source.model} has no {WEIGHTS}: weights in other formats could run code; save the model with safetensors, pass a file "
        f"as --weights FILE, or --weights {RANDOM}"
    )


def absent(source: ClipSource) -> Absent | None:
    """Return the file that a model needs and that is not on this machine, None where nothing is missing."""
    if not Path(source.model.removeprefix(TRANSFORMERS)).is_dir():
        repository = _repository(source.model)
        for name in (CONFIG, *((WEIGHTS,) if source.weights is None else ())):
            if hub.cached(repository, (name, INDEX) if name == WEIGHTS else (name,)) is None:
                what = f"{name} of {source.model}"
                return Absent(what, hub.address(repository, name), None, f"hf download {repository}")
    files = found_files(source.model)
    require_tokenizer(files, source.model)
    weights_files(files, source)
    return None


def _repository(model: str) -> str:
    name = model.removeprefix(TRANSFORMERS)
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", name, re.ASCII) or ".." in name or "--" in name:
        raise AevlpError(
            f"{model}: no such folder, and no repository of the hub has such a name; expected {TRANSFORMERS}FOLDER or "
            f"{TRANSFORMERS}ORG/NAME"
        )
    return name


def _at(files: Files, name: str) -> Path | None:
    """Return the place of a file of a model, None where it has none of that name."""
    path = files.folder / name
    if Path(name).name != name:
        raise AevlpError(f"{files.folder}: a weights file {name!r} is not in that folder")
    if not path.is_file() and files.repository and hub.answers(files.repository, name):
        return hub.fetched(files.repository, (name,))
    return path if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AevlpError(f"cannot read {path}: {in_one_line(error, 160)}") from error
    if not isinstance(content, dict):
        raise AevlpError(f"{path} does not hold an object")
    return content
