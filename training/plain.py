"""The source of one network as a plain PyTorch file, which needs nothing but torch."""

from __future__ import annotations

from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import arch_str, space_of
from natsdb.schema.topology import EDGES

_HEAD = '''"""{title}

A network of NATS-Bench (Dong et al., TPAMI 2021) for {dataset}: {classes} classes, images of {height}×{height} pixels.
The names of its parameters are the official ones, so official weights load: `net.load_state_dict(state)`.
"""

import torch
from torch import nn


class ReLUConvBN(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return self.op(x)
'''
_SKIP = """

class Skip(nn.Module):
    def forward(self, x):
        return x
"""
_WIDER = '''

class ConvBN(nn.Module):
    """A skip connection between layers of different widths."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.bn(self.conv(x))
'''
_ZERO = """

class Zero(nn.Module):
    def forward(self, x):
        return x * 0.0
"""
_REST = '''

class Cell(nn.Module):
    """Nodes 0 (input) to 3 (output); each is the sum of the operations on its edges from earlier nodes."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layers = nn.ModuleList([
{operations}
        ])

    def forward(self, x):
        a, b, c, d, e, f = self.layers
        node1 = a(x)
        node2 = b(x) + c(node1)
        return d(x) + e(node1) + f(node2)


class Reduction(nn.Module):
    """Halves height and width."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv_a = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.conv_b = ReLUConvBN(outputs, outputs, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x):
        return self.downsample(x) + self.conv_b(self.conv_a(x))


class Net(nn.Module):
    """Normalized images N×3×{height}×{height} → features N×{width} and logits N×{classes}."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, {first}, 3, padding=1, bias=False), nn.BatchNorm2d({first}))
        self.cells = nn.ModuleList([
{cells}
        ])
        self.lastact = nn.Sequential(nn.BatchNorm2d({width}), nn.ReLU())
        self.classifier = nn.Linear({width}, {classes})

    def forward(self, images):
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        features = nn.functional.adaptive_avg_pool2d(self.lastact(x), 1).flatten(1)
        return features, self.classifier(features)


# Of a pixel's red, green and blue from 0 to 1: subtract the first, divide by the second.
MEAN = {mean}
STD = {std}


def load(path):
    """The network with the weights of a file that `natsdb model … -o FILE.pt` wrote, or of a state dict."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    net = Net()
    net.load_state_dict(found.get("state_dict", found))
    return net.eval()


if __name__ == "__main__":
    net = Net().eval()
    features, logits = net(torch.zeros(1, 3, {height}, {height}))
    print(tuple(features.shape), tuple(logits.shape), sum(p.numel() for p in net.parameters()))
'''


def plain_source(space: str, arch: int, dataset: str) -> str:
    """A Python file that has the network of an architecture for a data set, without weights.

    Raises:
        NatsdbError: there is no such architecture, the space says nothing of its networks, or the size of the data
            set's images is not known.
    """
    text, of = arch_str(space, arch), space_of(space)
    if of.skeleton is None:
        raise NatsdbError(f"it is not known what the networks of {space} are made of", remedy="give it a `skeleton`")
    made, data = of.skeleton(text), DATASETS[dataset]
    pairs = list(zip([made.widths[0], *made.widths], made.widths, strict=False))
    # A skip in a cell that changes the width is another module; only these cells have it.
    wider = any(a != b for at, (a, b) in enumerate(pairs) if at not in made.reductions)
    operations = []
    for op, (to, source) in zip(made.ops, EDGES, strict=True):
        inputs = "inputs" if source == 0 else "outputs"
        call = {
            "none": "Zero()",
            "skip_connect": f"ConvBN({inputs}, outputs) if {inputs} != outputs else Skip()"
            if wider and source == 0
            else "Skip()",
            "avg_pool_3x3": "nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)",
            "nor_conv_1x1": f"ReLUConvBN({inputs}, outputs, 1)",
            "nor_conv_3x3": f"ReLUConvBN({inputs}, outputs, 3)",
        }[op]
        operations.append(f"            {call},  # {to} from {source}: {op}")
    cells = [
        f"            {'Reduction' if at in made.reductions else 'Cell'}({a}, {b})," for at, (a, b) in enumerate(pairs)
    ]
    head = _HEAD + (_SKIP if "skip_connect" in made.ops else "") + (_WIDER if wider else "")
    return (head + (_ZERO if "none" in made.ops else "") + _REST).format(
        title=f"{space}/{arch}: {text}",
        dataset=dataset,
        classes=data.classes,
        height=data.height,
        width=made.widths[-1],
        first=made.widths[0],
        operations="\n".join(operations),
        cells="\n".join(cells),
        mean=tuple(round(value / 255, 6) for value in data.mean),
        std=tuple(round(value / 255, 6) for value in data.std),
    )
