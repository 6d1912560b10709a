#!/usr/bin/env python3
"""The training step of `bbh profile --config resnet-map` on the CPU in PyTorch: `resnet.py resnet-map [--mode eager|compile]`.

The residual network of arXiv 1711.01297 for 24x24 crops of CIFAR5, instance norm, batch 100, weight decay, fused Adam. Crops
are ready-made: bbh's step cuts, flips and standardises its own. Prints one JSON line: "ms", the median over --seconds, and
"rss_gib".
"""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCH, CLASSES, SIDE, IMAGES = 100, 5, 24, 20_000
DEPTH, FILTERS, SCALES = 5, 16, 3
EPSILON = 1e-3
# Trained parameters as `bbh train --explain-plan` prints them.
PARAMETERS = 464_965


class Unit(nn.Module):
    """Norm, ReLU, convolution, norm, ReLU, convolution; shortcut by average pool and zero channels."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norm1 = nn.InstanceNorm2d(inputs, eps=EPSILON, affine=True)
        self.norm2 = nn.InstanceNorm2d(outputs, eps=EPSILON, affine=True)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.stride, self.before = stride, (outputs - inputs) // 2
        self.behind = outputs - inputs - self.before

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        if self.before + self.behind:
            x = F.pad(x, (0, 0, 0, 0, self.before, self.behind))
        return x + y


class ResNet(nn.Module):
    """Images [N, 3, 24, 24] -> logits [N, 5]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, FILTERS, 3, 1, 1)
        units, inputs = [], FILTERS
        for scale in range(SCALES):
            for unit in range(DEPTH):
                units.append(Unit(inputs, FILTERS << scale, 2 if unit == 0 else 1))
                inputs = FILTERS << scale
        self.units = nn.Sequential(*units)
        self.norm = nn.InstanceNorm2d(inputs, eps=EPSILON, affine=True)
        self.fc1 = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        return self.fc1(F.relu(self.norm(self.units(self.conv1(x)))).mean((2, 3)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", choices=["resnet-map"])
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--seconds", type=float, default=12.0)
    args = parser.parse_args()
    torch.manual_seed(0)
    network = ResNet()
    count = sum(p.numel() for p in network.parameters())
    assert count == PARAMETERS, f"expected {PARAMETERS} parameters as in bbh, found {count}"
    kernels = [p for p in network.parameters() if p.dim() > 1]
    loss = nn.CrossEntropyLoss()
    run = torch.compile(network) if args.mode == "compile" else network
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-5, fused=True)
    x, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(0, CLASSES, (BATCH,))

    def step():
        adam.zero_grad()
        decay = sum(0.5 * p.square().sum() for p in kernels) / IMAGES
        (loss(run(x), labels) + decay).backward()
        adam.step()

    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < args.seconds or len(times) < 7:
        before = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - before))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"ms": statistics.median(times), "repeats": len(times), "rss_gib": peak}))


if __name__ == "__main__":
    main()
