"""`metarl play`: turn a robot's dials in a browser, and watch an agent adapt.

with Server(metarl.Run(path)) as server:
    print(server.url)
    server.serve()
"""

# A page of our own rather than a viewer library: those stream meshes to a client with
# a GPU and a network, and know neither tasks nor adaptation. This one needs neither,
# works over SSH, and shows what MuJoCo draws.

import io
import json
import math
import os
import sys
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from metarl.errors import InputError, RunError, unknown
from metarl.files import plain
from metarl.parameters import Choice, Parameter
from metarl.pictures.gl import require_gl
from metarl.pictures.record import Recording
from metarl.pictures.video import Stage, Take
from metarl.registry import label
from metarl.runs.folder import Run

T = TypeVar("T")
SIZE = (320, 240)
FPS = 12
LONGEST = 180
"""Most frames of a film; a longer episode is shown at a multiple of its speed."""
MOST_EPISODES = 100
"""Episodes of adaptation that can be asked for at a time."""
LARGEST_REQUEST = 100_000
"""Bytes."""
PAGE = Path(__file__).with_suffix(".html")


class Table:
    """A run's agent and one robot on a table, with dials for its parameters.

    Not for several threads: OpenGL's memory belongs to the one that made it.

    Args:
        run: trained.

    Raises:
        InputError: if it has no whole checkpoint.
    """

    def __init__(self, run: Run) -> None:
        self.family, self.agent, _ = run.load()
        self.title = f"{label(run.config.agent)} on {self.family.name}"
        self.stage: Stage | None = None
        self.made = 0
        self.set_task(dict(self.family.task().values))

    def set_task(self, values: dict[str, Any]) -> None:
        """Put another robot on the table, for an agent that has not adapted yet.

        Args:
            values: of parameters; nominal ones for the rest.

        Raises:
            InputError: for an unknown name or a value out of bounds.
        """
        for name in values:
            if name not in self.family.parameters:
                raise unknown("parameter", name, self.family.parameters)
        task = self.family.task(**values)
        recording = Recording(self.agent, self.family, [task])
        (take,) = recording.deployed()
        period, camera = self.family.control_period, self.family.camera
        stage = Stage([take], camera, SIZE, period).__enter__()
        # Whatever can go wrong has gone well.
        self.close()
        self.task, self.recording, self.stage = task, recording, stage
        self.takes: dict[int, Take] = {}
        self.shipped: list[tuple[int, float]] = []
        self.before = self.after = self._keep(take)

    def draw_task(self, split: str, index: int) -> None:
        """Put a task of a split on the table.

        Raises:
            InputError: for a split that the family has not, or that changes a task.
        """
        if split == "switch" or index < 0:
            raise InputError(f"No task {index} of {split!r} can be set by dials.")
        self.set_task(dict(self.family.tasks(split, 1, start=index)[0].values))

    def adapt(self, episodes: int) -> None:
        """Let the agent adapt for so many more episodes.

        Raises:
            InputError: for a number out of range.
        """
        if not 1 <= episodes <= MOST_EPISODES:
            raise InputError(f"episodes={episodes} must be 1 to {MOST_EPISODES}.")
        self.recording.adapt(episodes)
        (take,) = self.recording.deployed()
        # Those in between are forgotten: their pictures may be large.
        self.takes = {self.before: self.takes[self.before]}
        self.after = self._keep(take)

    def state(self) -> dict[str, Any]:
        """All that the page shows, as JSON values."""
        recording = self.recording
        return plain(
            {
                "title": self.title,
                "about": (type(self.family).__doc__ or "").strip().partition("\n")[0],
                "parameters": [
                    _dial(name, parameter, self.task[name])
                    for name, parameter in self.family.parameters.items()
                ],
                "splits": [s for s in self.family.splits if s != "switch"],
                "distance": self.family.space.distance(self.task),
                "round": recording.round,
                "rounds": recording.rounds,
                "returns": recording.returns,
                "shipped": self.shipped,
                "seconds": sum(recording.seconds),
                "films": [self._film(self.before), self._film(self.after)],
            }
        )

    def picture(self, film: int, frame: int) -> bytes:
        """A frame of a film as a JPEG; empty for a film that is no longer shown."""
        take = self.takes.get(film)
        if take is None or self.stage is None:
            return b""
        _, stride = self._pace(take)
        step = min(int(frame * stride), len(take.states) - 1)
        written = io.BytesIO()
        image = Image.fromarray(self.stage.render(take, step))
        image.save(written, "JPEG", quality=85)
        return written.getvalue()

    def close(self) -> None:
        """Free OpenGL's memory."""
        if self.stage is not None:
            self.stage.__exit__()
            self.stage = None

    def _keep(self, take: Take) -> int:
        """Keep a take of what would be shipped now; returns its number."""
        self.made += 1
        self.takes[self.made] = take
        self.shipped.append((self.recording.done, float(take.rewards.sum())))
        return self.made

    def _film(self, film: int) -> dict[str, Any]:
        take = self.takes[film]
        frames, stride = self._pace(take)
        return {
            "id": film,
            "title": take.title,
            "return": float(take.rewards.sum()),
            "seconds": len(take.states) * self.family.control_period,
            "frames": frames,
            "fps": FPS,
            "speed": round(stride * self.family.control_period * FPS, 1),
        }

    def _pace(self, take: Take) -> tuple[int, float]:
        """Number of frames of a film, and steps from one to the next."""
        steps = len(take.states)
        stride = max(1 / (FPS * self.family.control_period), steps / LONGEST)
        return max(1, math.ceil(round(steps / stride, 6))), stride


