"""What a user names as a CLIP -> its open_clip configuration, its tag and its weights file.

A model is an open_clip name, a model-config JSON (open_clip's own, or an open_clip_config.json as it lies beside weights on the
Hugging Face hub), local-dir:FOLDER with such a file, or hf-hub:ORG/NAME.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import AevlpError, in_one_line, unknown_name
from ..files import absent_files as hub
from ..manifest.clip_names import CONFIG, HUB, HUB_FILES, LOCAL, RANDOM, SCENES, TRANSFORMERS, TRANSFORMERS_CONFIG
from ..manifest.formats import PACKAGED
from ..manifest.pixel_statistics import OPENAI, Three


@dataclass(frozen=True)
class ClipSource:
    """Where a CLIP comes from, and what is said of its training besides.

    weights: a tag, a file, "random", or None for those that lie with the model's configuration. mean, std: pixel statistics for
    values in [0, 1], and activation: "gelu" or "quick_gelu"; None for what `as_trained` finds. said_by: where mean and std are
    from.
    """

    model: str
    weights: str | None = None
    mean: Three | None = None
    std: Three | None = None
    activation: str | None = None
    said_by: str = "--mean/--std"

    def located(self, folder: Path) -> "ClipSource":
        """Return the source with files found: as they are named, or else below `folder`."""

        def find(name: str) -> str:
            beside = folder / name
            return str(beside) if not Path(name).exists() and beside.exists() else name

        if self.model in SCENES:
            return self._bundled()
        prefix = next((of for of in (LOCAL, TRANSFORMERS) if self.model.startswith(of)), "")
        model = self.model if self.model.startswith(HUB) else prefix + find(self.model.removeprefix(prefix))
        return replace(self, model=model, weights=self.weights and find(self.weights))

    def _bundled(self) -> "ClipSource":
        """Return the CLIP that comes with aevlp, by its files."""
        model, weights = (str(PACKAGED.parent / name) for name in SCENES[self.model])
        mean, std = (self.mean, self.std) if self.mean else OPENAI
        return replace(self, model=model, weights=self.weights or weights, mean=mean, std=std)

    @classmethod
    def recorded(cls, provenance: Mapping[str, Any], folder: Path) -> "ClipSource":
        """Return the source of the CLIP that made a cache, so that it is built as it was then.

        provenance: the cache's, or the same keys of a run. folder: as for `located`. Where neither statistics nor activation
        were recorded yet, a weights file had OpenAI's statistics and the activation of its model's configuration.
        """
        clip, statistics = provenance["clip"], provenance.get("pixel_statistics", {})
        source = cls(clip["model"], clip["weights"]).located(folder)
        activation = clip.get("activation") or provenance.get("activation")
        mean, std = (clip.get(key) or statistics.get(key) for key in ("mean", "std"))
        if source.weights is not None and Path(source.weights).is_file():
            activation = activation or ("quick_gelu" if clip["config"].get("quick_gelu") else "gelu")
            mean, std = (mean, std) if mean else OPENAI
        return replace(source, mean=mean, std=std, activation=activation)


@dataclass(frozen=True)
class ClipModel:
    """The configuration of a CLIP.

    name: as users see it. registered: open_clip's name of it. config: open_clip's own model configuration. preprocessing: the
    preprocess_cfg that stands with it, None where none does. folder: that of its configuration, repository: that of the hub,
    None where it has none; either may hold its weights and its tokenizer.
    """

    name: str
    registered: str
    config: dict[str, Any]
    preprocessing: dict[str, Any] | None = None
    folder: Path | None = None
    repository: str | None = None


def find_model(model: str) -> ClipModel:
    """Return the configuration of a CLIP, fetched where it is on the hub; AevlpError where there is none that can be read."""
    if model.startswith(HUB):
        repository = hub.check_repository(model.removeprefix(HUB))
        try:
            path = hub.fetched(repository, (CONFIG,))
        except AevlpError as error:
            raise AevlpError(f"{model}: {error}; {by_hand(repository)}") from error
        return replace(_from_file(path, model), folder=None, repository=repository)
    if model.startswith(LOCAL):
        folder = Path(model.removeprefix(LOCAL))
        if not (folder / CONFIG).is_file():
            found = "no such folder" if not folder.is_dir() else f"it has no {CONFIG}"
            expected = f"expected a folder with {CONFIG} and {' or '.join(HUB_FILES)}"
            if (folder / TRANSFORMERS_CONFIG).is_file():
                expected = f"{TRANSFORMERS_CONFIG} is transformers' own: pass it as {TRANSFORMERS}{folder}"
            raise AevlpError(f"{model}: {found}; {expected}")
        return _from_file(folder / CONFIG, model)
    if model.endswith(".json"):
        return _from_file(Path(model), model)
    return named_model(model)


def by_hand(repository: str) -> str:
    """Return what to do where a repository of the hub cannot be reached."""
    files = " and ".join(hub.address(repository, file) for file in (CONFIG, HUB_FILES[0]))
    return f"download {files} into a folder, and pass the model as {LOCAL}FOLDER"


def find_tag(model: ClipModel, weights: str | None) -> dict[str, Any] | None:
    """Return open_clip's entry for the weights' tag, None for a file, random weights and the model's own.

    Raises AevlpError where they are none of these.
    """
    if weights is None or weights == RANDOM or Path(weights).is_file():
        return None
    tags = tags_of(model)
    if weights in tags:
        return tags[weights]
    if Path(weights).is_dir():
        raise AevlpError(f"--weights {weights} is a folder: pass the file in it, or the model as {LOCAL}{weights}")
    raise AevlpError(
        f"no weights {weights!r} for {model.name}: neither a file nor one of its tags "
        f"({', '.join(tags) or 'it has none'}); random weights must be asked for as --weights {RANDOM}"
    )


def tags_of(model: ClipModel) -> dict[str, dict[str, Any]]:
    """Return open_clip's entries for all tags of a model."""
    import open_clip

    names = open_clip.list_pretrained_tags_by_model(model.registered)
    return {name: open_clip.get_pretrained_cfg(model.registered, name) for name in names}


