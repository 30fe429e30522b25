"""Style: the tutorials: `create(None, …)`, which finds the archive by its official name under `TORCH_HOME`."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from nats_bench import create

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
NAMES = {"tss": "NATS-tss-v1_0-3ffb9-simple", "sss": "NATS-sss-v1_0-50262-simple"}


def opened(space: str) -> tuple[Any, int]:
    """The api, and how many lines it says on the way: their texts have times in them."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        api = create(None, space, fast_mode=True, verbose=False)
    return api, said.getvalue().count("\n")


with tempfile.TemporaryDirectory() as home:
    os.environ["TORCH_HOME"] = home
    for space, name in NAMES.items():
        Path(home, name).symlink_to(Path(os.environ[space.upper()]).resolve())
    for space, other in (("tss", "topology"), ("sss", "size")):
        api, lines = opened(space)
        print(space, lines, len(api), api.filename, Path(api.archive_dir).name, api.fast_mode, api.verbose)
        for index in ARCHS:
            xinfo = api.get_more_info(index, "cifar100", hp="12", is_random=False)
            print(f"arch {index}: {api.arch(index)}")
            for key, value in xinfo.items():
                print(f"  {key:15s} {value}")
            cost = api.get_cost_info(index, "cifar100", hp="12")
            print("  FLOPs {flops} M, {params} M parameters, {latency} s".format(**cost))
        print(api, api.search_space_name == other, opened(other)[0].query_by_arch(ARCHS[0], "12"))
