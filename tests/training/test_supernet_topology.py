"""The supernet of tss against the authors' package and the single networks, and its methods' gradients written out."""

from __future__ import annotations

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
models = pytest.importorskip(
    "xautodl.models", reason="the oracle is not installed: pip install --no-deps xautodl==1.0.0"
)

from torch.nn.functional import cross_entropy  # noqa: E402
from xautodl.models.cell_searchs.generic_model import GenericNAS201Model  # noqa: E402
from xautodl.models.cell_searchs.genotypes import Structure  # noqa: E402

from natsdb.schema.spaces import SPACES, arch_str  # noqa: E402
from natsdb.schema.topology import EDGES, OPS, skeleton  # noqa: E402
from natsdb.training.networks import Network, network  # noqa: E402
from natsdb.training.weight_sharing.darts import Darts2  # noqa: E402
from natsdb.training.weight_sharing.gdas import Gdas, gumbel_sample  # noqa: E402
from natsdb.training.weight_sharing.loop import weight_optimizer  # noqa: E402
from natsdb.training.weight_sharing.method import Epoch, Options  # noqa: E402
from natsdb.training.weight_sharing.topology import (  # noqa: E402
    CONV1,
    CONV3,
    LEAVING,
    NONE,
    SearchCell,
    Supernet,
    arch_of,
    every_ops,
)
from natsdb.training.weight_sharing.topology_method import chosen, mixed  # noqa: E402

KEYS = [f"{target}<-{source}" for target, source in EDGES]
# All of one operation, among them cells that compute nothing; and some of chance.
ARCHS = [*(arch_of([op] * 6) for op in range(5)), *random.Random(3).sample(range(SPACES["tss"].size), 15)]


def _theirs(width: int = 4, cells: int = 1, algorithm: str = "gdas") -> Any:
    net = GenericNAS201Model(width, cells, 4, 10, list(OPS), False, False)
    net.set_algo(algorithm)
    return net


def _operations(theirs: Any, ours: Supernet) -> list[tuple[Any, SearchCell, int, int]]:
    """Each convolution of theirs, with the cell, edge and operation that is its place in ours."""
    return [
        (there.edges[key][op].op[1], here, edge, op)
        for there, here in zip(theirs._cells, ours.cells, strict=True)
        if isinstance(here, SearchCell)
        for edge, key in enumerate(KEYS)
        for op in (CONV1, CONV3)
    ]


def _others(theirs: Any, ours: Supernet) -> list[tuple[Any, Any]]:
    """Modules outside the cells."""
    reductions = [
        (there, here) for there, here in zip(theirs._cells, ours.cells, strict=True) if not isinstance(here, SearchCell)
    ]
    return [(theirs._stem, ours.stem), *reductions, (theirs.classifier, ours.classifier)]


@torch.no_grad()
def _copy(theirs: Any, ours: Supernet) -> None:
    for conv, cell, edge, op in _operations(theirs, ours):
        cell.weight(edge, op).copy_(conv.weight)
    for there, here in _others(theirs, ours):
        here.load_state_dict(there.state_dict())


def _gradient(cell: SearchCell, edge: int, op: int) -> Any:
    source = EDGES[edge][1]
    whole = (cell.conv1 if op == CONV1 else cell.conv3)[source].grad
    place = LEAVING[source].index(edge)
    return whole.chunk(len(LEAVING[source]))[place]


def _near(mine: Any, other: Any, tolerance: float) -> None:
    other = torch.zeros_like(mine) if other is None else other
    assert (mine - other).abs().max().item() <= tolerance * max(1.0, other.abs().max().item())


