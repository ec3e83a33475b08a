import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from synthetic import evaluation, run_folder

from metarl.errors import InputError
from metarl.evaluation.results import Evaluation, Point, ProtocolInfo, RunInfo, Split
from metarl.reports import findings, plots
from metarl.reports.numbers import number
from metarl.reports.page import Cell, Table, piece
from metarl.reports.report import write_report
from metarl.reports.scores import normalized
from metarl.tasks.task import Task


class Page(HTMLParser):
    """Checks that tags nest, and collects text and attributes."""

    empty = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.attributes = [], "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in self.empty:
            self.open.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the drawing of plots, which takes a third of a second each."""
    monkeypatch.setattr(plots, "svg", lambda _figure: "<svg></svg>")


def report(tmp_path, *runs):
    text = write_report(runs, tmp_path / "out" / "report.html").read_text("utf-8")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
    return text, Page(text)


def test_one_run_says_what_adaptation_gained(tmp_path):
    folder = run_folder(tmp_path / "run")
    (folder / "videos").mkdir()
    (folder / "videos" / "far-3.mp4").write_bytes(b"not really a video")
    text, parsed = report(tmp_path, folder)
    assert "maml raises its return on far tasks" in parsed.text
    assert "With 20 episodes" in parsed.text
    for split in ("interpolation", "near", "far"):
        assert f"{split} 12 tasks" in parsed.text
    assert "velocity error" in parsed.text
    assert "metarl train cheetah-direction maml --seed 0" in parsed.text
    assert "agent_config.inner_rate" in parsed.text
    assert text.count("<svg") == 3
    assert "data:video/mp4;base64,bm90IHJlYWxseSBhIHZpZGVv" in text
    assert "far 3" in parsed.text
    assert "Run metarl" not in parsed.text  # nothing is missing


def test_the_worst_tasks_come_with_a_video_or_how_to_make_it(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run")
    part = json.loads((folder / "evaluation.json").read_text())["splits"]["far"]
    worst, *others = np.argsort(part["points"][-1]["return"])
    (folder / "videos").mkdir()
    (folder / "videos" / f"far-{worst}.mp4").write_bytes(b"not really a video")
    text, parsed = report(tmp_path, folder)
    assert f"far {worst}: return" in parsed.text
    assert text.count("data:video/mp4") == 2  # there, and among all videos
    assert f"--split far --task {worst}" not in parsed.text
    assert f"metarl video {folder} --split far --task {others[0]}" in parsed.text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize(
    "look", [{}, {"size": (390, 844), "dark": True}], ids=["desk", "phone"]
)
def test_a_browser_without_network_shows_it(tmp_path, look):
    agents = ("maml", "randomized", "oracle")
    runs = [run_folder(tmp_path / agent, agent) for agent in agents]
    path = write_report(runs, tmp_path / "report.html")
    with Browser(tmp_path / "profile", offline=True, **look) as browser:
        browser.open(path.as_uri())
        # Every part that opens does so with a click, and the page is never too wide.
        browser.run("document.querySelectorAll('summary').forEach(s => s.click())")
        assert browser.run("document.querySelectorAll('details[open]').length") > 5
        assert browser.run("document.querySelectorAll('svg').length") >= 3
        assert browser.run("document.body.scrollWidth <= window.innerWidth")
        page, ink = browser.run(
            "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
        )
        assert brightness(page) < brightness(ink) if look else brightness(page) > 600
        browser.screenshot(tmp_path / "page.png")
        assert not browser.errors


def brightness(colour):
    """Of a colour like rgb(1, 2, 3), from 0 to 765."""
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_a_report_needs_no_network(tmp_path):
    text, parsed = report(tmp_path, run_folder(tmp_path / "run"))
    for tag, name, value in parsed.attributes:
        assert tag not in ("script", "link", "img", "iframe")
        if name in ("src", "href", "xlink:href", "poster"):
            assert value.startswith(("data:", "#"))
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_missing_parts_come_with_their_command(tmp_path, undrawn):
    folder = run_folder(tmp_path / "my run", evaluated=False)
    (folder / "metrics.jsonl").unlink()
    (folder / "system.json").unlink()
    (folder / "videos").mkdir()
    (folder / "videos" / "MISSING.txt").write_text("no OpenGL <here>.\n")
    _, parsed = report(tmp_path, folder)
    for verb in ("evaluate", "video", "resume"):
        assert f"metarl {verb} '{folder}'" in parsed.text
    assert "no OpenGL <here>." in parsed.text


def test_several_runs_are_compared_and_scored(tmp_path, undrawn):
    agents = ("maml", "randomized", "oracle")
    runs = [run_folder(tmp_path / a / str(s), a, s) for a in agents for s in (0, 1)]
    runs.append(run_folder(tmp_path / "rl2", "rl2", evaluated=False))
    text, parsed = report(tmp_path, *runs)
    assert text.count('<th scope="row">maml, seed 1</th>') >= 6
    assert "score after" in parsed.text
    assert "rl2, seed 0 has not been evaluated." in parsed.text
    assert "family_options.observe_task" in parsed.text  # what sets the oracle apart
    assert "randomized hardly changes" in parsed.text


def test_scores_need_both_baselines(tmp_path, undrawn):
    runs = [run_folder(tmp_path / agent, agent) for agent in ("maml", "oracle")]
    _, parsed = report(tmp_path, *runs)
    assert "metarl train cheetah-direction oracle" in parsed.text
    assert "score after" not in parsed.text


def test_runs_of_one_agent_with_other_settings_are_not_pooled(tmp_path, undrawn):
    runs = [run_folder(tmp_path / str(index), seed=index) for index in range(3)]
    config = json.loads((runs[2] / "config.json").read_text())
    config["agent_config"]["inner_rate"] = 0.5
    (runs[2] / "config.json").write_text(json.dumps(config))
    _, parsed = report(tmp_path, *runs)
    assert "maml (inner_rate=0.1) raises" in parsed.text
    assert "maml (inner_rate=0.5) raises" in parsed.text


def test_families_get_sections_of_their_own(tmp_path, undrawn):
    runs = [run_folder(tmp_path / f, family=f) for f in ("pole", "bots.py:Walker")]
    _, parsed = report(tmp_path, *runs)
    assert "pole: How fast it adapts" in parsed.text
    assert "Walker: How fast it adapts" in parsed.text


def test_all_text_is_escaped(tmp_path):
    evil = "<script>alert('x')</script>\"&$"
    folder = run_folder(tmp_path / "run", splits={evil: 0.5})
    for name in ("config.json", "system.json", "evaluation.json"):
        text = (folder / name).read_text()
        for word in ("maml", "cheetah-direction", "x86_64", "velocity_error"):
            text = text.replace(word, json.dumps(word + evil)[1:-1])
        (folder / name).write_text(text)
    text, parsed = report(tmp_path, folder)
    assert "<script" not in text
    assert parsed.text.count(evil) >= 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"family": "a", "age'),
        ("config.json", "[]"),
        ("config.json", '{"family": "a"}'),
        ("system.json", "7"),
        ("evaluation.json", '{"format": "metarl-evaluation/1", "run"'),
        ("evaluation.json", '{"hello": 1}'),
        (
            "evaluation.json",
            json.dumps({**evaluation().to_dict(), "format": "other/2"}),
        ),
        (
            "evaluation.json",
            json.dumps({**evaluation().to_dict(), "splits": {"far": {}}}),
        ),
        ("evaluation.json", json.dumps({**evaluation().to_dict(), "splits": 3})),
        ("metrics.jsonl", '{"control_steps": 1\n{"control_steps": 2}\n'),
        ("metrics.jsonl", '{"loss": 1}\n'),
    ],
)
def test_a_truncated_or_foreign_file_is_named(tmp_path, name, content):
    folder = run_folder(tmp_path / "run")
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=name):
        write_report([folder], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_metrics_line_that_a_crash_cut_is_left_out(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"control_steps": 99')
    report(tmp_path, folder)


def test_no_runs_or_no_run_folder(tmp_path):
    with pytest.raises(InputError, match="no runs"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(InputError, match=r"no config\.json"):
        write_report([tmp_path], tmp_path / "report.html")


def headline(agent, evaluation):
    return piece("headline", findings.headline(agent, [evaluation]))


def changed(evaluation, change):
    """The evaluation with other points in every split."""
    splits = {
        name: replace(split, points=tuple(change(split.points)))
        for name, split in evaluation.splits.items()
    }
    return replace(evaluation, splits=splits)


def test_the_headline_claims_no_more_than_was_measured():
    flat, bad = evaluation("randomized"), (-500.0,) * 12
    worse = changed(evaluation(), lambda p: [*p[:-1], replace(p[-1], returns=bad)])
    assert "hardly changes" in headline("a", flat)
    assert "lowers its return" in headline("a", worse)
    single = changed(flat, lambda points: points[:1])
    assert "without adaptation only" in headline("a", single)


def test_the_headline_of_an_agent_that_does_not_adapt():
    same = changed(
        evaluation("oracle"), lambda p: [replace(q, returns=p[0].returns) for q in p]
    )
    text = headline("oracle", same)
    assert "does not change its return on far tasks" in text


def test_a_report_stands_without_success_and_with_undefined_returns(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run", success=False)
    plain = json.loads((folder / "evaluation.json").read_text())
    for point in plain["splits"]["far"]["points"]:
        point |= {"success": None, "online_return": None, "return": [None] * 12}
    (folder / "evaluation.json").write_text(json.dumps(plain))
    _, parsed = report(tmp_path, folder)
    assert "Success goes" not in parsed.text
    assert "far tasks is undefined" in parsed.text


def test_normalized_scores_by_hand():
    def run(agent, returns, masses=(0, 1, 2), name="far"):
        first = Point(0, (0.0,) * 3, tuple(returns[0]))
        later = Point(1, (2.0,) * 3, tuple(returns[1]))
        tasks = tuple(Task("made-up", (("mass", mass),)) for mass in masses)
        split = Split(tasks, (0.0,) * 3, (first, later))
        about = RunInfo("made-up", agent)
        protocol = ProtocolInfo(3, 1, (0, 1))
        return agent, Evaluation(protocol, {name: split}, run=about)

    runs = [
        run("maml", [[0, 0, 7], [5, 30, 7]]),
        run("randomized", [[0, 10, 9], [0, 0, 0]]),
        run("oracle", [[10, 20, 9], [0, 0, 0]]),
    ]
    text = Page(piece("table", normalized(runs))).text
    # Scores: task 0: 0 -> 0.5, task 1: -1 -> 2, task 2 has no headroom.
    assert "2 of 3" in text
    assert "−0.50 [" in text  # noqa: RUF001 before
    assert "1.25 [" in text  # after
    assert "0.38 [" in text  # area: the mean of 0.25 and 0.5
    assert "50 %" in text  # reaches 0.8
    assert "oracle" in text and "oracle-in-range" not in text  # held out
    runs[2] = run("oracle", [[10, 20, 9], [0, 0, 0]], masses=(9, 9, 9))
    assert normalized(runs) is None
    # In the train ranges an oracle of these is the bound, if it is there.
    inside = [
        run("maml", [[0, 0, 7], [5, 30, 7]], name="interpolation"),
        run("randomized", [[0, 10, 9], [0, 0, 0]], name="interpolation"),
        run("oracle", [[10, 20, 9], [0, 0, 0]], name="interpolation"),
    ]
    (_, *_, last), *_ = [row for row in normalized(inside).rows if row[0] == "maml"]
    assert last == "oracle"
    inside.append(run("oracle-in-range", [[5, 20, 8], [0, 0, 0]], name="interpolation"))
    (row, *_) = [row for row in normalized(inside).rows if row[0] == "maml"]
    assert row[-1] == "oracle-in-range"
    assert row[2].text == "1.50"  # scores 1 and 2 after adaptation


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1234.5, "1,234"),
        (99.96, "100"),
        (12.34, "12.3"),
        (-1.234, "−1.23"),  # noqa: RUF001
        (0.05, "0.050"),
        (0.00001, "1e−05"),  # noqa: RUF001
        (0.0, "0"),
        (np.nan, "–"),  # noqa: RUF001
        (np.inf, "∞"),
    ],
)
def test_numbers_are_short(value, expected):
    assert number(value) == expected


def test_templates_escape_every_value():
    cells = [Cell("<i>", "a < b"), Cell("&", code=True), [Cell("<", "x"), "y"]]
    made = piece("table", Table(["<h>"], [["<r>", *cells]], '"x"'))
    assert '<table class="&#34;x&#34;">' in made
    assert '<th scope="col">&lt;h&gt;</th>' in made
    assert '<th scope="row">&lt;r&gt;</th>' in made
    assert "<td>&lt;i&gt; <small>a &lt; b</small></td>" in made
    assert "<td><code>&amp;</code></td>" in made
    assert "<td>&lt; <small>x</small> · y</td>" in made


def test_a_run_that_was_trained_further_says_so(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 60, "control_steps": 20000000}\n')
    text = report(tmp_path, folder)[1].text
    assert "was evaluated after 9,600,000 control steps of training" in text
    assert f"metarl evaluate {folder}" in text


def test_who_is_left_out_of_the_headline_is_named(tmp_path, undrawn):
    folders = [run_folder(tmp_path / f"run{seed}", seed=seed) for seed in (0, 1)]
    file = folders[1] / "evaluation.json"
    one = json.loads(file.read_text())
    one["protocol"]["tasks"] = 3
    file.write_text(json.dumps(one))
    text = report(tmp_path, *folders)[1].text
    assert "seed 1 is not in headline and plot" in text
    assert "--tasks 12" in text


def test_no_score_between_runs_of_another_horizon(tmp_path, undrawn):
    agents = ("maml", "randomized", "oracle")
    folders = [run_folder(tmp_path / agent, agent=agent) for agent in agents]
    assert "tasks that count" in report(tmp_path, *folders)[1].text
    file = folders[0] / "evaluation.json"
    one = json.loads(file.read_text())
    one["protocol"]["horizon"] //= 2
    file.write_text(json.dumps(one))
    assert "tasks that count" not in report(tmp_path, *folders)[1].text


def test_values_outside_the_train_ranges_are_marked_with_their_unit(tmp_path, undrawn):
    text, parsed = report(tmp_path, run_folder(tmp_path / "run"))
    assert re.search(r"mass <mark>[\d.]+ kg</mark>", text)
    assert "outside the train range, 0.5 to 1 kg" in parsed.text
    assert "mass [kg]" in parsed.text
    folder = run_folder(tmp_path / "old")
    plain = json.loads((folder / "evaluation.json").read_text())
    plain["format"] = "metarl-evaluation/1"
    del plain["parameters"]
    (folder / "evaluation.json").write_text(json.dumps(plain))
    (tmp_path / "out" / "report.html").unlink()
    text, parsed = report(tmp_path, folder)
    assert "<mark>" not in text and "did not record units" in parsed.text


def test_evaluations_that_are_not_shown_are_named(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run")
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "0123456789ab.json").write_text("{}")
    assert "0123456789ab.json" in report(tmp_path, folder)[1].text


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import metarl.reports.plots", "metarl.report"])
def test_the_public_function_works_in_any_import_order(tmp_path, first):
    folder = run_folder(tmp_path / "run")
    text = f"import metarl; {first}; print(metarl.report([{str(folder)!r}]))"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(folder / "report.html")
