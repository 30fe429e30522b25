"""Cells as objects: `TopologyStructure` and the way from a string to it, as in `nats_bench.genotype_utils`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

_SEQUENCE = (list, tuple)


def topology_str2structure(xstr: Any) -> TopologyStructure:
    """A cell from its string, such as `|nor_conv_3x3~0|+|none~0|skip_connect~1|`."""
    return TopologyStructure.str2structure(xstr)


def nodes_of(text: str) -> Iterator[list[tuple[str, int]]]:
    """For each node of a cell's string its edges: (operation, number of the node that it comes from).

    Raises:
        AssertionError: an edge has no `~`, or two.
    """
    for node in text.split("+"):
        edges = [edge for edge in node.split("|") if edge]
        for edge in edges:
            assert len(edge.split("~")) == 2, f"invalid input length : {edge}"
        yield [(op, int(source)) for op, source in (edge.split("~") for edge in edges)]


class TopologyStructure:
    """A cell: for each node but the first, the operations on the edges into it.

    Raises:
        AssertionError: the genotype is no sequence of non-empty sequences of (operation, earlier node).
    """

    def __init__(self, genotype: Sequence[Sequence[tuple[str, int]]]) -> None:
        assert isinstance(genotype, _SEQUENCE), f"invalid class of genotype : {type(genotype)}"
        self.node_num = len(genotype) + 1
        self.nodes: list[tuple[tuple[str, int], ...]] = []
        self.node_N: list[int] = []
        for idx, node_info in enumerate(genotype):
            assert isinstance(node_info, _SEQUENCE), f"invalid class of node_info : {type(node_info)}"
            assert len(node_info) >= 1, f"invalid length : {len(node_info)}"
            for node_in in node_info:
                assert isinstance(node_in, _SEQUENCE), f"invalid class of in-node : {type(node_in)}"
                right = len(node_in) == 2 and node_in[1] <= idx
                assert right, f"invalid in-node : {node_in}"
            self.node_N.append(len(node_info))
            self.nodes.append(tuple(deepcopy(node_info)))

    def tolist(self, remove_str: str | None) -> tuple[list[tuple[tuple[str, int], ...]] | None, bool]:
        """Nodes with their edges sorted, those of one operation left out; (None, False) when a node loses all."""
        genotypes = []
        for node in self.nodes:
            kept = tuple(edge for edge in sorted(node, key=lambda edge: (edge[1], edge[0])) if edge[0] != remove_str)
            if not kept:
                return None, False
            genotypes.append(kept)
        return genotypes, True

    def node(self, index: int) -> tuple[tuple[str, int], ...]:
        """Edges by position in `nodes`, as the official method has it.

        Raises:
            AssertionError, IndexError: there is no such node.
        """
        assert 0 < index <= len(self), f"invalid index={index} < {len(self)}"
        return self.nodes[index]

    def tostr(self) -> str:
        """The cell's string."""
        return "+".join("|" + "|".join(f"{op}~{source}" for op, source in node) + "|" for node in self.nodes)

    def check_valid(self) -> bool:
        """Whether anything of the input reaches the output."""
        alive = {0: True}
        for number, node in enumerate(self.nodes, start=1):
            alive[number] = any(op != "none" and alive[source] for op, source in node)
        return alive[len(self.nodes)]

    def to_unique_str(self, consider_zero: bool | None = False) -> str:
        """The output as an expression: cells with equal ones compute the same function.

        Args:
            consider_zero: True: `none`, and any operation on nothing, is `#`; False: `none` is an operation like
                others; None: `skip_connect` is one too.
        """
        exprs = {0: "0"}
        for number, node in enumerate(self.nodes, start=1):
            terms = []
            for op, source in node:
                if consider_zero and (op == "none" or exprs[source] == "#"):
                    terms.append("#")
                elif consider_zero is not None and op == "skip_connect":
                    terms.append(exprs[source])
                else:
                    terms.append(f"({exprs[source]})@{op}")
            exprs[number] = "+".join(sorted(terms))
        return exprs[len(self.nodes)]

    def check_valid_op(self, op_names: Sequence[str]) -> bool:
        """Whether all operations are among these."""
        return all(op in op_names for node in self.nodes for op, _ in node)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.node_num} nodes with {self.tostr()})"

    def __len__(self) -> int:
        return len(self.nodes) + 1

    def __getitem__(self, index: int) -> tuple[tuple[str, int], ...]:
        return self.nodes[index]

    @staticmethod
    def str2structure(xstr: Any) -> TopologyStructure:
        """A cell from its string; a cell is returned as it is.

        Raises:
            AssertionError: it is no string, or an edge is malformed.
        """
        if isinstance(xstr, TopologyStructure):
            return xstr
        assert isinstance(xstr, str), f"must take string (not {type(xstr)}) as input"
        return TopologyStructure([tuple(node) for node in nodes_of(xstr)])

    @staticmethod
    def str2fullstructure(xstr: str, default_name: str = "none") -> TopologyStructure:
        """A cell from a string that may leave edges out: these get the default operation; edges are sorted.

        Like the official method it adds edges from the nodes before the last possible one only.

        Raises:
            AssertionError: it is no string, or an edge is malformed.
        """
        assert isinstance(xstr, str), f"must take string (not {type(xstr)}) as input"
        genotypes = []
        for number, node in enumerate(nodes_of(xstr)):
            given = {source for _, source in node}
            every = [*node, *((default_name, source) for source in range(number) if source not in given)]
            genotypes.append(tuple(sorted(every, key=lambda edge: (edge[1], edge[0]))))
        return TopologyStructure(genotypes)

    @staticmethod
    def gen_all(search_space: Sequence[str], num: int, return_ori: bool) -> list[Any]:
        """All cells of `num` nodes, the last edge's operation fastest; as plain lists if `return_ori`.

        (The official method of nats_bench 1.8 calls a function that it lacks.)

        Raises:
            AssertionError: the operations are no sequence, or there are fewer than two nodes.
        """
        assert isinstance(search_space, _SEQUENCE), f"invalid class of search-space : {type(search_space)}"
        assert num >= 2, f"There should be at least two nodes in a neural cell instead of {num}"
        choices = [
            [tuple(zip(ops, range(node), strict=True)) for ops in itertools.product(search_space, repeat=node)]
            for node in range(1, num)
        ]
        every = [list(nodes) for nodes in itertools.product(*choices)]
        return every if return_ori else [TopologyStructure(nodes) for nodes in every]
