"""Films and contact sheets of recorded episodes, side by side.

before = EpisodeRecording("before adaptation", [model], phase, states, rewards)
film("far-3.mp4", [before, after], heading="walker: mass=3.1", control_period=0.02)
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from metarl.errors import InputError, RunError
from metarl.render.contact_sheet import (
    BACKGROUND,
    MUTED,
    TEXT,
    font,
    number,
    sheet,
    wrapped,
)
from metarl.render.gl import require_gl, why_no_gl
from metarl.render.renderer import Renderer, find_camera
from metarl.runs.files import replacing
from metarl.simulation.engine import mujoco

__all__ = [
    "EpisodeRecording",
    "PanelRenderer",
    "film",
    "gif",
    "strip",
    "why_no_gl",
    "write",
]

CODECS = ("libx264", "libopenh264", "libvpx-vp9")
"""Encoders that browsers play from mp4, the most widely played first."""
HOLD = 0.6
"""Seconds for which a film rests on its last picture."""
LARGEST, FASTEST = 4096, 240
"""Most pixels a side, and most frames a second."""
GIF_WIDTH, GIF_FPS, GIF_COLOURS = 720, 10, 128
"""Limits of a GIF, which would be large without them."""


@dataclass(frozen=True)
class EpisodeRecording:
    """One recorded episode, ready to be drawn."""

    title: str
    """What it shows: "before adaptation", "after 20 episodes"."""
    models: Sequence[mujoco.MjModel]
    """One model, or one per phase of an episode in which the dynamics change."""
    phase: NDArray[np.integer]
    """(T,) the index of the model in force at each step."""
    states: NDArray[np.floating]
    """(T, nq) qpos after each control step; T differs where an episode stopped."""
    rewards: NDArray[np.floating]
    """(T,) reward of each control step."""
    frames: NDArray[np.uint8] | None = None
    """(T, height, width, 3) pictures that were drawn elsewhere, in place of models."""

    def __post_init__(self) -> None:
        steps = len(self.states)
        if steps == 0:
            raise InputError(f"Recording {self.title!r} has no steps.")
        if len(self.phase) != steps or len(self.rewards) != steps:
            raise InputError(
                f"Recording {self.title!r}: {steps} states, {len(self.phase)} phases "
                f"and {len(self.rewards)} rewards differ in number."
            )
        if self.frames is not None:
            return
        if min(self.phase) < 0 or max(self.phase) >= len(self.models):
            raise InputError(f"Recording {self.title!r}: phase is out of range.")
        for model in self.models:
            if np.shape(self.states)[1:] != (model.nq,):
                raise InputError(
                    f"Recording {self.title!r}: states of shape "
                    f"{np.shape(self.states)} do not fit a model with nq={model.nq}."
                )


def film(
    path: Path | str,
    takes: Sequence[EpisodeRecording],
    *,
    heading: str,
    control_period: float,
    camera: int | str = -1,
    size: tuple[int, int] = (480, 360),
    fps: int = 25,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Film takes side by side, at the speed of the robot's time.

    A take that is shorter than the others rests, dimmed, on its last picture.

    Args:
        path: the mp4 file to write, whole or not at all.
        takes: one panel each, in rows of three, or more from ten on.
        heading: family and task, above all panels; wrapped.
        control_period: seconds between two states.
        camera: a camera's name or id; -1 follows the first body with a free camera.
        size: width and height of each panel's picture in pixels.
        fps: frames per second; states in between are left out, or shown longer.
        progress: called with (frames drawn, frames in all).

    Returns:
        The path.

    Raises:
        InputError: for no takes, an unknown camera or a number out of range.
        RunError: where MuJoCo cannot draw or no encoder is at hand.
    """
    check(takes, control_period, size, fps)
    seconds = max(len(take.states) for take in takes) * control_period
    total = max(1, math.ceil(round(seconds * fps, 6)))
    columns = min(len(takes), max(3, math.ceil(len(takes) ** 0.5)))
    with PanelRenderer(takes, camera, size, control_period) as stage:
        sheets = (
            sheet(heading, [stage.panel(take, i / fps) for take in takes], columns)
            for i in range(total)
        )
        return write(path, sheets, total, fps, progress)


