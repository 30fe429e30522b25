"""Zero-cost proxies: scores of a network with fresh weights, by one batch, each a function of (network, batch).

A proxy gets a network of its own in training mode, fresh from the seed, and may change it; PyTorch's generator goes on
from where the weights were drawn, so that a score depends on the architecture, seed and batch alone. It returns a
number; one that is not finite is no score. Where papers and the code that scores were published from differ, these
follow the code (Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022), and say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from natsdb.training.networks import Network

# What the papers add to eigenvalues, so that none is zero, and the size of the disturbance in Zen's score.
_JACOV_K = 1e-5
_ZEN_STEP = 1e-2


class Batch(NamedTuple):
    """Training images as networks take them, normalized (B×3×H×H floats), and labels (B int64)."""

    images: Tensor
    labels: Tensor


Function = Callable[[Network, Batch], Any]


class Proxy(NamedTuple):
    """A proxy: its function, and what its score is, with the paper."""

    function: Function
    meaning: str


def synflow(network: Network, batch: Batch) -> float:
    """Synaptic flow: log Σ |θ · ∂R/∂θ| over the weights of convolutions and classifier, R the sum of the logits of an
    image of ones, with all parameters replaced by their absolute values; -inf where nothing flows.

    In float64, as the sums overflow float32 (hence the log of what is published, too), and without batch normalization,
    which would take the scale out. Of the batch only the images' size counts. Tanaka et al., NeurIPS 2020, eq. 2; as a
    score: Abdelfattah et al., ICLR 2021.
    """
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    with _each(network, nn.BatchNorm2d, lambda module, inputs, output: inputs[0]):
        _, logits = network(torch.ones_like(batch.images[:1], dtype=torch.float64))
    logits.sum().backward()
    flow = sum(float((weight * gradient).abs().sum()) for weight, gradient in _gradients(network))
    return math.log(flow) if flow > 0 else -math.inf


def snip(network: Network, batch: Batch) -> float:
    """Connection sensitivity: Σ |θ · ∂L/∂θ| over the weights of convolutions and classifier, L the mean cross entropy.

    Lee et al., ICLR 2019, eq. 5, unnormalized; as a score: Abdelfattah et al., ICLR 2021.
    """
    _loss(network, batch).backward()
    return sum(float((weight * gradient).abs().sum()) for weight, gradient in _gradients(network))


def grad_norm(network: Network, batch: Batch) -> float:
    """Σ ‖∂L/∂θ‖₂, a norm for each convolution and the classifier, L the mean cross entropy.

    Abdelfattah et al., ICLR 2021: the sum of layers' norms, as their code has it, not the norm over all.
    """
    _loss(network, batch).backward()
    return sum(float(gradient.norm()) for _, gradient in _gradients(network))


def jacov(network: Network, batch: Batch) -> float:
    """How little the images' Jacobians are correlated: −Σ (log(λ + k) + 1/(λ + k)), λ the eigenvalues of the B×B matrix
    of correlations between the gradients of each image's summed logits by its pixels, k = 1e-5.

    Mellor et al., Neural Architecture Search without Training, first version (arXiv 2006.04647v1), section 3.
    """
    network.requires_grad_(False)  # gradients of weights are not asked for, and take a third of the time
    images = batch.images.clone().requires_grad_()
    network(images)[1].sum().backward()
    assert images.grad is not None
    correlations = torch.corrcoef(images.grad.flatten(1).double())
    if not correlations.isfinite().all():  # an image on which nothing depends
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlations) + _JACOV_K
    return -float((eigenvalues.log() + 1 / eigenvalues).sum())


def nwot(network: Network, batch: Batch) -> float:
    """How differently images pass the ReLUs: log |det K|, K the B×B matrix that counts over all ReLUs in how many units
    two images are alike, both above zero or both not.

    Mellor et al., ICML 2021, section 3 (NASWOT).
    """
    alike = torch.zeros(len(batch.images), len(batch.images), dtype=torch.float64)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        above = (output.flatten(1) > 0).to(output.dtype)
        # Both above, or neither: n − a − b + 2ab, summed over units. Counts are whole, and exact in float32.
        both, each = above @ above.T, above.sum(1)
        alike.add_((above.shape[1] - each[:, None] - each[None, :] + 2 * both).to(alike))

    with torch.no_grad(), _each(network, nn.ReLU, count):
        network(batch.images)
    return float(torch.linalg.slogdet(alike).logabsdet)


def zen(network: Network, batch: Batch) -> float:
    """Log of how much the last feature maps change when the images do, Σ |f(x) − f(x + 0.01 ε)| as a mean over images,
    plus the logs of what batch normalization divided by; weights, x and ε are drawn from N(0, 1).

    Of the batch only its shape counts. Lin et al., Zen-NAS, ICCV 2021, algorithm 1; where a normalization's variance is
    meant, the mean over its channels of the one that it keeps, as in the authors' code.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight)
    images = torch.randn(batch.images.shape)
    moved = images + _ZEN_STEP * torch.randn(batch.images.shape)
    maps: list[Tensor] = []
    hook = network.lastact.register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        network(images)
        network(moved)
    hook.remove()
    change = (maps[0] - maps[1]).abs().sum((1, 2, 3)).mean().log()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return float(change + sum(module.running_var.mean().sqrt().log() for module in norms))


PROXIES: Mapping[str, Proxy] = {
    "synflow": Proxy(synflow, "log of the synaptic flow (Tanaka et al. 2020; as a score Abdelfattah et al. 2021)"),
    "nwot": Proxy(nwot, "overlap of activation patterns, without training (Mellor et al. 2021)"),
    "jacov": Proxy(jacov, "covariance of Jacobians (Mellor et al. 2021, first version)"),
    "snip": Proxy(snip, "connection sensitivity (Lee et al. 2019; as a score Abdelfattah et al. 2021)"),
    "grad_norm": Proxy(grad_norm, "sum of layers' Euclidean norms of the gradient (Abdelfattah et al. 2021)"),
    "zen": Proxy(zen, "Zen score (Lin et al. 2021)"),
}


def _loss(network: Network, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(network(batch.images)[1], batch.labels)


def _gradients(network: Network) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights of convolutions and the classifier that have a gradient, and the gradient."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.grad is not None:
                yield module.weight, module.weight.grad


@contextmanager
def _each(network: nn.Module, kind: type[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Call `hook` (module, inputs, output) after each module of a kind; what it returns takes the output's place."""
    hooks = [module.register_forward_hook(hook) for module in network.modules() if isinstance(module, kind)]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()
