"""Zero-cost proxies: by hand on networks of two layers, and against the published scores."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from torch import Tensor, nn  # noqa: E402

import natsdb.scoring  # noqa: E402
from natsdb.schema.spaces import arch_index  # noqa: E402
from natsdb.store.locations import BUILTIN  # noqa: E402
from natsdb.training.networks import network  # noqa: E402
from natsdb.training.untrained.proxies import PROXIES, Batch, grad_norm, jacov, nwot, snip, synflow, zen  # noqa: E402

NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


class TwoLayers(nn.Module):
    """A 1×1 convolution of one pixel, normalization if it is wanted, ReLU, a linear classifier."""

    def __init__(self, weights: list[list[float]], classifier: list[list[float]], *, norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, len(weights), 1, bias=False)
        self.norm = nn.BatchNorm2d(len(weights)) if norm else nn.Identity()
        self.lastact = nn.Sequential(nn.ReLU())
        self.classifier = nn.Linear(len(weights), len(classifier))
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor(weights)[:, :, None, None])
            self.classifier.weight.copy_(torch.tensor(classifier))
            self.classifier.bias.zero_()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.lastact(self.norm(self.conv(images))).flatten(1)
        return features, self.classifier(features)


W, V = [[1.0, -2.0, 0.5], [-3.0, 1.0, 0.0]], [[2.0, -1.0], [-1.0, 4.0]]


def _batch(rows: list[list[float]], labels: list[int]) -> Batch:
    return Batch(torch.tensor(rows)[:, :, None, None], torch.tensor(labels))


def _by_hand(x: list[float], label: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the cross entropy of one image by the weights of both layers, by the chain rule."""
    w, v, image = np.array(W), np.array(V), np.array(x)
    before = w @ image
    hidden = np.maximum(before, 0)
    logits = v @ hidden
    error = np.exp(logits) / np.exp(logits).sum() - np.eye(2)[label]
    return np.outer(v.T @ error * (before > 0), image), np.outer(error, hidden)


@pytest.mark.parametrize("norm", [False, True])
def test_synflow_is_the_log_of_what_flows_through_absolute_weights(norm: bool) -> None:
    # By each layer the flow is counted once: Σ |V| |W| 1 = (2+1)·3.5 + (1+4)·4, normalization left out.
    found = synflow(TwoLayers(W, V, norm=norm), _batch([[9.0, 9.0, 9.0]] * 2, [0, 0]))
    assert found == pytest.approx(math.log(2 * (3 * 3.5 + 5 * 4)), rel=1e-12)


def test_snip_and_grad_norm_are_those_of_the_chain_rule() -> None:
    x = [1.0, -1.0, 2.0]
    of_w, of_v = _by_hand(x, 1)
    assert np.abs(of_w).sum() > 0
    wanted = np.abs(of_w * W).sum() + np.abs(of_v * V).sum()
    assert snip(TwoLayers(W, V), _batch([x], [1])) == pytest.approx(wanted, rel=1e-6)
    norms = np.linalg.norm(of_w) + np.linalg.norm(of_v)  # a norm a layer, summed
    assert grad_norm(TwoLayers(W, V), _batch([x], [1])) == pytest.approx(norms, rel=1e-6)


def test_the_loss_is_a_mean_over_the_batch() -> None:
    x = [1.0, -1.0, 2.0]
    both = grad_norm(TwoLayers(W, V), _batch([x, x], [1, 1]))
    assert both == pytest.approx(grad_norm(TwoLayers(W, V), _batch([x], [1])), rel=1e-6)


def test_jacov_of_two_images() -> None:
    # Gradients of the summed logits: an image that passes both units, and one that passes the first only.
    rows = np.array([np.array(V).sum(0) @ np.array(W), np.array(V).sum(0)[0] * np.array(W)[0]])
    r = np.corrcoef(rows)[0, 1]
    wanted = -sum(math.log(1 + s * r + 1e-5) + 1 / (1 + s * r + 1e-5) for s in (1, -1))
    found = jacov(TwoLayers(W, V), _batch([[-1.0, 0.0, 4.0], [1.0, -1.0, 0.0]], [0, 1]))
    assert found == pytest.approx(wanted, rel=1e-5)
    assert abs(r) < 0.99


