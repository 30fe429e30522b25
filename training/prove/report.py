"""What was found, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from natsdb.training.prove.plan import ALONE, ARCHITECTURES, SPEARMAN, STACKED

STEPS = {
    1: "The same numbers as float64 on the CPU",
    2: "Speed of a topology of mean cost",
    3: "Published accuracies",
    4: "GDAS",
}


def markdown(known: dict[str, Any]) -> str:
    """The text of `proof.md` from what `proof.json` holds."""
    machine, tasks = known["machine"], known["tasks"]
    cuda = machine["device"].startswith("cuda")
    told = {name: of["found"] for name, of in tasks.items() if of["found"]}
    done = {name: of["found"] for name, of in tasks.items() if of["state"] == "done"}
    lines = [f"# Proof of the GPU path: {machine['card']}", ""]
    if not cuda:
        lines += ["**On a CPU: a tiny version, which shows that the command works. Its figures say nothing.**", ""]
    names = ("driver", "memory_gib", "torch", "cuda", "cudnn", "torchvision", "numpy", "pyarrow", "python")
    said = ", ".join(f"{name} {machine[name]}" for name in names if machine.get(name))
    lines += [
        f"{said}; natsdb {machine['natsdb']}, commit {machine['commit'] or 'unknown'}, code {machine['code']}.",
        f"Pictures: {'' if machine['real_pictures'] else 'made up, '}{machine['pictures']}.",
        "",
        "## Goals",
        "",
        *_table(("goal", "found", ""), _goals(done, told, cuda)),
        "",
        f"## 1. {STEPS[1]}",
        "",
        *_table(("way", "precision", "largest difference", "bound", ""), _same(told)),
        "",
        f"## 2. {STEPS[2]}",
        "",
        *_speed(told),
        "",
        f"## 3. {STEPS[3]}",
        "",
        *_agreement(told, known.get("left_out", {})),
        "",
        f"## 4. {STEPS[4]}",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in told.get("GDAS", {}).items()),
    ]
    wrong = [(name, of["state"], of["reason"], f"{of['seconds']:.0f}") for name, of in tasks.items() if of["reason"]]
    wrong += [(name, "not begun", reason, "") for name, reason in known.get("left_out", {}).items()]
    if wrong:
        lines += ["", "## Not done", "", *_table(("task", "", "why", "after s"), wrong)]
    return "\n".join(lines) + "\n"


def _goals(done: dict[str, Any], told: dict[str, Any], cuda: bool) -> list[tuple[object, ...]]:
    whole = done.get("12 epochs alone", {})
    stacks = [of for of in done.values() if of.get("runs", 1) > 1 and "images_a_second" in of]
    best: dict[str, Any] = min(stacks, key=lambda of: of["seconds_a_run"], default={})
    agreed = told.get("published accuracies", {})
    spearman, count = agreed.get("spearman"), agreed.get("architectures", 0)
    single = [of["seconds_a_run"] for of in done.values() if of.get("runs") == 1 and of.get("channels_last")]
    # Measured over all 12 epochs; failing that, from the seconds of single steps.
    alone, side = whole.get("training_seconds", min(single, default=None)), best.get("seconds_a_run")
    rows: list[tuple[str, object, bool | None]] = [
        (
            f"12 epochs of 50,000 images alone: ≤ {ALONE} s",
            _with(alone, "s"),
            None if alone is None else alone <= ALONE,
        ),
        (f"a run side by side: ≤ {STACKED} s", _with(side, "s"), None if side is None else side <= STACKED),
        (
            f"Spearman ≥ {SPEARMAN} over ≥ {ARCHITECTURES}",
            "" if spearman is None else f"{spearman} over {count}",
            None if spearman is None else spearman >= SPEARMAN and count >= ARCHITECTURES,
        ),
    ]
    word = {None: "not yet known", True: "reached", False: "missed"}
    return [(goal, found, word[reached]) if cuda else (goal, "", "needs a GPU") for goal, found, reached in rows]


def _same(told: dict[str, Any]) -> list[tuple[object, ...]]:
    own = told.get("reference", {}).get("own_error", {})
    rows: list[tuple[object, ...]] = [("the CPU's own", of, f"{error:.1e}", "", "") for of, error in own.items()]
    for name, found in told.items():
        for precision, of in found.get("precisions", {}).items():
            off = f"{of['error']:.1e}" if "error" in of else of["reason"]
            word = "same" if of["same"] else "**not the same**"
            rows.append((name.removeprefix("same numbers: "), precision, off, f"{of['bound']:.1e}", word))
    return rows


def _speed(told: dict[str, Any]) -> list[str]:
    rows = {name: of for name, of in told.items() if "images_a_second" in of}
    lines = []
    if "memory bandwidth" in told:
        lines += [f"A copy moves {told['memory bandwidth']['gigabytes_a_second']:,} GB/s.", ""]
    columns = ("", "runs", "images/s", "ms a step", "12 epochs, s a run", "of the bandwidth", "GiB", "set-up, s")
    lines += _table(
        columns,
        [
            (
                name,
                of["runs"],
                f"{of['images_a_second']:,.0f}",
                of["milliseconds_a_step"],
                of["seconds_a_run"],
                f"{of['share_of_bandwidth']:.0%}" if "share_of_bandwidth" in of else "",
                of.get("peak_gib", ""),
                of["set_up_seconds"],
            )
            for name, of in rows.items()
        ],
    )
    if whole := told.get("12 epochs alone"):
        lines += [
            "",
            f"As `natsdb train` runs it ({whole['precision']}, {whole['step']}), {whole['epochs']} epochs of "
            f"{whole['images']:,} images: {whole['training_seconds']} s of training, {whole['evaluation_seconds']} s "
            f"of evaluation, {whole['seconds']} s with all; accuracy {whole['accuracy']:.2f} %.",
        ]
    for runs in ("alone", "side by side"):
        some = [(name, of) for name, of in rows.items() if (of["runs"] > 1) == (runs != "alone") and "kernels" in of]
        if some:
            name, of = max(some, key=lambda pair: pair[1]["images_a_second"])
            lines += [
                "",
                f"Kernels of the fastest {runs}, {name}: {of['busy_milliseconds_a_step']} ms of "
                f"{of['milliseconds_a_step']} ms a step.",
                "",
                *_table(("kernel", "%", "ms a step", "calls a step"), ((f"`{k[0]}`", *k[1:]) for k in of["kernels"])),
            ]
    return lines


def _agreement(told: dict[str, Any], left_out: dict[str, str]) -> list[str]:
    name = "published accuracies"
    if name in left_out and name not in told:
        return [f"Left out: {left_out[name]}."]
    found = told.get(name)
    if not found:
        return []
    lines = [
        f"- {key.replace('_', ' ')}: {value}"
        for key, value in found.items()
        if key not in ("rows", "failed", "seconds_a_run") and value is not None
    ]
    lines += [f"- failed: {arch}, {reason}" for arch, reason in found["failed"].items()]
    return [*lines, "", *_table(("topology", "published %", "found %"), found["rows"])]


def _with(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value} {unit}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    whole = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in whole]
