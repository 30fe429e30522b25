"""Schedules: the official ones, and any other number of epochs by its own name."""

from __future__ import annotations

import pytest

from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import HPS, cosine, epochs_of, hp_of, is_schedule, learning_rate
from natsdb.schema.tables import BLOCK, GROUPS, PAGE_ROWS, group_size, page_rows


def test_a_name_and_its_epochs_belong_together() -> None:
    assert {hp: epochs_of(hp) for hp in HPS} == HPS
    assert [hp_of(epochs) for epochs in (1, 2, 12, 90, 200, 600)] == ["01", "2", "12", "90", "200", "600"]
    assert all(epochs_of(hp_of(epochs)) == epochs for epochs in range(1, 1000))
    assert epochs_of("32767") == 32767


@pytest.mark.parametrize("hp", ["", "1", "012", "0", "-3", "6.5", "600 ", "sixty", "32768", "9" * 5000, "٦٠"])
def test_what_is_no_schedule(hp: str) -> None:
    assert not is_schedule(hp)
    with pytest.raises(NatsdbError, match=r"there is no schedule .*there are .*any other number of epochs"):
        epochs_of(hp)


def test_learning_rates_of_any_schedule() -> None:
    assert learning_rate("600", 0) == 0.1
    assert learning_rate("600", 300) == pytest.approx(0.05)
    assert learning_rate("600", 599) == cosine(599, 600)


def test_rows_of_other_schedules_lie_as_those_of_the_next_longer_official_one() -> None:
    for hp in HPS:
        assert (group_size(hp), page_rows(hp)) == (GROUPS[hp], PAGE_ROWS[hp])
    assert [group_size(hp) for hp in ("2", "13", "91", "201", "600")] == [256, 64, 32, 32, 32]
    assert page_rows("600") == PAGE_ROWS["200"]
    assert all(BLOCK % group_size(hp) == 0 for hp in ("2", "13", "600"))
