"""LeNet, its generators and the training step of `bbh profile --config NAME`, in PyTorch.

S: weight samples, N: images, C: slices of a generator, D: weights of the network (431,080).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

CONFIGS = ("lenet-full", "lenet-sliced", "lenet-shared", "lenet-map")
# Trained parameters as `bbh train --explain-plan` prints them.
PARAMETERS = {"lenet-full": 222_334_952, "lenet-sliced": 2_461_541, "lenet-shared": 1_858_228, "lenet-map": 431_080}
IMAGES, PIXELS, CLASSES = 60_000, 28, 10
BATCH, SAMPLES, NOISE = 100, 5, 8
HIDDEN, SLOPE, NOISE_SHARE, BIAS_SHARE = (64, 256, 512), 0.1, 0.02, 0.1
SHARED_SLICES = 130
PRIOR_SCALE = 1.0


@dataclass(frozen=True)
class Spec:
    """A weight tensor of the network: shape without samples, fan-in, gain of the activation behind it."""

    name: str
    shape: tuple
    fan_in: int
    gain: float

    @property
    def is_kernel(self):
        return len(self.shape) > 1

    @property
    def elements(self):
        return math.prod(self.shape)


def lenet_specs():
    layers = (("conv1", (20, 1, 5, 5), 2.0), ("conv2", (50, 20, 5, 5), 2.0), ("fc1", (500, 800), 2.0), ("fc2", (10, 500), 1.0))
    specs = []
    for name, shape, gain in layers:
        fan_in = math.prod(shape[1:])
        specs += [Spec(f"{name}.w", shape, fan_in, gain), Spec(f"{name}.b", shape[:1], fan_in, gain)]
    return specs


SPECS = lenet_specs()


def lenet(x, weights):
    """x [N, 1, 28, 28], one tensor [S, ..] per spec -> logits [S, N, classes]. Samples are groups of one convolution."""
    w1, b1, w2, b2, w3, b3, w4, b4 = weights
    samples, images = w1.shape[0], x.shape[0]
    # The images are the same for every sample, so the first convolution has S x 20 filters and no groups.
    h = F.max_pool2d(F.relu(F.conv2d(x, w1.flatten(0, 1), b1.flatten())), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, w2.flatten(0, 1), b2.flatten(), groups=samples)), 2)
    h = h.view(images, samples, 800)
    if samples == 1:
        h = F.relu(F.linear(h[:, 0], w3[0], b3[0]))
        return F.linear(h, w4[0], b4[0])[None]
    h = F.relu(torch.baddbmm(b3[:, None], h.transpose(0, 1), w3.transpose(1, 2)))
    return torch.baddbmm(b4[:, None], h, w4.transpose(1, 2))


class Generator(torch.nn.Module):
    """An MLP from [z, one-hot(slice)] to a slice of weights."""

    def __init__(self, slices, outputs, device):
        super().__init__()
        self.register_buffer("condition", torch.eye(slices, device=device))
        widths = (NOISE + slices, *HIDDEN, outputs)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(i, o, device=device) for i, o in zip(widths, widths[1:]))
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.normal_(0.0, math.sqrt(2.0 / ((1.0 + SLOPE**2) * layer.in_features)))
                layer.bias.zero_()
            first = self.layers[0].weight
            first[:, :NOISE].normal_(0.0, math.sqrt(NOISE_SHARE / NOISE))
            first[:, NOISE:].normal_(0.0, math.sqrt(1.0 - NOISE_SHARE))

    def forward(self, z):
        """z [S, k] -> [S, C x outputs]"""
        samples, slices = z.shape[0], self.condition.shape[0]
        rows = (samples, slices, -1)
        h = torch.cat((z[:, None].expand(rows), self.condition[None].expand(rows)), 2).flatten(0, 1)
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), SLOPE)
        return self.layers[-1](h).view(samples, -1)


def distances(a, b, fused):
    """Squared distances [S, S] of the rows of a and b [S, D]. A compiler fuses the differences into their sums; without one
    they would be stored, and the product of the rows is faster."""
    if fused:
        return (a[:, None] - b[None]).square().sum(2)
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None]
    return (squares - 2.0 * (a @ b.T)).clamp_min(1e-12)


def nearest_neighbour_kl(w, far, fused):
    """w [S, D] -> D/S sum_j ln(nu_j / rho_j) + ln(S / (S - 1)), rho_j to the nearest other sample, nu_j to the nearest of S
    fresh prior draws. `far` [S, S] is infinite on its diagonal: a sample is no neighbour of itself."""
    samples, total = w.shape
    prior = PRIOR_SCALE * torch.randn_like(w)
    rho = (distances(w, w, fused) + far).amin(1)
    nu = distances(w, prior, fused).amin(1)
    return 0.5 * total / samples * (nu.log() - rho.log()).sum() + math.log(samples / (samples - 1))


class Bbh(torch.nn.Module):
    """Generated weights: one generator per tensor (whole, or sliced by output channel), or one for all."""

    def __init__(self, config, device):
        super().__init__()
        self.shared = config == "lenet-shared"
        if self.shared:
            total = sum(spec.elements for spec in SPECS)
            generators = [Generator(SHARED_SLICES, total // SHARED_SLICES, device)]
        else:
            slices = [spec.shape[0] if config == "lenet-sliced" and spec.is_kernel else 1 for spec in SPECS]
            generators = [Generator(c, spec.elements // c, device) for c, spec in zip(slices, SPECS)]
        self.generators = torch.nn.ModuleList(generators)
        self.register_buffer("far", torch.full((SAMPLES,), math.inf, device=device).diag())

    def weights(self, samples):
        """One tensor [S, ..] per spec, kernels of variance gain / fan-in at the start."""
        z = torch.randn(samples, NOISE, device=self.far.device)
        raw = [generator(z) for generator in self.generators]
        if self.shared:
            raw = raw[0].split([spec.elements for spec in SPECS], 1)
        scales = [math.sqrt(spec.gain / spec.fan_in) * (1.0 if spec.is_kernel else BIAS_SHARE) for spec in SPECS]
        return [w.reshape(samples, *spec.shape) * scale for w, spec, scale in zip(raw, SPECS, scales)]

    def terms(self, mc, fused):
        """Weights that the likelihood sees, and the KL."""
        weights = self.weights(SAMPLES)
        kl = nearest_neighbour_kl(torch.cat([w.flatten(1) for w in weights], 1), self.far, fused)
        return (weights if mc else [w[:1] for w in weights]), kl


class Map(torch.nn.Module):
    """One network; the decay of its kernels stands in the KL's place."""

    def __init__(self, device):
        super().__init__()
        self.own = torch.nn.ParameterList(
            torch.randn(1, *spec.shape, device=device) * (math.sqrt(spec.gain / spec.fan_in) if spec.is_kernel else 0.0)
            for spec in SPECS
        )

    def terms(self, _mc, _fused):
        decay = sum(0.5 * w.square().sum() for w, spec in zip(self.own, SPECS) if spec.is_kernel)
        return list(self.own), decay / PRIOR_SCALE


