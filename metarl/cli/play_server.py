"""The server of `metarl play`, for this machine only.

with Server(metarl.Run(path)) as server:
    print(server.url)
    server.serve()
"""

# A page of our own rather than a viewer library: those stream meshes to a client with
# a GPU and a network, and know neither tasks nor adaptation. This one needs neither,
# works over SSH, and shows what MuJoCo draws.

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from metarl.cli.play_session import Session
from metarl.errors import InputError, RunError
from metarl.render.gl import require_gl
from metarl.runs.folder import Run
from metarl.tasks.parsing import parse_json

T = TypeVar("T")
LARGEST_REQUEST = 100_000
"""Bytes."""
PAGE = Path(__file__).with_name("play.html")


class AbsentError(Exception):
    """There is nothing of that name, or no longer."""


class Server:
    """Serves the page of a `Session` on this machine only. A context.

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
            self.session = self.do(lambda: Session(run))
        except BaseException:
            self.http.server_close()
            self.worker.shutdown()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.server_close()
        self.do(self.session.close)
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


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, *arguments: Any, server_: Server) -> None:
        self.owner = server_
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Callable[[], tuple[str, bytes]]) -> None:
        try:
            # A page of another site must not reach this one under a name of its own.
            port = self.owner.http.server_port
            if self.headers["Host"] not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                raise InputError(f"Open {self.owner.url} instead.")
            kind, body = method()
            # A page may ask for the video of a task that it has just replaced.
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
        session = self.owner.session
        match self.path.strip("/").split("/"):
            case [""]:
                return "text/html; charset=utf-8", PAGE.read_bytes()
            case ["state"]:
                return _json(self.owner.do(session.state))
            case ["video", video, frame] if video.isdecimal() and frame.isdecimal():
                numbers = int(video), int(frame)
                return "image/jpeg", self.owner.do(lambda: session.picture(*numbers))
        raise AbsentError

    def _post(self) -> tuple[str, bytes]:
        session, asked = self.owner.session, self._asked()

        def change() -> dict[str, Any]:
            match self.path:
                case "/task":
                    session.set_task(asked)
                case "/draw":
                    session.draw_task(str(asked.get("split")), _integer(asked, "index"))
                case "/adapt":
                    session.adapt(_integer(asked, "episodes"))
                case _:
                    raise AbsentError
            return session.state()

        return _json(self.owner.do(change))

    def _asked(self) -> dict[str, Any]:
        """The JSON object of a request."""
        length = self.headers["Content-Length"] or ""
        if not length.isdecimal() or int(length) > LARGEST_REQUEST:
            raise InputError(f"A request needs a length up to {LARGEST_REQUEST} bytes.")
        body = self.rfile.read(int(length))
        # What other sites can send without being asked first is no JSON by its type.
        if self.headers["Content-Type"] != "application/json":
            raise InputError("A request needs the content type application/json.")
        asked = parse_json(body.decode(errors="replace"), "Not JSON: the request")
        if not isinstance(asked, dict):
            raise InputError("A request is a JSON object.")
        return asked

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal stays quiet."""


def _integer(asked: dict[str, Any], name: str) -> int:
    value = asked.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name}={value!r} must be a whole number.")
    return value


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
