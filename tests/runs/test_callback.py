"""Each iteration's metrics go to whoever asks, and to the loggers of the docs."""

import functools
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest

import metarl

PAGE = (Path(__file__).parents[2] / "docs/see.md").read_text()
SMALL = {
    "family_options": {"horizon": 5},
    "agent_config": {"tasks": 2, "episodes": 2, "hidden": (4,)},
    "quiet": True,
}


def test_a_callback_is_given_what_is_written():
    rows, beginning = [], []
    run = metarl.train("point-goal", "maml", steps=60, callback=rows.append, **SMALL)
    assert rows == run.metrics() and len(rows) > 1
    assert [row["iteration"] for row in rows] == list(range(len(rows)))
    more = metarl.resume(run.path, steps=100, quiet=True, callback=beginning.append)
    assert rows + beginning == more.metrics() and beginning
    # `reuse` goes on with the same run, and so does its callback.
    again = []
    metarl.train(
        *("point-goal", "maml"), steps=140, callback=again.append, reuse=True, **SMALL
    )
    assert again == run.metrics()[len(rows + beginning) :] and again


def test_a_callback_cannot_change_what_is_kept():
    def spoil(row):
        row.clear()

    run = metarl.train("point-goal", "maml", steps=30, callback=spoil, **SMALL)
    assert all("control_steps" in row for row in run.metrics())


def test_what_a_callback_raises_stops_a_training_that_can_go_on(tmp_path):
    whole = metarl.train("point-goal", "maml", steps=90, out=tmp_path / "a", **SMALL)

    def full(row):
        if row["iteration"] == 1:
            raise OSError("the server is full")

    with pytest.raises(OSError, match="the server is full"):
        metarl.train(
            *("point-goal", "maml"), steps=90, callback=full, out=tmp_path, **SMALL
        )
    (path,) = tmp_path.glob("point-goal/maml/*")
    resumed = metarl.resume(path, quiet=True)
    column = [row["return_after"] for row in resumed.metrics()]
    assert column == [row["return_after"] for row in whole.metrics()]


class Stub(ModuleType):
    """A logger that keeps what it is given."""

    def __init__(self, name):
        super().__init__(name)
        self.rows, self.calls = [], []

    def _keep(self, row, step):
        self.rows.append((step, row))

    log = log_metrics = _keep

    def init(self, **arguments):
        self.calls.append(("init", arguments))
        return nullcontext(self)

    def start_run(self):
        return nullcontext(self)

    def log_params(self, values):
        self.calls.append(("params", values))

    def log_artifact(self, path):
        assert path.exists()
        self.calls.append(("artifact", path.name))

    def finish(self):
        self.calls.append(("finish",))


@pytest.mark.parametrize("logger", ["wandb", "mlflow", "trackio"])
def test_the_recipes_of_the_page_run(logger, monkeypatch):
    (block,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        if f"import {logger}" in block
    )
    assert len(block.strip().splitlines()) <= 12
    stub, options = Stub(logger), {**SMALL, "family_options": {"horizon": 5}}
    monkeypatch.setitem(sys.modules, logger, stub)
    small = functools.partial(metarl.train, steps=60, **options)
    monkeypatch.setattr(metarl, "train", small)
    names = {}
    exec(compile(block, "see.md", "exec"), names)
    rows = names["run"].metrics()
    assert stub.rows == [(row["control_steps"], row) for row in rows] and len(rows) > 1
    assert stub.calls