def _compare(theirs: Any, ours: Supernet, way: Any, alphas: Any, dtype: Any, tolerance: float) -> None:
    """Logits, and gradients of all weights and of the parameters, in training; then logits in evaluation."""
    draw = torch.Generator().manual_seed(5)
    images = torch.randn(8, 3, 16, 16, generator=draw, dtype=torch.float64).to(dtype)
    labels = torch.randint(10, (8,), generator=draw)
    theirs.zero_grad()
    for parameter in ours.parameters():
        parameter.grad = torch.zeros_like(parameter)
    expected = theirs.train()(images)[1]
    found = ours.train()(images, way)
    _near(found, expected, tolerance)
    loose = tolerance if dtype == torch.float64 else 100 * tolerance
    for logits in (expected, found):
        cross_entropy(logits, labels).backward()
    for conv, cell, edge, op in _operations(theirs, ours):
        _near(_gradient(cell, edge, op), conv.weight.grad, loose)
    for there, here in _others(theirs, ours):
        for mine, other in zip(here.parameters(), there.parameters(), strict=True):
            _near(mine.grad, other.grad, loose)
        for mine, other in zip(here.buffers(), there.buffers(), strict=True):
            _near(mine, other, loose)
    if alphas is not None:
        _near(alphas.grad, theirs.arch_parameters.grad, loose)
    with torch.no_grad():
        _near(ours.eval()(images, way), theirs.eval()(images)[1], tolerance)


def _both(dtype: Any, **size: int) -> tuple[Any, Supernet]:
    torch.manual_seed(1)
    theirs = _theirs(**size)
    ours = Supernet(10, size.get("width", 4), size.get("cells", 1))
    _copy(theirs, ours)
    return theirs.to(dtype), ours.to(dtype, memory_format=torch.channels_last)


