"""Single pieces of a step and of an evaluation: convolutions per sample, normals, copies, products, predictions."""

import torch
import torch.nn.functional as F

import networks

# Images of a prediction, posterior samples, and images of one batch of it.
TEST_IMAGES, POSTERIOR = 10_000, 100
GROUPED_BATCH, LOOP_BATCH = 100, 2_000


def per_sample_conv(device, samples, grouped):
    """LeNet's second convolution with filters of their own for each sample: [N, S x 20, 12, 12] -> [N, S x 50, 8, 8], as one
    grouped convolution or one convolution after another. -> (forward, forward and both gradients), FLOP of the forward."""
    shape = (networks.BATCH, samples * 20, 12, 12) if grouped else (samples, networks.BATCH, 20, 12, 12)
    x = torch.randn(shape, device=device, requires_grad=True)
    w = torch.randn(samples, 50, 20, 5, 5, device=device, requires_grad=True)
    b = torch.randn(samples, 50, device=device, requires_grad=True)

    def forward():
        if grouped:
            return F.conv2d(x, w.flatten(0, 1), b.flatten(), groups=samples)
        return torch.stack([F.conv2d(*sample) for sample in zip(x, w, b)])

    with torch.no_grad():
        seed = torch.randn_like(forward())

    def forward_only():
        with torch.no_grad():
            forward()

    def with_gradients():
        torch.autograd.grad(forward(), (x, w, b), seed)

    flop = 2.0 * samples * networks.BATCH * 50 * 64 * 20 * 25
    return (forward_only, with_gradients), flop


def normals(device, count):
    """Writes `count` standard normals. -> work, bytes written."""
    target = torch.empty(count, device=device)
    return target.normal_, 4.0 * count


def fill(device, count):
    """Writes zeros: the rate that memory is written at. -> work, bytes written."""
    target = torch.empty(count, device=device)
    return target.zero_, 4.0 * count


def copy(device, count):
    """-> work, bytes read and written."""
    source, target = torch.zeros(count, device=device), torch.empty(count, device=device)
    return (lambda: target.copy_(source)), 8.0 * count


def product(device, size, dtype):
    """A square matrix product. -> work, FLOP."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return (lambda: torch.mm(a, b, out=out)), 2.0 * size**3


class Predict:
    """Mean class probabilities of test images over posterior samples of the shared generator, the drawing of the samples
    included: all samples at once as groups of a convolution, or one network after another on larger batches."""

    def __init__(self, device, images, samples):
        self.bbh = networks.Bbh("lenet-shared", device)
        self.samples = samples
        self.images = torch.randint(0, 256, (images, 784), dtype=torch.uint8, device=device)

    def _batches(self, size):
        for batch in self.images.split(size):
            yield batch.view(-1, 1, 28, 28).float() / 255.0

    @torch.no_grad()
    def grouped(self):
        weights = self.bbh.weights(self.samples)
        return torch.cat([networks.lenet(x, weights).softmax(2).mean(0) for x in self._batches(GROUPED_BATCH)])

    @torch.no_grad()
    def loop(self):
        weights = self.bbh.weights(self.samples)
        means = []
        for x in self._batches(LOOP_BATCH):
            networks_of = ([w[s : s + 1] for w in weights] for s in range(self.samples))
            means.append(sum(networks.lenet(x, network)[0].softmax(1) for network in networks_of) / self.samples)
        return torch.cat(means)
