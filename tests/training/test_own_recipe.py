"""Recipes of one's own: what they change, and where their rows go."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.ingest import collect  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training.data import load  # noqa: E402
from natsdb.training.recipe import OFFICIAL, Recipe, Together, read_recipe, start  # noqa: E402
from natsdb.training.run import settings_of, train  # noqa: E402
from natsdb.training.run_files import runs_of  # noqa: E402


def _file(folder: Path, text: str, name: str = "fast.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _epochs(pictures: Path, recipe: Recipe, epochs: int = 2) -> list[float]:
    """Losses of a short training."""
    data = load("cifar10-valid", pictures, images=24, flip=recipe.flip, crop=recipe.crop)
    training = start("sss", 0, 777, data, recipe=recipe)
    alone = Together([training], "float32")
    every = [alone.train_epoch(data, [777], epochs)[0] for _ in range(epochs)]
    return [one.loss for measured in every for one in measured.values()]


def test_what_a_file_does_not_name_is_official(tmp_path: Path) -> None:
    assert read_recipe(_file(tmp_path, "")) == OFFICIAL
    assert read_recipe(_file(tmp_path, "batch = 64\nlearning_rate = 1")) == replace(
        OFFICIAL, batch=64, learning_rate=1.0
    )
    every = "\n".join(f"{name} = {json.dumps(value)}" for name, value in asdict(OFFICIAL).items())
    assert read_recipe(_file(tmp_path, every)) == OFFICIAL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rat = 0.1", "a recipe has no 'learning_rat'; did you mean learning_rate"),
        ("batch = 0", "batch = 0 cannot be; the official recipe has batch = 256"),
        ("batch = 2.5", "batch = 2.5 cannot be"),
        ("learning_rate = 0", "learning_rate = 0.0 cannot be"),
        ("learning_rate = inf", "learning_rate = inf cannot be"),
        ("weight_decay = nan", "weight_decay = nan cannot be"),
        ("flip = 1.5", "flip = 1.5 cannot be"),
        ("nesterov = 1", "nesterov = 1 cannot be; the official recipe has nesterov = true"),
        ("momentum = true", "momentum = True cannot be"),
        ("momentum = 0", "nesterov needs a momentum; say nesterov = false"),
        ("batch 64", "the recipe cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match=rf"fast\.toml: {said}"):
        read_recipe(_file(tmp_path, text))


def test_every_value_changes_the_numbers_and_the_official_ones_none(pictures: Path) -> None:
    official = _epochs(pictures, OFFICIAL)
    assert _epochs(pictures, Recipe()) == official
    changed: dict[str, Any] = {
        "learning_rate": 0.05,
        "batch": 8,
        "momentum": 0.5,
        "weight_decay": 0.01,
        "nesterov": False,
        "flip": 0.0,
        "crop": 0.25,
    }
    assert set(changed) == set(asdict(OFFICIAL))
    found = {
        name: _epochs(pictures, replace(OFFICIAL, batch=12, **{name: of}))
        for name, of in changed.items()
        if name != "batch"
    }
    found["batch"] = _epochs(pictures, replace(OFFICIAL, batch=8))
    base = _epochs(pictures, replace(OFFICIAL, batch=12))
    for name, losses in found.items():
        assert losses not in (base, official), name


def test_runs_side_by_side_follow_the_recipe_too(pictures: Path) -> None:
    for recipe in (Recipe(1e-4, 8, 0.5, 0.01, False), Recipe(1e-4, momentum=0.0, nesterov=False)):
        data = load("cifar10-valid", pictures, images=12)
        seeds = [777, 888]
        alone = [Together([start("sss", 0, seed, data, recipe=recipe)], "float32") for seed in seeds]
        together = Together([start("sss", 0, seed, data, recipe=recipe) for seed in seeds], "float32")
        for _ in range(2):
            one = [of.train_epoch(data, [seed], 2)[0] for of, seed in zip(alone, seeds, strict=True)]
            for a, b in zip(one, together.train_epoch(data, seeds, 2), strict=True):
                assert {k: v.loss for k, v in a.items()} == {k: v.loss for k, v in b.items()}


def test_provenance_of_the_official_recipe_says_nothing_new(pictures: Path) -> None:
    data = load("cifar10-valid", pictures)
    settings = settings_of(data, "float32", "eager", None)
    assert "recipe" not in settings
    assert settings_of(data, "float32", "eager", None, Recipe(batch=64)) == {
        **settings,
        "recipe": {**asdict(OFFICIAL), "batch": 64},
    }


def _train(home: Path, pictures: Path, *more: str) -> tuple[int, str, str]:
    where = ["--data", str(pictures), "--db", str(home), "--device", "cpu", "--epochs", "1"]
    command = ["train", "--space", "sss", "--archs", "0", "--dataset", "cifar10-valid", *where, *more]
    result = CliRunner().invoke(app, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_rows_of_a_recipe_have_a_source_and_a_folder_of_their_own(pictures: Path, tmp_path: Path) -> None:
    home, recipe = tmp_path / "db", _file(tmp_path, "learning_rate = 0.05")
    assert _train(home, pictures)[0] == 0
    code, out, _ = _train(home, pictures, "--recipe", str(recipe))
    assert (code, "db-runs-fast" in out) == (0, True)
    rows = natsdb.query("select source, hp, code from seed order by source", home)
    assert rows["source"].to_list() == ["fast", "regenerated"]
    assert [json.loads(code).get("recipe", {}).get("learning_rate") for code in rows["code"]] == [0.05, None]
    losses = natsdb.query("select count(distinct loss) from final where split = 'x-valid'", home).item()
    assert losses == 2
    assert "(no change)" in _train(home, pictures, "--recipe", str(recipe))[1]
    # Neither by name nor by folder do they come among others.
    for source in ("official", "regenerated"):
        code, _, err = _train(home, pictures, "--recipe", str(recipe), "--source", source)
        assert (code, f"rows by a recipe of your own are not {source}" in err) == (1, True)
        with pytest.raises(NatsdbError, match=f"a recipe of their own, so they are not {source}; .*--source"):
            collect(tmp_path / "db-runs-fast", home, source=source)
    code, _, err = _train(home, pictures, "--recipe", str(recipe), "--runs", str(tmp_path / "db-runs"))
    assert (code, "trained by another recipe; name another folder with --runs" in err) == (1, True)
    with pytest.raises(NatsdbError, match="trained by another recipe"):
        train(runs_of("sss", [1], "01", ["cifar10-valid"], [777]), tmp_path / "db-runs-fast", pictures, device="cpu")
    moved = next((tmp_path / "db-runs").glob("*/*/*.json"))
    moved.rename(tmp_path / "db-runs-fast" / "sss" / "01" / moved.name.replace("777", "778"))
    with pytest.raises(NatsdbError, match="by several recipes"):
        collect(tmp_path / "db-runs-fast", home, source="mine")


def test_a_recipe_that_was_changed_is_not_put_among_the_rows_of_its_name(pictures: Path, tmp_path: Path) -> None:
    home, recipe = tmp_path / "db", _file(tmp_path, "learning_rate = 0.05")
    assert _train(home, pictures, "--recipe", str(recipe))[0] == 0
    _file(tmp_path, "learning_rate = 0.06")
    elsewhere = ("--runs", str(tmp_path / "other"))
    for more in ((), elsewhere):
        code, out, err = _train(home, pictures, "--recipe", str(recipe), *more)
        assert (code, out) == (1, "")
        assert "it has runs of the source 'fast' by another recipe; name another source with --source" in err
    assert not (tmp_path / "other").exists()  # nothing was trained first
    assert _train(home, pictures, "--recipe", str(recipe), "--source", "faster", *elsewhere)[0] == 0
    with pytest.raises(NatsdbError, match="runs of the source 'fast' by another recipe"):
        collect(tmp_path / "other", home, source="fast")
    assert _train(home, pictures)[0] == 0
    with pytest.raises(NatsdbError, match="runs of the source 'fast' by another recipe"):
        collect(tmp_path / "db-runs", home, source="fast")