# In float32 sums in another order differ by 1e-6, and their normalization of a constant, where ours has zero, leaves
# some 1e-5 in gradients: float64 decides.
PRECISIONS = [(torch.float64, 1e-12), (torch.float32, 5e-6)]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_mixture_equals_the_authors(dtype: Any, tolerance: float) -> None:
    theirs, ours = _both(dtype, width=8, cells=2)
    with torch.no_grad():
        theirs.arch_parameters.mul_(1000)
    alphas = theirs.arch_parameters.detach().clone().requires_grad_()
    theirs.set_cal_mode("joint")
    _compare(theirs, ours, lambda cell, x: cell.mixed(x, alphas.softmax(1)), alphas, dtype, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("arch", ARCHS)
def test_one_architecture_equals_the_authors(arch: int, dtype: Any, tolerance: float) -> None:
    theirs, ours = _both(dtype)
    theirs.set_cal_mode("dynamic", Structure.str2structure(arch_str("tss", arch)))
    _compare(theirs, ours, chosen(every_ops()[arch]), None, dtype, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("arch", ARCHS)
def test_the_straight_through_pass_equals_the_authors(arch: int, dtype: Any, tolerance: float) -> None:
    theirs, ours = _both(dtype)
    alphas = theirs.arch_parameters.detach().clone().requires_grad_()
    ops = torch.tensor(every_ops()[arch])

    def hard(of: Any) -> Any:
        soft = (of * 300).softmax(1)
        return torch.nn.functional.one_hot(ops, 5).to(soft) - soft.detach() + soft

    theirs.normalize_archp = lambda: (hard(theirs.arch_parameters), None, ops[:, None], "")
    theirs.set_cal_mode("gdas")
    way = lambda cell, x: cell.straight_through(x, ops.tolist(), hard(alphas))  # noqa: E731
    _compare(theirs, ours, way, alphas, dtype, tolerance)


def test_the_oracle_would_notice_two_edges_exchanged() -> None:
    theirs, ours = _both(torch.float64)
    with torch.no_grad():
        one, two = ours.cells[0].weight(1, CONV3), ours.cells[0].weight(3, CONV3)
        kept = one.clone()
        one.copy_(two)
        two.copy_(kept)
    theirs.set_cal_mode("joint")
    alphas = theirs.arch_parameters.detach()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert (ours(images, mixed(alphas.softmax(1))) - theirs(images)[1]).abs().max() > 1e-4


def test_initial_draws_equal_the_authors() -> None:
    torch.manual_seed(777)
    theirs = _theirs(16, 5)
    torch.manual_seed(777)
    ours = Gdas(Supernet(10), Options())
    for conv, cell, edge, op in _operations(theirs, ours.net):
        assert torch.equal(cell.weight(edge, op), conv.weight)
    for there, here in _others(theirs, ours.net):
        assert list(there.state_dict()) == list(here.state_dict())
        assert all(map(torch.equal, here.state_dict().values(), there.state_dict().values()))
    assert torch.equal(ours.alphas, theirs.arch_parameters)


@pytest.mark.parametrize("arch", ARCHS[3:10])
def test_one_hot_shares_equal_the_single_network(arch: int) -> None:
    single = Network(*skeleton(arch_str("tss", arch), 8, 2), 10).double()
    _same_as_single(single, Supernet(10, 8, 2).double(), arch, 16)


@pytest.mark.parametrize("arch", [1462, 11])
def test_one_hot_shares_equal_the_single_network_at_full_size(arch: int) -> None:
    _same_as_single(network("tss", arch, 10).double(), Supernet(10).double(), arch, 32)


def _same_as_single(single: Any, ours: Supernet, arch: int, height: int) -> None:
    ops = every_ops()[arch]
    with torch.no_grad():
        for there, here in zip(single.cells, ours.cells, strict=True):
            if not isinstance(here, SearchCell):
                here.load_state_dict(there.state_dict())
                continue
            for edge, op in enumerate(ops):
                if op in (CONV1, CONV3):
                    here.weight(edge, op).copy_(there.layers[edge].op[1].weight)
        ours.stem.load_state_dict(single.stem.state_dict())
        ours.classifier.load_state_dict(single.classifier.state_dict())
        images = torch.randn(4, 3, height, height, dtype=torch.float64)
        expected = single.train()(images)[1]
        one_hot = torch.nn.functional.one_hot(torch.tensor(ops), 5).double()
        for way in (mixed(one_hot), chosen(ops), lambda cell, x: cell.straight_through(x, ops, one_hot)):
            _near(ours.train()(images, way), expected, 1e-6)


def test_edges_that_are_dead_have_no_gradient() -> None:
    net = Supernet(10, 4, 1)
    weight_optimizer_of(net)
    # Node 1 has an operation, but nothing that leaves it reaches the output.
    ops = [CONV3, CONV3, NONE, CONV1, NONE, CONV3]
    cross_entropy(net(torch.randn(4, 3, 8, 8), chosen(ops)), torch.tensor([0, 1, 2, 3])).backward()
    cell = net.cells[0]
    moved = [(edge, op) for edge in range(6) for op in (CONV1, CONV3) if _gradient(cell, edge, op).any()]
    assert moved == [(1, CONV3), (3, CONV1), (5, CONV3)]


def weight_optimizer_of(net: Supernet) -> Any:
    return weight_optimizer(Gdas(net, Options()))


def test_the_second_order_equals_exact_differentiation_through_the_step() -> None:
    torch.manual_seed(2)
    method = Darts2(Supernet(10, 2, 1), Options()).double()
    weights = weight_optimizer(method)
    method.train()
    draw = torch.Generator().manual_seed(3)
    train, arch = (
        (torch.randn(8, 3, 8, 8, generator=draw, dtype=torch.float64), torch.randint(10, (8,), generator=draw))
        for _ in range(2)
    )
    method.begin(Epoch(1, 0, 2))
    for _ in range(3):  # so that there is momentum
        weights.zero_grad(set_to_none=False)
        method.weight_loss(*train)[0].backward()
        weights.step()
    for group in weights.param_groups:
        group["lr"] = 0.3  # so that the second order is no small part
    names = [name for name, _ in method.net.named_parameters()]
    parameters = [parameter.detach().clone().requires_grad_() for parameter in method.net.parameters()]
    alphas = method.alphas.detach().clone().requires_grad_()

    def loss(values: list[Any], batch: Any) -> Any:
        named = dict(zip(names, values, strict=True))
        way = mixed(alphas.softmax(1))
        return cross_entropy(torch.func.functional_call(method.net, named, (batch[0], way)), batch[1])

    gradients = torch.autograd.grad(loss(parameters, train), parameters, create_graph=True)
    momenta = [weights.state[parameter]["momentum_buffer"] for parameter in method.net.parameters()]
    moved = [p - 0.3 * (0.9 * m + g + 5e-4 * p) for p, g, m in zip(parameters, gradients, momenta, strict=True)]
    value = loss(moved, arch)
    (exact,) = torch.autograd.grad(value, [alphas])
    fixed = [one.detach() for one in moved]
    (first_order,) = torch.autograd.grad(loss(fixed, arch), [alphas])
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    scale = (exact - first_order).abs().max().item()
    assert scale > 1e-4
    for reach, tolerance in ((1e-4, 1e-6), (1e-6, 1e-8)):
        found, there, _ = method.unrolled(arch, train, weights, reach)
        assert (found - exact).abs().max().item() < tolerance * scale
        assert abs(there.item() - value.item()) < 1e-12
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_gdas_samples_by_gumbel_max_with_the_gradient_of_the_softmax() -> None:
    draw = torch.Generator().manual_seed(4)
    alphas = torch.randn(6, 5, generator=draw, dtype=torch.float64).requires_grad_()
    ops, hard = gumbel_sample(alphas, 0.7, torch.Generator().manual_seed(9))
    again = torch.empty(6, 5, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(9))
    soft = ((alphas.log_softmax(1) - again.log()) / 0.7).softmax(1)
    assert ops == soft.argmax(1).tolist()
    _near(hard, torch.nn.functional.one_hot(torch.tensor(ops), 5).double(), 1e-15)
    factor = torch.randn(6, 5, dtype=torch.float64)
    (found,) = torch.autograd.grad((hard * factor).sum(), [alphas])
    (expected,) = torch.autograd.grad((soft * factor).sum(), [alphas])
    assert torch.equal(found, expected)
    counts = torch.zeros(6, 5)
    with torch.no_grad():
        for _ in range(4000):
            counts[range(6), gumbel_sample(alphas, 0.1, draw)[0]] += 1
    assert (counts / 4000 - alphas.softmax(1)).abs().max() < 0.04


def test_gdas_gradient_equals_every_operation_written_out() -> None:
    """One cell: each edge gives Σ h·op over the sampled operation and h alone for the others."""
    torch.manual_seed(6)
    cell = SearchCell(3).double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    ops = [3, 0, 2, 1, 4, 3]
    hard = torch.nn.functional.one_hot(torch.tensor(ops), 5).double().requires_grad_()

    def operation(op: int, edge: int, y: Any) -> Any:
        if op in (CONV1, CONV3):
            y = torch.nn.functional.conv2d(y.relu(), cell.weight(edge, op), padding=op - CONV1)
            return (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()
        pool = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        return {0: y * 0, 1: y, 4: pool(y)}[op]

    nodes = [x]
    for node in (1, 2, 3):
        total = torch.zeros_like(x)
        for edge, (target, source) in enumerate(EDGES):
            if target == node:
                for op in range(5):
                    term = operation(op, edge, nodes[source]) if op == ops[edge] else 1
                    total = total + term * hard[edge, op]
        nodes.append(total)
    found = cell.straight_through(x, ops, hard)
    _near(found, nodes[3], 1e-12)
    factor = torch.randn_like(x)
    (mine,), (other,) = (torch.autograd.grad((value * factor).sum(), [hard]) for value in (found, nodes[3]))
    _near(mine, other, 1e-11)
    assert other.abs().min() >= 0
    assert (other != 0).sum() > 20