def test_nwot_counts_units_that_are_alike() -> None:
    # (1, 1) against (1, 0): two units alike of each with itself, one of one with the other; det ((2, 1), (1, 2)) = 3.
    found = nwot(TwoLayers(W, V), _batch([[-1.0, 0.0, 4.0], [1.0, -1.0, 0.0]], [0, 1]))
    assert found == pytest.approx(math.log(3))
    assert nwot(TwoLayers(W, V), _batch([[1.0, -1.0, 0.0]] * 2, [0, 1])) == -math.inf


def test_zen_adds_the_logs_of_what_normalization_divided_by() -> None:
    batch = _batch([[0.0, 0.0, 0.0]] * 8, [0] * 8)
    found = []
    for norm in (False, True):
        two = TwoLayers(W, V, norm=norm)
        torch.manual_seed(3)
        found.append(zen(two, batch))
    torch.manual_seed(3)
    weights = nn.init.normal_(torch.empty(2, 3, 1, 1))
    nn.init.normal_(torch.empty(2, 2))
    x, more = torch.randn(8, 3, 1, 1), torch.randn(8, 3, 1, 1)
    before = [torch.einsum("oi,bi->bo", weights[:, :, 0, 0], one[:, :, 0, 0]) for one in (x, x + 0.01 * more)]
    change = (before[0].relu() - before[1].relu()).abs().sum(1).mean().log()
    assert found[0] == pytest.approx(float(change), rel=1e-3)
    kept = torch.ones(2)  # what normalization keeps: 0.9 of what it had, 0.1 of the batch's variance
    normal = []
    for one in before:
        kept = 0.9 * kept + 0.1 * one.var(0)
        normal.append(((one - one.mean(0)) / (one.var(0, unbiased=False) + 1e-5).sqrt()).relu())
    change = (normal[0] - normal[1]).abs().sum(1).mean().log()
    assert found[1] == pytest.approx(float(change + kept.mean().sqrt().log()), rel=1e-3)


def test_cells_in_which_nothing_flows_have_no_score_or_zero() -> None:
    batch = Batch(torch.randn(4, 3, 32, 32), torch.arange(4))
    found = {}
    for name, proxy in PROXIES.items():
        torch.manual_seed(1)
        found[name] = float(proxy.function(network("tss", arch_index("tss", NONE), 10), batch))
    assert found["synflow"] == -math.inf
    assert not any(math.isfinite(found[name]) for name in ("jacov", "nwot", "zen"))
    assert found["snip"] == 0  # only the classifier's bias has a gradient


def test_ranks_of_twenty_topologies_are_those_that_are_published() -> None:
    known = natsdb.query(
        "select arch, synflow, nwot from zero_cost where dataset = 'cifar10' and nwot > 0", BUILTIN
    ).sort("arch")
    chosen = known.sample(20, seed=4)
    # Small pictures of noise: ranks hardly depend on them.
    batch = Batch(torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(8))
    for name in ("synflow", "nwot"):
        found = []
        for arch in chosen["arch"].to_list():
            torch.manual_seed(777)
            found.append(PROXIES[name].function(network("tss", arch, 10), batch))
        assert spearmanr(found, chosen[name]).statistic > 0.9


@pytest.mark.slow
def test_ranks_of_two_hundred_topologies_are_those_that_are_published(test_data: Path, tmp_path: Path) -> None:
    known = natsdb.query("select * from zero_cost where dataset = 'cifar10' and nwot > 0", BUILTIN).sort("arch")
    archs = random.Random(1).sample(known["arch"].to_list(), 200)
    natsdb.scoring.score(",".join(PROXIES), "tss", archs, data=test_data / "images", db=tmp_path / "db")
    for name in PROXIES:
        least = 0.95 if name in ("synflow", "zen") else 0.9  # of the others each batch says something else
        pairs = natsdb.query(
            f"select s.{name} as ours, z.{name} as theirs from scored as s inner join zero_cost as z "
            "using (space, arch, dataset)",
            tmp_path / "db",
        )
        assert len(pairs) == 200
        assert spearmanr(pairs["ours"], pairs["theirs"]).statistic > least, name
