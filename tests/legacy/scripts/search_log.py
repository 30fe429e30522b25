"""Style: the end of a search log: what `query_by_arch`, `query_info_str_by_arch` and `show` print."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

from nats_bench import create

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]


class Genotype:
    """What a weight-sharing search ends with."""

    def __init__(self, nodes: list[tuple[tuple[str, int], ...]]) -> None:
        self.nodes = nodes

    def tostr(self) -> str:
        return "+".join("|" + "|".join(f"{op}~{source}" for op, source in node) + "|" for node in self.nodes)


class Logger:
    """Numbers its lines, as files of logs do."""

    def __init__(self) -> None:
        self.lines = 0

    def log(self, text: Any) -> None:
        for line in str(text).split("\n"):
            self.lines += 1
            print(f"{self.lines:04d} {line}")


def quiet_create(path: str, space: str) -> Any:
    """Open with the default `verbose=True`: what it says has times in it, so it goes elsewhere."""
    with contextlib.redirect_stdout(io.StringIO()):
        api = create(path, space, fast_mode=True)
        api.get_more_info(ARCHS[0], "cifar10", hp="12", is_random=False)
        api.query_index_by_arch(api.arch(ARCHS[0]))
    api.verbose = False
    return api


logger = Logger()
api = quiet_create(os.environ["TSS"], "tss")
for index in ARCHS:
    genotype = Genotype(api.str2lists(api[index]))
    logger.log(f"searched {genotype.tostr()}, index {api.query_index_by_arch(genotype)}")
    logger.log(api.query_by_arch(genotype, "200"))
    logger.log(api.query_by_arch(genotype.tostr(), "12"))
    logger.log(api.query_by_arch(index, hp="12") == api.query_info_str_by_arch(index))
    logger.log(api.query_info_str_by_arch(index, "200"))
    api.show(index)

size = quiet_create(os.environ["SSS"], "size")
for index in ARCHS:
    for hp in ("01", "12", "90"):
        logger.log(size.query_info_str_by_arch(size[index], hp))
    logger.log("{}".format(size.query_by_arch(index, "90")))
    size.show(index)

for each in (api, size):
    each.show(len(each))
    logger.log(repr(each).replace(str(each.filename), "ARCHIVE"))
    logger.log(
        f"{type(each).__name__}: {len(each.evaluated_indexes)}, {sorted(each.evaluated_indexes) == sorted(ARCHS)}"
    )
    logger.log(f"hps {sorted(each.avaliable_hps)} {sorted(each._avaliable_hps)} {type(each.avaliable_hps).__name__}")
