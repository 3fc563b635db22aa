"""Other views of a batch's images: given to the losses that read them, and to no other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stage_one, stage_two
from torch import nn

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import TABLE, Targets
from aevlp.pipeline.losses.interface import READABLE
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.classifier import Architecture, Classifier, build
from aevlp.pipeline.training.inputs import PixelInputs, scaling
from aevlp.pipeline.training.other_views import READ_BY, Views, fed_with_others, seen, views_read
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.pipeline.training.strong_views import changed_strongly, drawn_tiles
from aevlp.stages.stage_two.classifiers import classifier_inputs
from aevlp.stages.stage_two.label_relation import relation_of

CPU = torch.device("cpu")
READERS = [name for name, entry in TABLE.items() if views_read(entry.reads)]


@pytest.fixture(scope="module")
def tiles(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blocks' cache with the vectors of all views."""
    return stage_one(blocks, tmp_path_factory.mktemp("tiles") / "tiles.h5", storage="float32", store="embedding")


def test_only_losses_that_read_other_views_get_them() -> None:
    assert READERS == ["virtual-category", "mulsupcon", "scpnet"]
    assert set(READ_BY) <= set(READABLE)
    assert views_read(("observed", "features")) == ()
    assert views_read(("mirrored", "mirrored_features")) == ("mirrored",)
    assert views_read(TABLE["scpnet"].reads) == ("mirrored", "strong")


def test_views_of_cached_embeddings_are_the_other_flip_and_a_tile(tiles: Path) -> None:
    cache = open_cache(tiles)
    architecture = Architecture("linear", cache.header.width, 32, (0.5,) * 3, (0.5,) * 3, True)
    inputs = classifier_inputs(architecture, cache, Path(), CPU, 0)
    rows, mirrored = np.array([7, 0, 3, 11]), np.array([True, False, False, True])
    chance = np.array([0.0, 0.999, 0.5, 0.13])
    fed = fed_with_others(inputs, rows, mirrored, chance, ("mirrored", "strong"))
    places = np.array([2, 0])
    own = next(iter(inputs.batches(rows[places], 2, mirrored[places])))[1]
    views = fed(places, own)
    assert views.own is own and views.mirrored is not None and views.strong is not None
    stored = torch.from_numpy(cache.embedding(slice(None)))
    torch.testing.assert_close(views.mirrored, torch.stack([stored[3, 1], stored[7, 0]]))
    every = cache.view_embedding(rows)[:, :, 1:].reshape(4, 8, -1)
    expected = [every[place, int(8 * chance[place])] for place in (2, 0)]
    np.testing.assert_array_equal(views.strong, np.stack(expected))
    np.testing.assert_array_equal(drawn_tiles(cache, rows[places], chance[places]), np.stack(expected))
    alone = fed_with_others(inputs, rows, mirrored, chance, ("mirrored",))(places, own)
    assert alone.strong is None and torch.equal(alone.mirrored, views.mirrored)  # type: ignore[arg-type]


def test_a_pixel_view_is_the_mirrored_image(blocks: Path) -> None:
    names = np.array([f"{n:02d}.png" for n in range(4)])
    inputs = PixelInputs(blocks / "images", names, 16, True, (0.5,) * 3, (0.2,) * 3, CPU, 0)
    rows, mirrored = np.arange(4), np.array([True, False, True, False])
    own, other = (next(iter(inputs.batches(rows, 4, flips)))[1] for flips in (mirrored, ~mirrored))
    torch.testing.assert_close(inputs.mirror(rows, own, mirrored), other)


def test_strong_changes_come_from_the_chance_alone() -> None:
    scale = scaling((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), CPU)
    pixels = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) - 0.5
    before, kept = torch.get_rng_state(), pixels.clone()
    chance = np.array([0.1, 0.7, 0.1])
    changed = changed_strongly(pixels, scale, chance)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(pixels, kept)
    assert changed.shape == pixels.shape and changed.dtype == torch.float32 and torch.isfinite(changed).all()
    torch.manual_seed(5)
    assert torch.equal(changed_strongly(pixels[1:], scale, chance[1:]), changed[1:])
    assert torch.equal(changed_strongly(pixels[:1], scale, chance[2:])[0], changed[0])
    assert not torch.equal(changed_strongly(pixels[:1], scale, chance[1:2])[0], changed[0])
    assert all((image == 0).all(dim=0).sum() >= 36 for image in changed)  # at least a quarter of the square is inside


def test_a_classifier_sees_each_view_as_it_would_alone() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    classifier = Classifier(backbone, 5, 4, "latent").eval()
    own, mirrored, strong = torch.randn(3, 2, 3, 2, 2)
    outputs = seen(classifier, Views(own, mirrored, strong))
    for found, inputs in ((outputs, own), (outputs.mirrored, mirrored), (outputs.strong, strong)):
        assert found is not None and found.latent is not None
        alone = classifier(inputs, all_outputs=True)
        torch.testing.assert_close(found.logits, alone.logits)
        torch.testing.assert_close(found.features, alone.features)
        torch.testing.assert_close(found.latent, alone.latent)
    assert outputs.logits.requires_grad and not outputs.mirrored.logits.requires_grad
    assert outputs.strong.logits.requires_grad
    plain = seen(classifier, own)
    assert plain.mirrored is None and plain.strong is None
    assert len(Views(own, mirrored)) == 2 and len(Views(own, mirrored)[:0]) == 0