def _dial(name: str, parameter: Parameter | Choice, value: Any) -> dict[str, Any]:
    shared = {"name": name, "about": parameter.about, "value": value}
    if isinstance(parameter, Choice):
        shared |= {"values": parameter.values, "unseen": parameter.unseen}
        return shared
    return shared | {
        "unit": parameter.unit,
        "bounds": parameter.bounds,
        "train": parameter.trained[0],
        "log": parameter.scale == "log",
    }


class AbsentError(Exception):
    """There is nothing of that name, or no longer."""


class Server:
    """Serves the page of a `Table` on this machine only. A context.

    Args:
        run: trained.
        port: 0 takes a free one.

    Raises:
        InputError: if the run has no whole checkpoint, or the port is taken.
        RunError: if this machine cannot draw.
    """

    def __init__(self, run: Run, port: int = 0) -> None:
        require_gl()
        try:
            self.http = ThreadingHTTPServer(
                ("127.0.0.1", port), partial(_Handler, server_=self)
            )
        except (OSError, OverflowError) as error:
            raise InputError(f"Port {port}: {error}. Choose another.") from error
        # Everything that simulates or draws happens in one thread, in turn.
        self.worker = ThreadPoolExecutor(1)
        try:
            self.table = self.do(lambda: Table(run))
        except BaseException:
            self.http.server_close()
            self.worker.shutdown()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.server_close()
        self.do(self.table.close)
        self.worker.shutdown()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.http.server_port}/"

    def serve(self) -> None:
        """Answer until interrupted."""
        self.http.serve_forever(poll_interval=0.1)

    def do(self, job: Callable[[], T]) -> T:
        """Run a job in the one thread that simulates and draws.

        Raises:
            AbsentError: after the end.
        """
        try:
            future = self.worker.submit(job)
        except RuntimeError as error:
            raise AbsentError("The server has stopped.") from error
        return future.result()


def open_page(url: str) -> None:
    """Open a page in the browser, if there is a screen for one."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    if not sys.platform.startswith("linux") or any(map(os.environ.get, screens)):
        webbrowser.open(url)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, *arguments: Any, server_: Server) -> None:
        self.desk = server_
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Callable[[], tuple[str, bytes]]) -> None:
        try:
            # A page of another site must not reach this one under a name of its own.
            port = self.desk.http.server_port
            if self.headers["Host"] not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                raise InputError(f"Open {self.desk.url} instead.")
            kind, body = method()
            # A page may ask for the film of a robot that it has just replaced.
            status = 200 if body else 204
        except AbsentError:
            status, kind, body = 404, "text/plain", b"Nothing is here."
        except InputError as error:
            status, (kind, body) = 400, _json({"error": str(error)})
        except RunError as error:
            status, (kind, body) = 500, _json({"error": str(error)})
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # the page was closed

    def _get(self) -> tuple[str, bytes]:
        table = self.desk.table
        match self.path.strip("/").split("/"):
            case [""]:
                return "text/html; charset=utf-8", PAGE.read_bytes()
            case ["state"]:
                return _json(self.desk.do(table.state))
            case ["film", film, frame] if film.isdecimal() and frame.isdecimal():
                numbers = int(film), int(frame)
                return "image/jpeg", self.desk.do(lambda: table.picture(*numbers))
        raise AbsentError

    def _post(self) -> tuple[str, bytes]:
        table, asked = self.desk.table, self._asked()

        def change() -> dict[str, Any]:
            match self.path:
                case "/task":
                    table.set_task(asked)
                case "/draw":
                    table.draw_task(str(asked.get("split")), _whole(asked, "index"))
                case "/adapt":
                    table.adapt(_whole(asked, "episodes"))
                case _:
                    raise AbsentError
            return table.state()

        return _json(self.desk.do(change))

    def _asked(self) -> dict[str, Any]:
        """The JSON object of a request."""
        length = self.headers["Content-Length"] or ""
        if not length.isdecimal() or int(length) > LARGEST_REQUEST:
            raise InputError(f"A request needs a length up to {LARGEST_REQUEST} bytes.")
        body = self.rfile.read(int(length))
        # What other sites can send without being asked first is no JSON by its type.
        if self.headers["Content-Type"] != "application/json":
            raise InputError("A request needs the content type application/json.")
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise InputError(f"Not JSON: {error}.") from error
        if not isinstance(asked, dict):
            raise InputError("A request is a JSON object.")
        return asked

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal stays quiet."""


def _whole(asked: dict[str, Any], name: str) -> int:
    value = asked.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name}={value!r} must be a whole number.")
    return value


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
