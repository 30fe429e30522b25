"""A step as a CUDA graph: its hundreds of small kernels become one launch, and the GPU need not wait for Python.

Written after PyTorch's notes on CUDA semantics, "Whole-network capture".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Batches that run as they are before one is captured: libraries set themselves up, the optimizer makes its momenta.
WARM_UP = 3


class Captured:
    """A step that is captured after its first calls and replayed from then on, for batches of the captured size.

    Batches of another size, as the last of a pass, run as they are. What a call returns holds until the next call.
    Numbers that Python holds stay what they were at the capture; what changes, as the learning rate, is a tensor.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        self._step = step
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.cuda.device(pixels.device):
            self._calls += 1
            if self._calls <= WARM_UP:
                return self._aside(pixels, labels)
            if self._graph is None:
                self._graph = self._capture(pixels, labels)
            if pixels.shape != self._pixels.shape:
                return self._step(pixels, labels)
            self._pixels.copy_(pixels)
            self._labels.copy_(labels)
            self._graph.replay()
            return self._returned

    def _aside(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Run on a side stream, as the capture will: autograd remembers on which stream it first met a weight."""
        main, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            returned = self._step(pixels, labels)
        main.wait_stream(side)
        for tensor in (pixels, labels):
            tensor.record_stream(side)
        for tensor in returned:
            tensor.record_stream(main)
        return returned

    def _capture(self, pixels: Tensor, labels: Tensor) -> torch.cuda.CUDAGraph:
        """Record the step's kernels over copies of the batch; nothing runs yet."""
        self._pixels, self._labels = pixels.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._returned = self._step(self._pixels, self._labels)
        return graph