def test_losses_get_the_views_of_their_own_images(tiles: Path, tmp_path: Path, monkeypatch: Any) -> None:
    cache = open_cache(tiles)
    whole = torch.from_numpy(cache.embedding(slice(None)))
    width, calls = cache.header.width**0.5, []

    class Looking:
        def __init__(self, num_classes: int, **_: Any) -> None: ...

        def __call__(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
            assert targets.features is not None and targets.mirrored_features is not None and targets.rows is not None
            assert targets.mirrored is not None and targets.mirrored.shape == logits.shape
            for own, other in zip(targets.features / width, targets.mirrored_features / width, strict=True):
                places = [(whole - vector).norm(dim=-1).argmin().item() for vector in (own, other)]
                assert places[0] // 2 == places[1] // 2 and places[0] != places[1]
            assert targets.strong is not None and not torch.equal(targets.strong, logits)
            calls.append(len(logits))
            return logits.square().mean() + targets.strong.square().mean()

    monkeypatch.setattr("aevlp.pipeline.losses.create_loss", lambda *_, **__: Looking(3))
    monkeypatch.setattr("aevlp.stages.stage_two.train.create_loss", lambda *_, **__: Looking(3))
    reads = ("observed", "features", "mirrored", "mirrored_features", "strong")
    monkeypatch.setitem(TABLE, "scpnet", TABLE["scpnet"].__class__(**{**vars(TABLE["scpnet"]), "reads": reads}))
    stage_two(tiles, tmp_path / "run", loss="scpnet", backbone="linear", epochs=1, batch_size=4)
    assert calls == [4, 4, 2]


@pytest.mark.parametrize("loss", READERS)
def test_a_loss_of_other_views_goes_on_as_if_it_had_never_stopped(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    options: dict[str, Any] = {"backbone": "linear", "epochs": 3, "batch_size": 3}
    named = f"{loss}[queue=6]" if loss == "mulsupcon" else loss
    whole = RunFolder(stage_two(tiles, tmp_path / "whole", loss=named, **options))
    real, calls = trainer.train_epoch, []

    def interrupted(*arguments: Any) -> None:
        calls.append(1)
        after = arguments[-1]

        def stop(images: int) -> None:
            after(images)
            if len(calls) == 2 and arguments[7].steps == 2:
                raise KeyboardInterrupt

        real(*arguments[:-1], stop)

    monkeypatch.setattr(trainer, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage_two(tiles, tmp_path / "parts", loss=named, save_minutes=0, **options)
    monkeypatch.setattr(trainer, "train_epoch", real)
    parts = RunFolder(stage_two(tiles, tmp_path / "parts", loss=named, resume=True, **options))
    assert [line["loss"] for line in parts.metrics()[:-1]] == [line["loss"] for line in whole.metrics()[:-1]]
    assert (whole.load_logits()[1] == parts.load_logits()[1]).all()


@pytest.mark.parametrize("loss", READERS)
def test_an_image_backbone_sees_them_too(cache_path: Path, tmp_path: Path, loss: str) -> None:
    run = RunFolder(stage_two(cache_path, tmp_path / "run", loss=loss, backbone="clip", epochs=2, batch_size=4))
    assert all(np.isfinite(line["loss"]) for line in run.metrics()[:-1])


def test_scpnet_on_embeddings_needs_tiles(cache_path: Path, tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match=r"loss scpnet sees a tile of each image, and .* --store embedding"):
        stage_two(cache_path, tmp_path / "run", loss="scpnet", backbone="linear")


@pytest.mark.parametrize("options", [{"grid": 1}, {"views": "overlap[grid=1]"}, {"views": "pyramid[levels=1]"}])
def test_a_tile_that_is_the_whole_image_is_none(blocks: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    cache = stage_one(blocks, tmp_path / "whole.h5", store="embedding", **options)
    with pytest.raises(AevlpError, match=r"loss scpnet sees a tile of each image, and .* a --grid above 1"):
        stage_two(cache, tmp_path / "run", loss="scpnet", backbone="linear")
    stage_two(cache, tmp_path / "run", loss="virtual-category", backbone="linear", epochs=1)  # which reads no tile


def test_the_relation_of_classes_comes_from_the_cache_or_the_model(
    tiles: Path, cache_path: Path, blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, scored = open_cache(tiles), open_cache(cache_path)
    assert relation_of("gpr", stored, blocks, CPU) is None
    kept, made = (relation_of("scpnet", cache, blocks, CPU) for cache in (stored, scored))
    assert kept is not None and made is not None and kept.shape == (3, 3)
    np.testing.assert_allclose(kept, made, atol=1e-5)
    np.testing.assert_allclose(np.diag(kept), 1, atol=1e-5)

    class Absent:
        what = "weights of tiny"

    monkeypatch.setattr("aevlp.pipeline.clip.encoder.absent_weights", lambda source: Absent())
    with pytest.raises(
        AevlpError, match=r"loss scpnet takes the similarity .* weights of tiny are not on this machine"
    ):
        stage_two(cache_path, tmp_path / "run", loss="scpnet", backbone="clip")


def test_a_head_alone_learns_from_a_linear_classifier_of_views() -> None:
    architecture = Architecture("linear", 4, 0, (), (), True)
    classifier = build(architecture, 3)
    outputs = seen(classifier, Views(torch.randn(2, 4), None, torch.randn(2, 4)))
    assert outputs.strong is not None
    (outputs.logits.sum() + outputs.strong.logits.sum()).backward()
    assert classifier.head.weight.grad is not None