def write(
    path: Path | str,
    sheets: Iterable[Image.Image],
    total: int,
    fps: int,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write pictures of one size as an mp4 that rests on its last one.

    Args:
        path: the mp4 file to write, whole or not at all.
        sheets: pictures with even sides, at least one.
        total: their number.
        fps: frames per second.
        progress: called with (pictures written, pictures in all).

    Returns:
        The path.

    Raises:
        RunError: where no encoder is at hand.
    """
    codec = _codec()

    def frames() -> Iterator[Image.Image]:
        for index, frame in enumerate(sheets):
            yield frame
            if progress is not None:
                progress(index + 1, total)
        for _ in range(round(HOLD * fps)):
            yield frame

    with replacing(path) as temporary:
        _encode(temporary, frames(), codec, fps)
    return Path(path)


def gif(film: Path | str) -> Path:
    """Write a film as a looping GIF beside it: smaller, slower, of few colours.

    Args:
        film: an mp4 file.

    Returns:
        The GIF file.
    """
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stride = math.ceil((stream.average_rate or GIF_FPS) / GIF_FPS)
        delay = round(1000 * stride / (stream.average_rate or GIF_FPS))

    def pictures(stride: int) -> Iterator[Image.Image]:
        with av.open(str(film)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % stride == 0:
                    picture = frame.to_image()
                    picture.thumbnail((GIF_WIDTH, LARGEST))
                    yield picture

    # One palette, or colours would flicker; from several moments, as no colour that
    # matters may be missing, however small its spot.
    moments = sheet("", list(pictures(20 * stride)), 1)
    palette = moments.quantize(GIF_COLOURS, Image.Quantize.MAXCOVERAGE)
    first, *others = (
        picture.quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures(stride)
    )
    path = Path(film).with_suffix(".gif")
    with replacing(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=delay,
            loop=0,
        )
    return path


def strip(
    path: Path | str,
    takes: Sequence[EpisodeRecording],
    n: int = 5,
    *,
    heading: str,
    control_period: float,
    camera: int | str = -1,
    size: tuple[int, int] = (320, 240),
) -> Path:
    """Draw a contact sheet: a row per take, a column for each of n equal moments.

    Args:
        path: the PNG file to write, whole or not at all.
        takes: one row each.
        n: number of moments, from the start of the longest take to its end.
        heading: family and task, above all rows; wrapped.
        control_period: seconds between two states.
        camera: a camera's name or id; -1 follows the first body with a free camera.
        size: width and height of each picture in pixels.

    Returns:
        The path.

    Raises:
        InputError: for no takes, an unknown camera or a number out of range.
        RunError: where MuJoCo cannot draw.
    """
    check(takes, control_period, size, n)
    longest = max(len(take.states) for take in takes)
    moments = np.linspace(0, (longest - 1) * control_period, n)
    with PanelRenderer(takes, camera, size, control_period) as stage:
        panels = [
            stage.panel(take, float(time), title=index == 0)
            for take in takes
            for index, time in enumerate(moments)
        ]
    with replacing(path) as temporary:
        sheet(heading, panels, n).save(temporary, format="PNG", optimize=True)
    return Path(path)


class PanelRenderer:
    """Draws any moment of any take. A context: it holds OpenGL's memory.

    Raises:
        InputError: for a camera that a model has not.
    """

    def __init__(
        self,
        takes: Sequence[EpisodeRecording],
        camera: int | str,
        size: tuple[int, int],
        control_period: float,
    ) -> None:
        self.camera, self.size, self.control_period = camera, size, control_period
        self.longest = max(len(take.states) for take in takes)
        self.returns = {id(take): np.cumsum(take.rewards) for take in takes}
        for take in takes:
            for model in take.models:
                find_camera(model, camera)  # before the first picture is drawn
            if take.frames is not None and camera != -1:
                raise InputError(
                    f"camera={camera!r}: the environment draws its pictures itself."
                )
        self.font = font(max(9, size[1] // 22))
        self.bold = font(max(9, size[1] // 22), bold=True)
        self.bar = round(1.9 * self.font.size)
        self.titles = {
            id(take): wrapped(take.title, self.bold, size[0] - 8) for take in takes
        }
        line = round(1.4 * self.bold.size)
        self.top = self.bar + line * (max(map(len, self.titles.values())) - 1)
        # Takes of one task share a model, and so OpenGL's memory.
        self.drawing: dict[mujoco.MjModel, Renderer] = {}
        self.pictures: dict[int, tuple[int, Image.Image]] = {}

    def __enter__(self) -> "PanelRenderer":
        require_gl()
        return self

    def __exit__(self, *_: object) -> None:
        for drawing in self.drawing.values():
            drawing.close()

    def panel(
        self, take: EpisodeRecording, time: float, title: bool = True
    ) -> Image.Image:
        """The take at a time in seconds, with its title, time and running return."""
        steps = len(take.states)
        moment = math.floor(time / self.control_period + 1e-6)
        step = min(moment, steps - 1)
        stopped = moment >= steps and steps < self.longest
        width, height = self.size
        top = self.top
        panel = Image.new("RGB", (width, top + height + self.bar), BACKGROUND)
        draw = ImageDraw.Draw(panel)
        if title:
            lines = self.titles[id(take)]
            for place, line in enumerate(lines, 1):
                middle = top * (place - 0.5) / len(lines)
                draw.text((4, middle), line, TEXT, self.bold, anchor="lm")
        picture = self._picture(take, step)
        panel.paste(picture.point(lambda v: v * 0.5) if stopped else picture, (0, top))
        shown = (step + 1) * self.control_period
        if stopped:
            centre = (width / 2, top + height / 2)
            label = f"stopped at {number(shown)} s"
            draw.text(centre, label, TEXT, self.bold, anchor="mm")
        middle = top + height + self.bar / 2
        left, right = f"{number(shown)} s", number(self.returns[id(take)][step])
        draw.text((4, middle), left, MUTED, self.font, anchor="lm")
        draw.text((width - 4, middle), right, TEXT, self.bold, anchor="rm")
        label_end = width - 4 - self.bold.getlength(right + " ")
        if label_end > self.font.getlength(left + "  return"):
            draw.text((label_end, middle), "return", MUTED, self.font, "rm")
        return panel

    def _picture(self, take: EpisodeRecording, step: int) -> Image.Image:
        """The rendered state; the last one of each take is kept for slow robots."""
        known, picture = self.pictures.get(id(take), (-1, None))
        if picture is None or known != step:
            picture = Image.fromarray(self.render(take, step))
            self.pictures[id(take)] = (step, picture)
        return picture

    def render(self, take: EpisodeRecording, step: int) -> NDArray[np.uint8]:
        """The bare picture of a step, (height, width, 3), of this or another take."""
        if take.frames is not None:
            drawn = Image.fromarray(take.frames[step])
            return np.asarray(ImageOps.pad(drawn, self.size, color=BACKGROUND))
        model = take.models[int(take.phase[step])]
        state = take.states[step]
        if model not in self.drawing:
            self.drawing[model] = Renderer(model, self.camera, self.size, state)
        return self.drawing[model].render(state)


def check(
    takes: Sequence[EpisodeRecording],
    control_period: float,
    size: tuple[int, int],
    count: int,
) -> None:
    """Make sure that there is something to draw.

    Raises:
        InputError: for no takes or a number out of range.
    """
    if not takes:
        raise InputError("There are no takes to draw.")
    if not (math.isfinite(control_period) and control_period > 0):
        raise InputError(f"control_period={control_period} s must be positive.")
    if not 16 <= min(size) <= max(size) <= LARGEST:
        raise InputError(f"size={size} must be 16 to {LARGEST} pixels a side.")
    if not 1 <= count <= FASTEST:
        raise InputError(f"{count} pictures (a second) must be 1 to {FASTEST}.")


def _codec() -> str:
    for name in CODECS:
        try:
            av.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        return name
    raise RunError(
        f"PyAV has none of the encoders {', '.join(CODECS)}. `pip install "
        "--only-binary=:all: --force-reinstall av` brings them."
    )


def _encode(path: Path, frames: Iterable[Image.Image], codec: str, fps: int) -> None:
    """Write an mp4 that starts to play before it is loaded whole."""
    quality = {"b": "2000000"} if codec == "libopenh264" else {"crf": "23"}
    options = {"movflags": "faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream(codec, rate=fps, options=quality)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(frames):
            if index == 0:  # the encoder opens with the first frame
                stream.width, stream.height = frame.size
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
