import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from synthetic import evaluation, run_folder

from metarl.errors import InputError
from metarl.pictures import findings, page, plots
from metarl.pictures.report import write_report


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
    (folder / "videos" / "far-3.mp4").write_bytes(b"not really a film")
    text, parsed = report(tmp_path, folder)
    assert "maml raises its return on far tasks" in parsed.text
    assert "With 20 episodes" in parsed.text
    for split in ("interpolation", "near", "far"):
        assert f"{split} 12 tasks" in parsed.text
    assert "velocity error" in parsed.text
    assert "metarl train cheetah-direction maml --seed 0" in parsed.text
    assert "agent_config.inner_rate" in parsed.text
    assert text.count("<svg") == 3
    assert "data:video/mp4;base64,bm90IHJlYWxseSBhIGZpbG0=" in text
    assert "far 3" in parsed.text
    assert "Run metarl" not in parsed.text  # nothing is missing


def test_the_worst_tasks_come_with_a_film_or_how_to_make_it(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run")
    part = json.loads((folder / "evaluation.json").read_text())["splits"]["far"]
    worst, *others = np.argsort(part["points"][-1]["return"])
    (folder / "videos").mkdir()
    (folder / "videos" / f"far-{worst}.mp4").write_bytes(b"not really a film")
    text, parsed = report(tmp_path, folder)
    assert f"far {worst}: return" in parsed.text
    assert text.count("data:video/mp4") == 2  # there, and among all videos
    assert f"--split far --task {worst}" not in parsed.text
    assert f"metarl video {folder} --split far --task {others[0]}" in parsed.text


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
    assert "family_options.visible" in parsed.text  # what sets the oracle apart
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
        ("evaluation.json", json.dumps({**evaluation(), "format": "other/2"})),
        ("evaluation.json", json.dumps({**evaluation(), "splits": {"far": {}}})),
        ("evaluation.json", json.dumps({**evaluation(), "splits": 3})),
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


def test_the_headline_claims_no_more_than_was_measured():
    flat, worse = evaluation("randomized"), evaluation()
    for split in worse["splits"].values():
        split["points"][-1]["return"] = [-500.0] * 12
    assert "hardly changes" in findings.headline("a", [flat])
    assert "lowers its return" in findings.headline("a", [worse])
    for split in flat["splits"].values():
        del split["points"][1:]
    assert "without adaptation only" in findings.headline("a", [flat])


def test_the_headline_of_an_agent_that_does_not_adapt():
    same = evaluation("oracle")
    for part in same["splits"].values():
        for point in part["points"]:
            point["return"] = part["points"][0]["return"]
    text = findings.headline("oracle", [same])
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


def test_normalised_scores_by_hand():
    def run(agent, returns):
        point = {"episodes": 0, "seconds": [0.0] * 3, "return": returns[0]}
        later = {"episodes": 1, "seconds": [2.0, 2.0, 2.0], "return": returns[1]}
        split = {"tasks": [{"mass": i} for i in range(3)], "points": [point, later]}
        return agent, {"run": {"agent": agent}, "splits": {"far": split}}

    runs = [
        run("maml", [[0, 0, 7], [5, 30, 7]]),
        run("randomized", [[0, 10, 9], [0, 0, 0]]),
        run("oracle", [[10, 20, 9], [0, 0, 0]]),
    ]
    text = Page(str(findings.normalised(runs))).text
    # Scores: task 0: 0 -> 0.5, task 1: -1 -> 2, task 2 has no headroom.
    assert "2 of 3" in text
    assert "−0.50 [" in text  # noqa: RUF001 before
    assert "1.25 [" in text  # after
    assert "0.38 [" in text  # area: the mean of 0.25 and 0.5
    assert "50 %" in text  # reaches 0.8
    runs[2][1]["splits"]["far"]["tasks"] = [{"mass": 9}] * 3
    assert findings.normalised(runs) is None


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
    assert findings.number(value) == expected


def test_markup_escapes_plain_strings_only():
    made = page.tag("p", "a < b ", page.tag("b", "&"), class_='"x"')
    assert made == '<p class="&quot;x&quot;">a &lt; b <b>&amp;</b></p>'


def test_a_run_that_was_trained_further_says_so(tmp_path, undrawn):
    folder = run_folder(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 60, "control_steps": 20000000}\n')
    text = report(tmp_path, folder)[1].text
    assert "was judged after 9,600,000 control steps of training" in text
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
