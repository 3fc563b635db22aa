"""SCPNet against the published program: one step, several with its table, and its text graph."""

from typing import Any

import numpy as np
import pytest
import torch

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss
from aevlp.pipeline.losses.label_consistency import class_confidence, consistency
from aevlp.pipeline.losses.structured_prior import StructuredPrior
from goldens import load

CASES = load("scpnet")


def of(prefix: str) -> list[str]:
    return [name for name in CASES if name.startswith(prefix)]


@pytest.mark.parametrize("name", of("consistency"))
def test_the_consistency_equals_the_published_one(name: str) -> None:
    case = CASES[name]
    given = float(case["reweight_p"]), float(case["T"])
    smoothed, _ = aevlp.relation_matrices(case["relation"], int(case["sparse_topk"]), *given)
    np.testing.assert_allclose(smoothed, case["smoothed"], rtol=2e-4, atol=1e-6)
    strong, weak = (torch.from_numpy(case[f"logits_{view}"]).double() for view in ("strong", "weak"))
    value, labels = consistency(
        strong.requires_grad_(),
        weak.requires_grad_(),
        torch.from_numpy(case["observed"]),
        torch.from_numpy(case["smoothed"]),
        torch.from_numpy(case["class_confidence"]),
        int(case["hard_k"]),
        float(case["p_cutoff"]),
        float(case["kl_lambda"]),
    )
    np.testing.assert_allclose(value.detach(), case["loss"], rtol=1e-9)
    np.testing.assert_array_equal(labels.int(), case["labels"])
    of_strong, of_weak = torch.autograd.grad(value, (strong, weak), allow_unused=True)
    np.testing.assert_allclose(of_strong, case["grad_strong"], rtol=1e-6, atol=1e-9)
    assert of_weak is None


@pytest.mark.parametrize("name", of("steps"))
def test_steps_with_the_table_equal_the_published_ones(name: str) -> None:
    case = CASES[name]
    observed = torch.from_numpy(case["observed"])
    loss = StructuredPrior(
        observed.shape[1],
        observed,
        hard_k=int(case["hard_k"]),
        cutoff=float(case["p_cutoff"]),
        kl_lambda=float(case["kl_lambda"]),
        lambda_u=float(case["lambda_u"]),
    )
    loss.smoothed = torch.from_numpy(case["smoothed"])
    assert loss.selected is not None
    for step, epoch in enumerate(case["epochs_from_0"]):
        confidence = class_confidence(loss.selected, loss.hard_k)
        np.testing.assert_allclose(confidence, case["class_confidence"][step], rtol=1e-6)
        loss.set_epoch(int(epoch) + 1, 10)
        rows = torch.from_numpy(case["rows"][step])
        plain, weak, strong = (
            torch.from_numpy(case[f"logits_{view}"][step]).double() for view in ("plain", "weak", "strong")
        )
        value = loss(
            plain.requires_grad_(),
            Targets(observed=observed[rows], rows=rows, mirrored=weak, strong=strong.requires_grad_()),
        )
        np.testing.assert_allclose(value.detach(), case["losses"][step], rtol=1e-9)
        of_plain, of_strong = torch.autograd.grad(value, (plain, strong))
        np.testing.assert_allclose(of_plain, case["grad_plain"][step], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(of_strong, case["grad_strong"][step], rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(loss.selected, case["selected"][step])


@pytest.mark.parametrize("name", of("forward"))
def test_logits_of_its_text_graph(name: str) -> None:
    case = CASES[name]
    weights = (case[f"W{number}"] for number in (1, 2, 3))
    text = case["text_features"] + aevlp.gcn_residual(case["text_features"], case["adjacency"], *weights)
    scale = np.exp(case["log_scale"]) if str(case["scale"]) == "clip" else float(case["scale"])
    units = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (case["image_features"], text))
    image, classes = units
    np.testing.assert_allclose(scale * image @ classes.T, case["logits"], rtol=1e-4, atol=1e-5)


def test_a_class_that_became_a_label_more_often_has_the_higher_threshold() -> None:
    assert class_confidence(torch.zeros(5, 4, dtype=torch.int8), 2).tolist() == [0.25] * 4
    selected = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], dtype=torch.int8)
    assert class_confidence(selected, 1).tolist() == [1, 0.5, 0.25, 0.25]
    assert class_confidence(selected, 4).tolist() == [4 / 9, 0.25, 0.25, 0.25]  # 9 of 16 places are free


def test_an_observed_negative_becomes_no_label() -> None:
    strong, weak = torch.zeros(1, 3, requires_grad=True), torch.full((1, 3), 9.0)
    _, labels = consistency(
        strong, weak, torch.tensor([[-1, 0, 1]]), torch.eye(3), torch.ones(3), hard_k=3, kl_lambda=0.0
    )
    assert labels.tolist() == [[False, True, True]]


def test_a_relation_of_labels_teaches_a_class_what_its_neighbours_are() -> None:
    relation = np.array([[1, 0.9, 0.1], [0.9, 1, 0.1], [0.1, 0.1, 1]], dtype=np.float32)
    observed = torch.tensor([[1, 0, 0]])
    weak, strong = torch.tensor([[5.0, -5, -5]]), torch.zeros(1, 3, requires_grad=True)
    known = Targets(observed=observed, mirrored=weak, strong=strong)
    slopes = {}
    for name, given in (("with", relation), ("without", None)):
        value = create_loss("scpnet", 3, relation=given, reweight=0.5)(torch.zeros(1, 3), known)
        slopes[name] = torch.autograd.grad(value, strong)[0][0]
    assert slopes["with"][1] < slopes["without"][1]
    assert slopes["with"][1] < slopes["with"][2]


@pytest.mark.parametrize(
    "constant",
    [{"hard_k": 0}, {"cutoff": 1.1}, {"cutoff": -0.1}, {"kl_lambda": -1}, {"lambda_u": -0.1}, {"relation": np.eye(4)}],
)
def test_a_constant_out_of_range_is_a_mistake(constant: dict[str, Any]) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss scpnet must be "):
        create_loss("scpnet", 3, **constant)


def test_its_constants_and_those_of_each_benchmark() -> None:
    assert constants("scpnet") == {
        "hard_k": 2, "cutoff": 0.95, "kl_lambda": 1.0, "lambda_u": 0.125, "sparse_topk": 1000, "reweight": 0.2,
        "relation_temperature": 0.2, "tau": 0.6, "change_epoch": 1, "margin": 1.0, "gamma": 2.0,
    }  # fmt: skip
    manifest = aevlp.load_manifest()
    for name, hard_k, kl_lambda in (("voc", 5, 2), ("coco", 2, 1), ("nuswide", 6, 1), ("cub", 31, 3)):
        spec = manifest[name]
        assert spec.text_graph is not None
        assert spec.losses["scpnet"] == {
            "hard_k": hard_k,
            "kl_lambda": kl_lambda,
            "sparse_topk": spec.text_graph.sparse_topk,
            "reweight": spec.text_graph.reweight,
            "relation_temperature": spec.text_graph.temperature,
        }
