"""What `metarl play` shows: one task, an agent that adapts to it, and videos."""

import io
import math
from typing import Any

from PIL import Image

from metarl.environment.registry import label
from metarl.errors import InputError, unknown
from metarl.render.recording import Recording
from metarl.render.video import EpisodeRecording, PanelRenderer
from metarl.runs.files import plain
from metarl.runs.folder import Run
from metarl.tasks.parameter import Choice, Parameter
from metarl.tasks.space import CHANGING

SIZE = (320, 240)
FPS = 12
LONGEST = 180
"""Most frames of a video; a longer episode is shown at a multiple of its speed."""
MOST_EPISODES = 100
"""Episodes of adaptation that can be asked for at a time."""


class Session:
    """A run's agent that adapts to one task, whose parameters can be set.

    Not for several threads: OpenGL's memory belongs to the one that made it.

    Args:
        run: trained.

    Raises:
        InputError: if it has no whole checkpoint.
    """

    def __init__(self, run: Run) -> None:
        self.family, self.agent, _ = run.load()
        self.title = f"{label(run.config.agent)} on {self.family.name}"
        self.renderer: PanelRenderer | None = None
        self.made = 0
        self.set_task(dict(self.family.task().values))

    def set_task(self, values: dict[str, Any]) -> None:
        """Begin with another task, to which the agent has not adapted yet.

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
        (episode,) = recording.record_policy()
        period, camera = self.family.control_period, self.family.camera
        renderer = PanelRenderer([episode], camera, SIZE, period).__enter__()
        # Nothing has failed: the old task can go.
        self.close()
        self.task, self.recording, self.renderer = task, recording, renderer
        self.episodes: dict[int, EpisodeRecording] = {}
        self.deployed: list[tuple[int, float]] = []
        self.before = self.after = self._keep(episode)

    def draw_task(self, split: str, index: int) -> None:
        """Begin with a task of a split.

        Raises:
            InputError: for a split that the family has not, or that changes a task.
        """
        if split in CHANGING or index < 0:
            raise InputError(f"No task {index} of {split!r} can be set by sliders.")
        self.set_task(dict(self.family.tasks(split, 1, start=index)[0].values))

    def adapt(self, episodes: int) -> None:
        """Let the agent adapt for so many more episodes.

        Raises:
            InputError: for a number out of range.
        """
        if not 1 <= episodes <= MOST_EPISODES:
            raise InputError(f"episodes={episodes} must be 1 to {MOST_EPISODES}.")
        self.recording.adapt(episodes)
        (episode,) = self.recording.record_policy()
        # Those in between are forgotten: their states may be large.
        self.episodes = {self.before: self.episodes[self.before]}
        self.after = self._keep(episode)

    def state(self) -> dict[str, Any]:
        """All that the page shows, as JSON values."""
        recording = self.recording
        return plain(
            {
                "title": self.title,
                "about": (type(self.family).__doc__ or "").strip().partition("\n")[0],
                "parameters": [
                    _slider(name, parameter, self.task[name])
                    for name, parameter in self.family.parameters.items()
                ],
                "splits": [s for s in self.family.splits if s not in CHANGING],
                "distance": self.family.space.distance(self.task),
                "episodes_per_update": recording.episodes_per_update,
                "updates": recording.rounds,
                "returns": recording.returns,
                "deployed": self.deployed,
                "seconds": sum(recording.seconds),
                "videos": [self._video(self.before), self._video(self.after)],
            }
        )

    def picture(self, video: int, frame: int) -> bytes:
        """A frame of a video as a JPEG; empty for a video that is no longer shown."""
        episode = self.episodes.get(video)
        if episode is None or self.renderer is None:
            return b""
        _, stride = self._pace(episode)
        step = min(int(frame * stride), len(episode.states) - 1)
        written = io.BytesIO()
        image = Image.fromarray(self.renderer.render(episode, step))
        image.save(written, "JPEG", quality=85)
        return written.getvalue()

    def close(self) -> None:
        """Free OpenGL's memory."""
        if self.renderer is not None:
            self.renderer.__exit__()
            self.renderer = None

    def _keep(self, episode: EpisodeRecording) -> int:
        """Keep an episode of the policy that is deployed now; returns its number."""
        self.made += 1
        self.episodes[self.made] = episode
        self.deployed.append((self.recording.done, float(episode.rewards.sum())))
        return self.made

    def _video(self, video: int) -> dict[str, Any]:
        episode = self.episodes[video]
        frames, stride = self._pace(episode)
        return {
            "id": video,
            "title": episode.title,
            "return": float(episode.rewards.sum()),
            "seconds": len(episode.states) * self.family.control_period,
            "frames": frames,
            "fps": FPS,
            "speed": round(stride * self.family.control_period * FPS, 1),
        }

    def _pace(self, episode: EpisodeRecording) -> tuple[int, float]:
        """Number of frames of a video, and steps from one to the next."""
        steps = len(episode.states)
        stride = max(1 / (FPS * self.family.control_period), steps / LONGEST)
        return max(1, math.ceil(round(steps / stride, 6))), stride


def _slider(name: str, parameter: Parameter | Choice, value: Any) -> dict[str, Any]:
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
