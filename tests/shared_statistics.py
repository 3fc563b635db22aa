"""What torchrun runs for test_shared_statistics: one process's outputs, gradients and buffers beside those of several."""

import copy
import json
import sys

import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from aevlp.pipeline.training.sync_batch_norm import share_statistics

dist.init_process_group("gloo")
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 8, 3),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    BatchNormAct2d(8),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.BatchNorm1d(8, momentum=None, affine=False),
    nn.Linear(8, 4),
).double()
alone = copy.deepcopy(network)
share_statistics(network)
inputs, wanted = torch.randn(5, 3, 9, 9, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
start, stop = json.loads(sys.argv[1])[dist.get_rank()]
worst = 0.0
for _ in range(3):
    found, expected = network(inputs[start:stop]), alone(inputs)
    for outputs, targets, net in ((found, wanted[start:stop], network), (expected, wanted, alone)):
        net.zero_grad()
        (outputs - targets).square().sum().backward()
    for mine, theirs in zip(network.parameters(), alone.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        dist.all_reduce(mine.grad)
        worst = max(worst, (mine.grad - theirs.grad).abs().max().item())
    for mine, theirs in zip(network.buffers(), alone.buffers(), strict=True):
        worst = max(worst, (mine.double() - theirs.double()).abs().max().item())
    if stop > start:
        worst = max(worst, (found - expected[start:stop]).abs().max().item())
same = torch.equal(network.eval()(inputs), network.eval()(inputs)) and list(network.state_dict()) == list(
    alone.state_dict()
)
print(json.dumps({"worst": worst, "same": same}))
dist.destroy_process_group()
