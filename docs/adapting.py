"""Makes adapting.webp, the README's moving picture, from a shipped run.

    python docs/adapting.py

A half-cheetah whose reward is for running forwards: one episode before adaptation and
one after 20 episodes, side by side with the same camera. Unlike that of `metarl video`,
the camera stands still, so that the direction can be seen.
"""

from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metarl.render.recording import Recording
from metarl.render.renderer import Renderer
from metarl.runs.folder import Run
from metarl.runs.pretrained import HOME

SPLIT, TASK, EPISODES = "interpolation", 30, 20
SIZE, FPS, HOLD = (720, 190), 25, 1.0
LABEL, GREEN, RED = 26, "#2A9648", "#C0504D"


def main() -> None:
    """Record both episodes and write the file."""
    family, agent, _ = Run(HOME / "cheetah-direction-maml").load()
    (task,) = family.tasks(SPLIT, 1, start=TASK)
    assert task["direction"] == 1, "the text below says forwards"
    recording = Recording(agent, family, [task])
    (before,) = recording.record_policy()
    recording.adapt(EPISODES)
    (after,) = recording.record_policy()
    seconds = EPISODES * family.horizon * family.control_period
    panels = [
        ("before adaptation: the reward is for running to the right", before, RED),
        (f"after {EPISODES} episodes, {seconds:.0f} s of robot time", after, GREEN),
    ]
    stride = round(1 / FPS / family.control_period)
    steps = range(0, family.horizon, stride)
    drawn = [
        [panel(title, colour, images, take.states[: step + 1]) for step in steps]
        for title, take, colour in panels
        for images in [Renderer(take.models[0], "track", SIZE, take.states[0])]
    ]
    frames = [stacked(pair) for pair in zip(*drawn, strict=True)]
    durations = [1000 // FPS] * len(frames)
    durations[-1] += round(1000 * HOLD)
    options = {"append_images": frames[1:], "duration": durations, "loop": 0}
    path = Path(__file__).with_suffix(".webp")
    frames[0].save(path, save_all=True, quality=70, method=6, **options)
    print(f"Written: {path}, {path.stat().st_size:,} bytes")


def panel(title: str, colour: str, images: Renderer, states: np.ndarray) -> Image.Image:
    """The newest state, from a camera that stands still, below a title."""
    images.camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    images.camera.lookat[:] = (0, 0, 0.75)
    images.camera.distance, images.camera.azimuth = 2.9, 90
    images.camera.elevation = -8
    picture = Image.new("RGB", (SIZE[0], SIZE[1] + LABEL), "#14171d")
    picture.paste(Image.fromarray(images.render(states[-1])), (0, LABEL))
    draw = ImageDraw.Draw(picture)
    draw.text((8, 4), title, "#e8eaee", ImageFont.load_default(15))
    metres = f"{states[-1, 0] - states[0, 0]:+.1f} m"
    draw.text((SIZE[0] - 70, 4), metres, colour, ImageFont.load_default(16))
    return picture


def stacked(pictures: tuple[Image.Image, ...]) -> Image.Image:
    """Pictures above each other."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * len(pictures)))
    for row, picture in enumerate(pictures):
        sheet.paste(picture, (0, row * height))
    return sheet


if __name__ == "__main__":
    main()