def weights_file(model: ClipModel, weights: str | None, tag: dict[str, Any] | None) -> Path | None:
    """Return the file of a model's weights, fetched where it is on the hub, None for random ones.

    tag: as `find_tag` returns it. Raises AevlpError where there is none, or it cannot be fetched.
    """
    if weights == RANDOM:
        return None
    if weights is None:
        return _own_weights(model)
    if tag is None:
        return Path(weights)
    from open_clip.pretrained import download_pretrained

    repository, files = hub_files(tag)
    try:
        return hub.fetched(repository, files) if repository else Path(download_pretrained(tag))
    except Exception as error:  # whatever an unreachable address raises
        url = hub.address(repository, files[0]) if repository else tag.get("url", "them")
        raise AevlpError(
            f"cannot fetch the weights {weights} of {model.name}: {in_one_line(error, 200)}; download {url} and pass "
            f"it as --weights FILE"
        ) from error


def hub_files(tag: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the hub's repository of a tag, "" where it is elsewhere, and the names that its file may have, best first."""
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    if not file:
        return repository, HUB_FILES
    safe = Path(file).with_suffix(".safetensors").name
    return repository, tuple(dict.fromkeys((safe, file) if Path(file).suffix in (".bin", ".pth") else (file,)))


def config_beside(weights: Path, model: ClipModel) -> ClipModel | None:
    """Return the open_clip_config.json in the folder of a weights file, where it is there and of the same model."""
    path = weights.parent / CONFIG
    if not path.is_file():
        return None
    beside = _from_file(path, CONFIG)
    return beside if _agree(beside.config, model.config) else None


def registered(config: dict[str, Any]) -> str:
    """Return the name under which open_clip knows a model configuration from now on."""
    import open_clip

    content = json.dumps(config)
    name = f"aevlp-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.json"
            path.write_text(content, encoding="utf-8")
            open_clip.add_model_config(path)
    return name


def named_model(model: str) -> ClipModel:
    """Return the model that open_clip has under a name; AevlpError where it has none."""
    import open_clip

    if model not in open_clip.list_models():
        if (Path(model) / CONFIG).is_file():
            raise AevlpError(f"{model} is a folder: pass it as {LOCAL}{model}")
        if (Path(model) / TRANSFORMERS_CONFIG).is_file():
            raise AevlpError(f"{model} is a folder of transformers: pass it as {TRANSFORMERS}{model}")
        if Path(model).is_dir():
            raise AevlpError(
                f"{model} is a folder without a model: expected {CONFIG} in it, as {LOCAL}{model}, or {TRANSFORMERS_CONFIG} of "
                f"transformers, as {TRANSFORMERS}{model}"
            )
        if (dashed := model.replace("/", "-")) in open_clip.list_models():
            raise AevlpError(f"unknown open_clip model {model!r}: its name there is {dashed}")
        if model.count("/") == 1:
            raise AevlpError(
                f"unknown open_clip model {model!r}: a repository of the Hugging Face hub is passed as {HUB}{model}, or "
                f"{TRANSFORMERS}{model} where transformers has it; there is no folder {model} here"
            )
        raise unknown_name("open_clip model", model, [*open_clip.list_models(), *SCENES])
    return ClipModel(model, model, open_clip.get_model_config(model) or {})


def _from_file(path: Path, model: str) -> ClipModel:
    """Return the model of a configuration file. model: as the user named it."""
    import open_clip

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AevlpError(f"cannot read the model configuration {path}: {error}") from error
    if not isinstance(content, dict):
        raise AevlpError(f"{path}: not an open_clip model configuration, expected an object")
    of_hub = "model_cfg" in content
    preprocessing = content.pop("preprocess_cfg", None)
    config = content["model_cfg"] if of_hub else content
    sections = [name for name in ("text_cfg", "vision_cfg") if isinstance(config, dict) and name in config]
    missing = sorted({"embed_dim", "vision_cfg", "text_cfg"} - set(config if isinstance(config, dict) else ()))
    if missing:
        hint = ""
        if "architectures" in content:
            hint = f": transformers' own, where open_clip reads {CONFIG} (its folder is passed as {TRANSFORMERS}{path.parent})"
        raise AevlpError(f"{path}: not an open_clip model configuration{hint}, {', '.join(missing)} missing")
    for name, section in (*((name, config[name]) for name in sections), ("preprocess_cfg", preprocessing)):
        if not isinstance(section, dict) and (name, section) != ("preprocess_cfg", None):
            raise AevlpError(f"{path}: {name} must be an object, found {str(section)[:40]!r}")
    if of_hub or model.startswith(LOCAL):
        return ClipModel(model, registered(config), config, preprocessing, path.parent)
    if preprocessing is not None:
        return ClipModel(path.stem, registered(config), config, preprocessing)
    if path.stem in open_clip.list_models() and open_clip.get_model_config(path.stem) != config:
        raise AevlpError(f"{path}: open_clip has another model of the name {path.stem}: rename the file")
    open_clip.add_model_config(path)
    return ClipModel(path.stem, path.stem, config)


def _own_weights(model: ClipModel) -> Path:
    """Return the weights that lie with a model's configuration."""
    if model.repository:
        try:
            return hub.fetched(model.repository, HUB_FILES)
        except AevlpError as error:
            raise AevlpError(f"{model.name}: {error}; {by_hand(model.repository)}, or --weights FILE") from error
    if model.folder is None:
        raise AevlpError(f"--clip {model.name} needs --weights: a tag of open_clip, a file, or {RANDOM}")
    for name in HUB_FILES:
        if (model.folder / name).is_file():
            return model.folder / name
    raise AevlpError(
        f"{model.name}: no weights lie in {model.folder}, expected {' or '.join(HUB_FILES)}: pass others as --weights FILE"
    )


def _agree(one: object, other: object) -> bool:
    """Return whether two configurations say the same of everything that both speak of, but for the activation."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_agree(one[key], other[key]) for key in one.keys() & other.keys() if key != "quick_gelu")
    return one == other
