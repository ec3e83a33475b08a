"""A whole adaptation as one film: the robot, and its curve as it grows."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from metarl.render.contact_sheet import BACKGROUND, MUTED, TEXT, font, number, sheet
from metarl.render.video import EpisodeRecording, PanelRenderer, check, write

SECONDS = 45.0
"""About how long a film may be; it leaves out episodes, then plays faster."""
FEWEST, MOST = 4, 12
"""Adaptation episodes that are shown."""

_GRID, _LINE, _DOT, _NOW, _FINAL = (
    (44, 50, 60),
    (68, 128, 192),
    (140, 180, 225),
    (255, 170, 60),
    (92, 194, 126),
)
_SHARP = 2
"""Charts are drawn larger by this factor and shrunk, as PIL's lines have stairs."""


@dataclass(frozen=True)
class Curve:
    """The adaptation episodes of one task, and what came of them."""

    returns: Sequence[float]
    """(K,) of each episode."""
    seconds: Sequence[float]
    """(K,) robot time of each episode."""
    rounds: Sequence[int]
    """Numbers of episodes after which the agent learnt, from 0 to K."""
    before: float
    """Return of the policy that it would have shipped before."""
    after: float
    """Return of the policy that it deploys in the end, from the same start."""


def shown(episodes: int, seconds: float) -> list[int]:
    """Numbers, from 1, of the adaptation episodes that a film shows.

    Args:
        episodes: of the adaptation.
        seconds: robot time of one.
    """
    room = min(max(int(SECONDS / seconds) - 2, FEWEST), MOST, episodes)
    return sorted({round(i) for i in np.linspace(1, episodes, room)})


def film_growing(
    path: Path | str,
    takes: Sequence[EpisodeRecording],
    numbers: Sequence[int],
    curve: Curve,
    *,
    heading: str,
    control_period: float,
    camera: int | str = -1,
    size: tuple[int, int] = (480, 360),
    fps: int = 25,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Film an adaptation, one episode after the other, beside its growing curve.

    Args:
        path: the mp4 file to write, whole or not at all.
        takes: before, episodes of the adaptation, after.
        numbers: of these episodes, from 1.
        curve: all of its episodes.
        heading: family and task; wrapped.
        control_period: seconds between two states.
        camera: a camera's name or id; -1 follows the first body with a free camera.
        size: width and height of the robot's picture in pixels.
        fps: frames per second.
        progress: called with (frames drawn, frames in all).

    Returns:
        The path.

    Raises:
        InputError: for no takes, an unknown camera or a number out of range.
        RunError: where MuJoCo cannot draw or no encoder is at hand.
    """
    check(takes, control_period, size, fps)
    robot_time = sum(len(take.states) for take in takes) * control_period
    speed = max(1, math.ceil(robot_time / SECONDS - 0.5))
    if speed > 1:
        heading += f" (at {speed} times its speed)"
    frames = [
        max(1, math.ceil(len(take.states) * control_period * fps / speed))
        for take in takes
    ]
    with PanelRenderer(takes, camera, size, control_period) as stage:
        height = stage.top + size[1] + stage.bar

        def sheets() -> Iterator[Image.Image]:
            order = [0, *numbers, None]
            for take, now, count in zip(takes, order, frames, strict=True):
                chart = draw_curve(curve, now, (size[0], height))
                for i in range(count):
                    time = min(i * speed / fps, (len(take.states) - 1) * control_period)
                    yield sheet(heading, [stage.panel(take, time), chart], 2)

        return write(path, sheets(), sum(frames), fps, progress)


def draw_curve(curve: Curve, now: int | None, size: tuple[int, int]) -> Image.Image:
    """The curve as it is known during an episode.

    Args:
        curve: of all episodes; the axes are those of the whole.
        now: number of the episode that is going on; 0 before the first one, None
            after the last.
        size: width and height in pixels.
    """
    width, height = (_SHARP * side for side in size)
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    small, bold = (font(_SHARP * max(9, size[0] // 34), bold=b) for b in (False, True))
    every = [*curve.returns, curve.before, curve.after]
    ticks = MaxNLocator(5).tick_values(min(every), max(every) + 1e-9)
    episodes = len(curve.returns)
    left = 1.5 * small.size + max(small.getlength(f"{tick:g}") for tick in ticks)
    right, top, bottom = width - small.size, 2.2 * small.size, height - 5 * small.size

    def x(episode: float) -> float:
        return left + (right - left) * (episode - 0.5) / episodes

    def y(value: float) -> float:
        low, high = ticks[0], ticks[-1]
        return bottom - (bottom - top) * (value - low) / (high - low)

    def dot(place: float, value: float, radius: float, colour: tuple[int, ...]) -> None:
        centre = x(place), y(value)
        corners = [c + s * radius for s in (-1, 1) for c in centre]
        draw.ellipse(corners, fill=colour)

    draw.text((small.size / 2, top / 2), "return of each episode", TEXT, bold, "lm")
    for tick in ticks:
        draw.line([left, y(tick), right, y(tick)], _GRID, _SHARP)
        beside = (left - small.size / 2, y(tick))
        draw.text(beside, f"{tick:g}", MUTED, small, "rm")
    whole = MaxNLocator(6, integer=True, steps=[1, 2, 5, 10])
    for tick in whole.tick_values(1, episodes):
        if 1 <= tick <= episodes:
            below = (x(tick), bottom + small.size)
            draw.text(below, f"{tick:g}", MUTED, small, "mm")
    done = episodes if now is None else max(now - 1, 0)
    if now:
        half = max((right - left) / episodes / 2, _SHARP)
        draw.rectangle([x(now) - half, top, x(now) + half, bottom], _GRID)
    means = [
        ((start + end + 1) / 2, float(np.mean(curve.returns[start:end])))
        for start, end in zip(curve.rounds, curve.rounds[1:], strict=False)
        if end <= done
    ]
    for start, end in zip(curve.rounds, curve.rounds[1:], strict=False):
        if 0 < start <= done and end - start > 1:
            between = x(start + 0.5)
            draw.line([between, top, between, bottom], MUTED, _SHARP)
    radius = _SHARP * 3
    for episode, value in enumerate(curve.returns[:done], 1):
        dot(episode, value, radius, _DOT)
    draw.line([(x(middle), y(mean)) for middle, mean in means], _LINE, 2 * _SHARP)
    for middle, mean in means:
        dot(middle, mean, 1.5 * radius, _LINE)
    said = [("before", curve.before, MUTED), ("after", curve.after, _FINAL)]
    place = right
    for word, value, colour in reversed(said[: 1 + (now is None)]):
        draw.line([left, y(value), right, y(value)], colour, 2 * _SHARP)
        text = f"{word} {number(value)}"
        draw.text((place, top / 2), text, colour, bold, "rm")
        place -= bold.getlength(text + "   ")
    spent = f"robot time {number(sum(curve.seconds[:done]))} s"
    last = height - small.size
    draw.text((small.size / 2, last), spent, MUTED, small, "lm")
    if now is None:
        text, colour = f"after {episodes} episodes", _FINAL
    else:
        text = f"episode {now} of {episodes}" if now else "before adaptation"
        colour = _NOW if now else MUTED
    draw.text((right, last), text, colour, bold, "rm")
    named = "adaptation episode"
    draw.text(
        ((left + right) / 2, bottom + 2.5 * small.size), named, MUTED, small, "mm"
    )
    return picture.resize(size, Image.Resampling.BOX)
