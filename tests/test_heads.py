"""Heads against loops written from their formulas, and a training with each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call, stage_two

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.training import heads
from aevlp.pipeline.training.classifier import Architecture, build, create_timm
from aevlp.pipeline.training.inputs import EmbeddingInputs
from aevlp.pipeline.training.run_folder import RunFolder


def test_boosted_scores_equal_loops_over_places() -> None:
    torch.manual_seed(0)
    head, maps = heads.create("boostlu", 3, 2), torch.randn(4, 3, 2, 5)
    assert isinstance(head, heads.BoostedHead)
    logits = head(maps)
    for i in range(4):
        for c in range(2):
            total = 0.0
            for y in range(2):
                for x in range(5):
                    score = (head.weight[c] @ maps[i, :, y, x] + head.bias[c]).item()
                    total += 5 * score if score > 0 else score
            assert logits[i, c].item() == pytest.approx(total / 10, rel=1e-5)


def test_a_boosted_head_without_positive_scores_is_a_linear_head_on_pooled_features() -> None:
    torch.manual_seed(1)
    maps = torch.rand(2, 3, 4, 4)
    boosted = heads.create("boostlu", 3, 2)
    assert isinstance(boosted, heads.BoostedHead)
    torch.nn.init.constant_(boosted.weight, -0.5)
    torch.nn.init.constant_(boosted.bias, -0.1)
    pooled = torch.nn.functional.linear(maps.mean(dim=(2, 3)), boosted.weight, boosted.bias)
    torch.testing.assert_close(boosted(maps), pooled)
    torch.testing.assert_close(
        boosted(-4 * maps), 5 * torch.nn.functional.linear(-4 * maps.mean((2, 3)), boosted.weight, boosted.bias)
    )


def test_a_latent_head_reads_the_mean_when_it_is_judged_and_samples_when_it_trains() -> None:
    torch.manual_seed(2)
    head, features = heads.create("latent", 6, 3), torch.randn(1, 6)
    assert isinstance(head, heads.LatentHead)
    mean, deviation = head.latent(features)
    assert mean.shape == deviation.shape == (1, 3, heads.LATENT_WIDTH)
    assert (deviation >= np.exp(-6)).all() and (deviation <= np.exp(6)).all()
    plain = head.eval()(features)
    torch.testing.assert_close(plain, (mean * head.weight).sum(-1) + head.bias)
    assert torch.equal(plain, head(features))
    drawn = torch.cat([head.train()(features) for _ in range(4000)]).detach()
    spread = (deviation**2 * head.weight**2).sum(-1).sqrt()[0] / 10**0.5  # of the mean of 10 samples, read out
    torch.testing.assert_close(drawn.mean(0), plain[0].detach(), rtol=0, atol=4 * spread.max().item() / 4000**0.5)
    torch.testing.assert_close(drawn.std(0), spread.detach(), rtol=0.06, atol=0)


def test_all_outputs_of_a_classifier_belong_together() -> None:
    torch.manual_seed(3)
    for head in ("linear", "latent"):
        classifier = build(Architecture("linear", 6, 0, (), (), True, head=head), 3).eval()
        inputs = torch.randn(5, 6)
        outputs = classifier(inputs, all_outputs=True)
        assert torch.equal(classifier(inputs), outputs.logits)
        assert torch.equal(outputs.features, classifier.backbone(inputs))
        assert (outputs.latent is None) == (head == "linear")


def test_the_features_of_a_boosted_head_are_the_pooled_map() -> None:
    torch.manual_seed(4)
    _, classifier = create_timm("resnet10t", "random", 3, 32, True, "boostlu")
    inputs = torch.randn(2, 3, 32, 32)
    outputs = classifier.eval()(inputs, all_outputs=True)
    torch.testing.assert_close(outputs.features, classifier.backbone(inputs))
    assert outputs.logits.shape == (2, 3)


def test_a_boosted_head_is_trained_kept_and_loaded(cache_path: Path, tmp_path: Path) -> None:
    options = {"backbone": "resnet10t", "weights": "random", "head": "boostlu", "loss": "ll-r", "epochs": 1}
    run = RunFolder(stage_two(cache_path, tmp_path / "run", **options))
    classifier, architecture, _ = run.load_best()
    assert architecture.head == "boostlu" and isinstance(classifier.head, heads.BoostedHead)
    assert run.settings()["recipe"]["head"] == "boostlu"
    assert call("evaluate", run.path, "--workers", 0) == 0


def test_mime_takes_its_latent_head_by_itself(cache_path: Path, tmp_path: Path) -> None:
    run = RunFolder(stage_two(cache_path, tmp_path / "run", backbone="linear", loss="mime", epochs=3))
    classifier, architecture, _ = run.load_best()
    assert architecture.head == "latent"
    logits = classifier(
        next(EmbeddingInputs(np.ones((1, 1, 16), np.float32), torch.device("cpu")).batches(np.array([0]), 1))[1]
    )
    assert logits.shape == (1, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"backbone": "linear", "head": "boostlu"},
            "--head boostlu needs a backbone with a feature map .* linear has none",
        ),
        (
            {"backbone": "clip", "head": "boostlu"},
            "--head boostlu needs a backbone with a feature map .* clip has none",
        ),
        (
            {"backbone": "vit_tiny_patch16_224", "weights": "random", "head": "boostlu"},
            "--head boostlu needs a backbone with a feature map",
        ),
        ({"backbone": "linear", "head": "round"}, "unknown head 'round': known are "),
        ({"backbone": "linear", "head": "linear", "loss": "mime"}, "loss mime needs --head latent, found linear"),
    ],
)
def test_a_head_that_does_not_fit_is_one_clear_line(
    cache_path: Path, tmp_path: Path, options: dict, expected: str
) -> None:
    with pytest.raises(AevlpError, match=expected):
        stage_two(cache_path, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
