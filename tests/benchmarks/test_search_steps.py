"""Weight-sharing search on tss: steps a second against a plain eager transcription, in the same run.

A step is a pair of batches, a step of the weights and one of the architecture. The plain one is as anybody writes it:
pictures through torchvision's transforms in a DataLoader, channels first, every operation of every edge one by one, and
`backward` for all gradients. The two take turns, so that other work on the machine burdens both.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from itertools import cycle, pairwise
from statistics import median
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, one_hot  # noqa: E402
from torchvision import transforms  # noqa: E402

from full_scale import Results  # noqa: E402
from natsdb.schema.datasets import DATASETS  # noqa: E402
from natsdb.schema.topology import EDGES, OPS  # noqa: E402
from natsdb.training.data import Images, TrainingData  # noqa: E402
from natsdb.training.networks import Reduction  # noqa: E402
from natsdb.training.recipe import cast  # noqa: E402
from natsdb.training.weight_sharing import ALGORITHMS, loop  # noqa: E402
from natsdb.training.weight_sharing.enas import Controller  # noqa: E402
from natsdb.training.weight_sharing.method import Epoch  # noqa: E402
from natsdb.training.weight_sharing.pairs import pairs  # noqa: E402
from natsdb.training.weight_sharing.sampled import random_cell  # noqa: E402

pytestmark = pytest.mark.slow
BATCH = 64
TSS = [name for name, of in ALGORITHMS.items() if of.space == "tss"]


class PlainCell(nn.Module):
    """Five operations on each of six edges, one by one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.edges = nn.ModuleList(
            nn.ModuleList([nn.Identity(), nn.Identity(), _conv(width, 1), _conv(width, 3), pool]) for _ in EDGES
        )

    def operation(self, edge: int, op: int, x: Any) -> Any:
        return x * 0.0 if op == 0 else self.edges[edge][op](x)

    def nodes(self, x: Any, edge: Callable[[int, Any], Any]) -> Any:
        nodes = [x]
        for node in (1, 2, 3):
            nodes.append(sum(edge(n, nodes[source]) for n, (to, source) in enumerate(EDGES) if to == node))
        return nodes[3]

    def mixed(self, x: Any, shares: Any) -> Any:
        return self.nodes(
            x, lambda edge, y: sum(self.operation(edge, op, y) * shares[edge, op] for op in range(len(OPS)))
        )

    def chosen(self, x: Any, ops: list[int]) -> Any:
        return self.nodes(x, lambda edge, y: self.operation(edge, ops[edge], y))

    def straight_through(self, x: Any, ops: list[int], hard: Any) -> Any:
        def edge(n: int, y: Any) -> Any:
            return sum(
                hard[n, op] * self.operation(n, op, y) if op == ops[n] else hard[n, op] for op in range(len(OPS))
            )

        return self.nodes(x, edge)