class Step(torch.nn.Module):
    """A training step on 60,000 images of random bytes that stay on the device."""

    def __init__(self, config, device, mc=False, fused_distances=False):
        super().__init__()
        self.method = Map(device) if config == "lenet-map" else Bbh(config, device)
        self.mc, self.fused_distances = mc, fused_distances
        images = torch.randint(0, 256, (IMAGES, PIXELS * PIXELS), dtype=torch.uint8, device=device)
        self.register_buffer("images", images)
        self.register_buffer("labels", torch.randint(0, CLASSES, (IMAGES,), device=device))
        count = sum(p.numel() for p in self.parameters())
        assert count == PARAMETERS[config], f"{config}: expected {PARAMETERS[config]} parameters as in bbh, found {count}"

    def forward(self):
        """-> loss, cross-entropy, KL of the next batch. Images are drawn with replacement, which costs less than bbh's
        permutation of an epoch."""
        chosen = torch.randint(0, IMAGES, (BATCH,), device=self.images.device)
        x = self.images[chosen].view(BATCH, 1, PIXELS, PIXELS).float() / 255.0
        weights, kl = self.method.terms(self.mc, self.fused_distances)
        logits = lenet(x, weights)
        labels = self.labels[chosen].expand(logits.shape[0], BATCH)
        cross_entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return cross_entropy + kl / IMAGES, cross_entropy.detach(), kl.detach()

    def optimizer(self):
        """Adam with bbh's constants: one fused kernel for all tensors, its step count on the device where graphs need it."""
        on_gpu = self.images.is_cuda
        return torch.optim.Adam(self.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-5, fused=True, capturable=on_gpu)
