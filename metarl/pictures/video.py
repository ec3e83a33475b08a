"""Films and contact sheets of recorded episodes, side by side.

before = Take("before adaptation", [model], phase, states, rewards)
film("far-3.mp4", [before, after], heading="walker: mass=3.1", control_period=0.02)
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from metarl.engine import mujoco
from metarl.errors import InputError, RunError
from metarl.files import replacing
from metarl.pictures.drawing import Drawing, find_camera
from metarl.pictures.gl import require_gl, why_no_gl

__all__ = ["Take", "film", "strip", "why_no_gl"]

CODECS = ("libx264", "libopenh264", "libvpx-vp9")
"""Encoders that browsers play from mp4, the most widely played first."""
HOLD = 0.6
"""Seconds for which a film rests on its last picture."""

_BACKGROUND, _TEXT, _MUTED = (19, 22, 28), (238, 240, 244), (156, 165, 178)
_GAP = 6


@dataclass(frozen=True)
class Take:
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
            raise InputError(f"Take {self.title!r} has no steps.")
        if len(self.phase) != steps or len(self.rewards) != steps:
            raise InputError(
                f"Take {self.title!r}: {steps} states, {len(self.phase)} phases and "
                f"{len(self.rewards)} rewards differ in number."
            )
        if self.frames is not None:
            return
        if min(self.phase) < 0 or max(self.phase) >= len(self.models):
            raise InputError(f"Take {self.title!r}: phase is out of range.")
        for model in self.models:
            if np.shape(self.states)[1:] != (model.nq,):
                raise InputError(
                    f"Take {self.title!r}: states of shape {np.shape(self.states)} do "
                    f"not fit a model with nq={model.nq}."
                )


def film(
    path: Path | str,
    takes: Sequence[Take],
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
        takes: one panel each, in rows of three.
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
    _check(takes, control_period, size, fps)
    codec = _codec()
    seconds = max(len(take.states) for take in takes) * control_period
    total = max(1, math.ceil(round(seconds * fps, 6)))
    columns = min(len(takes), 3)
    with ExitStack() as stack:
        stage = stack.enter_context(_Stage(takes, camera, size, control_period))
        temporary = stack.enter_context(replacing(path))

        def frames() -> Iterator[Image.Image]:
            for index in range(total):
                panels = [stage.panel(take, index / fps) for take in takes]
                frame = _sheet(heading, panels, columns)
                yield frame
                if progress is not None:
                    progress(index + 1, total)
            for _ in range(round(HOLD * fps)):
                yield frame

        _encode(temporary, frames(), codec, fps)
    return Path(path)


def strip(
    path: Path | str,
    takes: Sequence[Take],
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
    _check(takes, control_period, size, n)
    longest = max(len(take.states) for take in takes)
    moments = np.linspace(0, (longest - 1) * control_period, n)
    with _Stage(takes, camera, size, control_period) as stage:
        panels = [
            stage.panel(take, float(time), title=index == 0)
            for take in takes
            for index, time in enumerate(moments)
        ]
    with replacing(path) as temporary:
        _sheet(heading, panels, n).save(temporary, format="PNG", optimize=True)
    return Path(path)


class _Stage:
    """Draws any moment of any take. A context: it holds OpenGL's memory."""

    def __init__(
        self,
        takes: Sequence[Take],
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
        self.font = _font(max(9, size[1] // 22))
        self.bold = _font(max(9, size[1] // 22), bold=True)
        # By id of model: takes of one task share a model, and so OpenGL's memory.
        self.drawing: dict[int, Drawing] = {}
        self.pictures: dict[int, tuple[int, Image.Image]] = {}

    def __enter__(self) -> "_Stage":
        require_gl()
        return self

    def __exit__(self, *_: object) -> None:
        for drawing in self.drawing.values():
            drawing.close()

    def panel(self, take: Take, time: float, title: bool = True) -> Image.Image:
        """The take at a time in seconds, with its title, time and running return."""
        steps = len(take.states)
        moment = math.floor(time / self.control_period + 1e-6)
        step = min(moment, steps - 1)
        stopped = moment >= steps and steps < self.longest
        width, height = self.size
        bar = round(1.9 * self.font.size)
        panel = Image.new("RGB", (width, height + 2 * bar), _BACKGROUND)
        draw = ImageDraw.Draw(panel)
        if title:
            fitted = _shortened(take.title, self.bold, width - 8)
            draw.text((4, bar / 2), fitted, _TEXT, self.bold, anchor="lm")
        picture = self._picture(take, step)
        panel.paste(picture.point(lambda v: v * 0.5) if stopped else picture, (0, bar))
        shown = (step + 1) * self.control_period
        if stopped:
            middle = (width / 2, bar + height / 2)
            label = f"stopped at {_number(shown)} s"
            draw.text(middle, label, _TEXT, self.bold, anchor="mm")
        middle_of_bar = height + 1.5 * bar
        left, right = f"{_number(shown)} s", _number(self.returns[id(take)][step])
        draw.text((4, middle_of_bar), left, _MUTED, self.font, anchor="lm")
        draw.text((width - 4, middle_of_bar), right, _TEXT, self.bold, anchor="rm")
        label_end = width - 4 - self.bold.getlength(right + " ")
        if label_end > self.font.getlength(left + "  return"):
            draw.text((label_end, middle_of_bar), "return", _MUTED, self.font, "rm")
        return panel

    def _picture(self, take: Take, step: int) -> Image.Image:
        """The rendered state; the last one of each take is kept for slow robots."""
        known, picture = self.pictures.get(id(take), (-1, None))
        if picture is None or known != step:
            picture = Image.fromarray(self._render(take, step))
            self.pictures[id(take)] = (step, picture)
        return picture

    def _render(self, take: Take, step: int) -> NDArray[np.uint8]:
        if take.frames is not None:
            drawn = Image.fromarray(take.frames[step])
            return np.asarray(ImageOps.pad(drawn, self.size, color=_BACKGROUND))
        model = take.models[int(take.phase[step])]
        state = take.states[step]
        if id(model) not in self.drawing:
            self.drawing[id(model)] = Drawing(model, self.camera, self.size, state)
        return self.drawing[id(model)].render(state)


def _check(
    takes: Sequence[Take], control_period: float, size: tuple[int, int], count: int
) -> None:
    if not takes:
        raise InputError("There are no takes to draw.")
    if not (math.isfinite(control_period) and control_period > 0):
        raise InputError(f"control_period={control_period} s must be positive.")
    if min(size) < 16 or count < 1:
        raise InputError(f"size={size} or count={count} is too small to draw.")


def _sheet(heading: str, panels: Sequence[Image.Image], columns: int) -> Image.Image:
    """Panels in rows under a wrapped heading; even sides, as video encoders ask."""
    width, height = panels[0].size
    rows = math.ceil(len(panels) / columns)
    total = columns * width + (columns + 1) * _GAP
    # The heading stays readable on a narrow sheet and modest on a wide one.
    font = _font(min(18, max(10, total // 34)))
    lines = _wrapped(heading, font, total - 4 * _GAP)
    line = round(1.4 * font.size)
    top = len(lines) * line + (2 * _GAP if lines else _GAP)
    bottom = top + rows * (height + _GAP)
    sheet = Image.new("RGB", (total + total % 2, bottom + bottom % 2), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, text in enumerate(lines):
        draw.text((2 * _GAP, _GAP + (index + 0.5) * line), text, _TEXT, font, "lm")
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        sheet.paste(
            panel, (_GAP + column * (width + _GAP), top + row * (height + _GAP))
        )
    return sheet


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / name), size)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        if line:
            lines.append(_shortened(line, font, width))
    return lines


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _number(value: float) -> str:
    """A number for a label whose width hardly changes from frame to frame."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


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
