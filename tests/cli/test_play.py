"""`metarl play`: a page on this machine alone, on which an agent adapts to a task."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from PIL import Image

import metarl
from metarl.cli.play_server import Server
from metarl.cli.play_session import MOST_EPISODES
from metarl.render.gl import why_no_gl

pytestmark = pytest.mark.skipif(bool(why_no_gl()), reason="this machine cannot draw")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return metarl.train(
        "metarl.cli.templates.puck:MyRobot",
        "maml",
        steps=100,
        out=tmp_path_factory.mktemp("runs"),
        family_options={"horizon": 20},
        agent_config={"tasks": 2, "episodes": 4, "hidden": (8,)},
        quiet=True,
    )


@pytest.fixture(scope="module")
def server(run):
    with Server(run) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        server.http.shutdown()
        thread.join()


@pytest.fixture
def ask(server):
    """Ask the server; returns the status and the body, decoded where it is JSON."""

    def ask(path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.http.server_port)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
            body = body if isinstance(body, str) else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        kind = answer.headers["Content-Type"]
        return answer.status, json.loads(data) if kind == "application/json" else data

    return ask


def value_of(state, name):
    return next(s["value"] for s in state["parameters"] if s["name"] == name)


def test_only_this_machine_can_reach_it(server):
    host, port = server.http.server_address
    assert host == "127.0.0.1" and server.url == f"http://127.0.0.1:{port}/"
    with socket.socket() as other:
        # Another address of this same machine finds nobody.
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_the_page_loads_and_needs_no_network(ask):
    status, page = ask("/")
    text = page.decode()
    assert status == 200 and text.rstrip().endswith("</html>")
    assert "default-src 'none'" in text
    assert "https://" not in text and text.count("http://") == text.count("w3.org")


def test_the_sliders_show_the_parameters_with_their_ranges(ask):
    _, state = ask("/state")
    sliders = {slider["name"]: slider for slider in state["parameters"]}
    assert list(sliders) == ["mass", "friction", "wind", "motor_strength", "wiring"]
    assert sliders["mass"]["bounds"] == [0.5, 4.0]
    assert sliders["mass"]["train"] == [0.5, 2.0]
    assert sliders["wiring"]["unseen"] == ["crossed"]
    assert state["title"] == "maml on MyRobot"


def test_a_slider_changes_the_task_and_starts_again(ask, server):
    ask("/adapt", {"episodes": 2})
    values = {"mass": 3.5, "wind": [0.5, -0.5], "wiring": "crossed"}
    status, state = ask("/task", values)
    assert status == 200
    for name, value in values.items():
        assert value_of(state, name) == value
    assert value_of(state, "friction") == 0.02
    assert state["returns"] == [] and state["seconds"] == 0 and state["distance"] > 1
    episode = server.session.episodes[state["videos"][0]["id"]]
    assert episode.models[0].body("puck").mass == 3.5
    assert ask("/state")[1] == state


def test_adapting_lengthens_the_curve_and_costs_robot_time(ask):
    before = ask("/task", {})[1]
    assert (
        before["episodes_per_update"] == 4
        and before["videos"][0] == before["videos"][1]
    )
    one = ask("/adapt", {"episodes": 1})[1]
    five = ask("/adapt", {"episodes": 4})[1]
    assert [len(state["returns"]) for state in (before, one, five)] == [0, 1, 5]
    assert five["returns"][:1] == one["returns"]
    assert five["seconds"] == pytest.approx(5 * 20 * 0.05)
    assert [done for done, _ in five["deployed"]] == [0, 1, 5]
    titles = [video["title"] for video in five["videos"]]
    assert titles == ["before adaptation", "after 5 episodes"]
    assert five["videos"][0] == before["videos"][0]
    assert ask("/task", {})[1]["deployed"] == before["deployed"]  # the same bits


def test_a_task_of_a_split_sets_the_sliders(ask):
    status, state = ask("/draw", {"split": "structure", "index": 3})
    task = metarl.make_family("metarl.cli.templates.puck:MyRobot").tasks(
        "structure", 4
    )[3]
    assert status == 200 and value_of(state, "wiring") == "crossed"
    assert value_of(state, "mass") == task["mass"]


def test_the_videos_are_pictures_that_move(ask):
    video = ask("/task", {})[1]["videos"][0]
    assert video["frames"] == 12  # a second at 12 a second
    pictures = []
    for frame in (0, video["frames"] - 1):
        status, data = ask(f"/video/{video['id']}/{frame}")
        assert status == 200
        pictures.append(np.asarray(Image.open(io.BytesIO(data))).astype(int))
    assert pictures[0].shape == (240, 320, 3) and pictures[0].std() > 10
    assert np.abs(pictures[0] - pictures[1]).max() > 60
    ask("/task", {"mass": 2})
    assert ask(f"/video/{video['id']}/0")[0] == 204  # of a task that is gone


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/task", {"mass": 50}, "'mass' is 50 kg, above its upper bound 4 kg"),
        ("/task", {"mass": "heavy"}, "'mass' takes a number, got 'heavy'"),
        ("/task", {"mass": None}, "'mass' takes a number"),
        ("/task", '{"mass": NaN}', "not finite"),
        ("/task", {"wind": 1}, "'wind' takes 2 numbers"),
        ("/task", {"wiring": "strait"}, "Did you mean 'straight'?"),
        ("/task", {"maas": 1}, "Did you mean 'mass'?"),
        ("/task", {"self": 1}, "Unknown parameter 'self'"),
        ("/task", "{", "Not JSON"),
        ("/task", "[1]", "is a JSON object"),
        ("/adapt", {"episodes": 0}, f"must be 1 to {MOST_EPISODES}"),
        ("/adapt", {"episodes": 10**9}, f"must be 1 to {MOST_EPISODES}"),
        ("/adapt", {"episodes": 1.5}, "episodes=1.5 must be a whole number"),
        ("/adapt", {}, "episodes=None"),
        ("/draw", {"split": "fra", "index": 0}, "Did you mean 'far'?"),
        ("/draw", {"split": "switch", "index": 0}, "'switch'"),
        ("/draw", {"split": "drift", "index": 0}, "'drift'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_wish_is_refused_in_words_and_changes_nothing(ask, path, body, said):
    before = ask("/state")[1]
    status, answer = ask(path, body)
    assert status == 400 and said in answer["error"]
    assert ask("/state")[1] == before


def test_other_sites_cannot_move_the_sliders(ask):
    before = ask("/state")[1]
    assert ask("/task", {"mass": 2}, Host="evil.example")[0] == 400
    assert ask("/task", '{"mass": 2}', **{"Content-Type": "text/plain"})[0] == 400
    assert ask("/state")[1] == before


@pytest.mark.parametrize("path", ["/nothing", "/video/x/y", "/../pyproject.toml"])
def test_nothing_else_is_served(ask, path):
    assert ask(path)[0] == 404
    assert ask(path, {})[0] == 404


def test_the_command_serves_until_ctrl_c(run):
    with subprocess.Popen(
        [sys.executable, "-m", "metarl", "play", str(run.path), "--no-open"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as CI may be, would have it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        url = process.stdout.readline().split()[1]
        connection = http.client.HTTPConnection(url.split("/")[2])
        connection.request("GET", "/state")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert error.strip() == "Stopped." and process.returncode == 130


def test_a_port_that_is_taken_is_refused(run, server):
    with pytest.raises(metarl.InputError, match="Choose another"):
        Server(run, server.http.server_port)
    with pytest.raises(metarl.InputError, match="Choose another"):
        Server(run, 10**6)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize(
    "look", [{}, {"size": (390, 844), "dark": True}], ids=["desk", "phone"]
)
def test_a_person_moves_a_slider_and_watches_it_adapt(ask, server, tmp_path, look):
    ask("/task", {})
    with Browser(tmp_path, **look) as browser:
        browser.open(server.url)
        # mass, friction, wind (2), motor_strength
        browser.until("document.querySelectorAll('input[type=range]').length == 5")
        whole = "videos.every(f => f && Object.keys(f.pictures).length == f.frames)"
        browser.until(whole)
        before = browser.run("state.videos[0].return")
        browser.run("""(() => {
            const slider = document.querySelector('[aria-label="mass"]');
            slider.value = 1;
            slider.dispatchEvent(new Event('input'));
            slider.dispatchEvent(new Event('change'));
        })()""")
        browser.until("!busy && state.parameters[0].value == 4")
        assert server.session.task["mass"] == 4
        assert browser.run("state.videos[0].return") != before
        assert browser.run("document.querySelectorAll('output.out').length") == 1
        browser.run("document.getElementById('update').click()")
        browser.until("!busy && state.returns.length == 4")
        text = browser.run("document.body.innerText")
        assert "after 4 episodes" in text and "4 episodes, 4.0 s of robot time" in text
        # Four episodes, and the deployed policy before and after.
        assert browser.run("document.querySelectorAll('circle').length") == 4 + 2
        browser.until(whole)
        assert browser.run("document.body.scrollWidth <= window.innerWidth")
        browser.screenshot(tmp_path / "page.png")
        assert np.asarray(Image.open(tmp_path / "page.png")).std() > 10
        assert not browser.errors