class Plain(nn.Module):
    """The supernet, as it is described."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        widths = [16] * 5 + [32] * 6 + [64] * 6
        self.cells = nn.ModuleList(PlainCell(b) if a == b else Reduction(a, b) for a, b in pairwise([16, *widths]))
        self.head = nn.Sequential(_norm(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x: Any, way: Callable[[PlainCell, Any], Any]) -> Any:
        x = self.stem(x)
        for cell in self.cells:
            x = way(cell, x) if isinstance(cell, PlainCell) else cell(x)
        return self.head(x)


def _norm(width: int) -> nn.Module:
    return nn.BatchNorm2d(width, affine=False, track_running_stats=False)


def _conv(width: int, kernel: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, kernel, padding=kernel // 2), _norm(width))


def _plain(name: str, data: TrainingData) -> Callable[[], None]:
    net, alphas = Plain(), nn.Parameter(1e-3 * torch.randn(6, 5))
    controller, draw = Controller(), torch.Generator()
    weights = torch.optim.SGD(net.parameters(), 0.025, 0.9, nesterov=True, weight_decay=5e-4)
    adam = torch.optim.Adam([alphas], 3e-4, (0.5, 0.999), weight_decay=1e-3)
    batches = cycle(zip(_loader(data.train, data), _loader(data.evals["x-valid"], data), strict=True))

    def loss(batch: Any, way: Callable[[PlainCell, Any], Any], of: nn.Module = net) -> Any:
        return cross_entropy(of(batch[0], way), batch[1])

    def mixed() -> Any:
        shares = alphas.softmax(1)
        return lambda cell, x: cell.mixed(x, shares)

    def sampled() -> Any:
        noise = -torch.empty(6, 5).exponential_().log()
        soft = ((alphas.log_softmax(1) + noise) / 10).softmax(1)
        hard = one_hot(soft.argmax(1), 5) - soft.detach() + soft
        ops = soft.argmax(1).tolist()
        return lambda cell, x: cell.straight_through(x, ops, hard)

    def one(ops: list[int]) -> Any:
        return lambda cell, x: cell.chosen(x, ops)

    def second_order(train: Any, arch: Any) -> None:
        gradients = torch.autograd.grad(loss(train, mixed()), list(net.parameters()))
        there = copy.deepcopy(net)
        with torch.no_grad():
            for p, q, g in zip(net.parameters(), there.parameters(), gradients, strict=True):
                q.sub_(0.025 * (0.9 * weights.state[p]["momentum_buffer"] + g + 5e-4 * p))
        adam.zero_grad()
        loss(arch, mixed(), there).backward()
        direction = [q.grad for q in there.parameters()]
        radius = 0.01 / torch.cat([g.flatten() for g in direction]).norm()
        sides = []
        for move in (radius, -2 * radius, radius):
            with torch.no_grad():
                for p, g in zip(net.parameters(), direction, strict=True):
                    p.add_(move * g)
            if len(sides) < 2:
                sides.append(torch.autograd.grad(loss(train, mixed()), [alphas])[0])
        alphas.grad -= 0.025 * (sides[0] - sides[1]) / (2 * radius)

    def step() -> None:
        train, arch = next(batches)
        if name == "gdas":
            way = sampled()
        elif name == "setn":
            way = one(torch.randint(5, (6,)).tolist())
        elif name == "rsps":
            way = lambda cell, x: cell.chosen(x, random_cell(draw))  # noqa: E731
        elif name == "enas":
            way = one(controller(draw).ops)
        else:
            way = mixed()
        weights.zero_grad()
        loss(train, way).backward()
        weights.step()
        if name in ("rsps", "enas"):
            with torch.no_grad():
                loss(arch, way)
            return
        weights.zero_grad()
        adam.zero_grad()
        if name == "darts-v2":
            second_order(train, arch)
        else:
            loss(arch, sampled() if name == "gdas" else mixed()).backward()
        adam.step()

    return step


def _loader(images: Images, data: TrainingData) -> Any:
    mean, std = DATASETS["cifar10"].mean, DATASETS["cifar10"].std
    augment = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(32, padding=4),
            transforms.ToTensor(),
            transforms.Normalize([v / 255 for v in mean], [v / 255 for v in std]),
        ]
    )
    pictures = [(image, int(label)) for image, label in zip(images.pixels, images.labels, strict=True)]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, at: int) -> Any:
            return augment(pictures[at][0]), pictures[at][1]

    # Endless, so that no epoch's end falls into a measurement.
    def batches() -> Iterator[Any]:
        while True:
            yield from torch.utils.data.DataLoader(Pictures(), BATCH, shuffle=True)

    return batches()


def _own(name: str, data: TrainingData) -> Callable[[], None]:
    under_way = loop.start(ALGORITHMS[name], ALGORITHMS[name].options, 777, data)
    method = under_way.method.train()

    def batches() -> Iterator[Any]:
        for number in range(1 << 15):
            yield from pairs(data, Epoch(777, number, 100), BATCH)

    endless = batches()
    method.begin(Epoch(777, 0, 100))

    def step() -> None:
        train, arch = ((cast(images, "float32"), labels) for images, labels in next(endless))
        loop.step(method, under_way.weights, train, arch)

    return step


def _seconds(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


@pytest.fixture(scope="module")
def data() -> TrainingData:
    draw = torch.Generator().manual_seed(1)
    parts = [
        Images(
            torch.randint(256, (640, 3, 32, 32), generator=draw, dtype=torch.uint8),
            torch.randint(10, (640,), generator=draw),
        )
        for _ in range(2)
    ]
    mean, std = (
        torch.tensor([v / 255 for v in of]).view(3, 1, 1) for of in (DATASETS["cifar10"].mean, DATASETS["cifar10"].std)
    )
    return TrainingData("cifar10-valid", 10, parts[0], {"x-valid": parts[1]}, mean, std, 4, "made up")


@pytest.mark.parametrize("name", TSS)
def test_steps_a_second(benchmark: Any, results: Results, name: str, data: TrainingData) -> None:
    torch.manual_seed(1)
    plain, own = _plain(name, data), _own(name, data)
    _seconds(plain), _seconds(own)
    spent: list[float] = []
    mine: list[float] = []

    def both() -> None:
        spent.append(_seconds(plain))
        mine.append(_seconds(own))

    # Sampled architectures differ in cost: many rounds.
    benchmark.pedantic(both, rounds=3 if name.startswith("darts") else 15)
    before, after = 1 / median(spent), 1 / median(mine)
    said = f"cpu, {torch.get_num_threads()} threads, batches of {BATCH}"
    results.add(f"{name}, {said}: plain, natsdb", f"{before:.2f}, {after:.2f} steps/s: {after / before:.2f} ×", "")
