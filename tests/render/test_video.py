import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from metarl.errors import InputError, RunError
from metarl.render import gl, video
from metarl.render.renderer import Renderer, find_camera
from metarl.render.video import EpisodeRecording, film, gif, strip, why_no_gl
from metarl.simulation.engine import mujoco

SIZE = (64, 48)

needs_gl = pytest.mark.skipif(
    bool(why_no_gl()), reason=why_no_gl() or "MuJoCo can draw here"
)


def ball_model(colour="1 0 0 1", screen="", floor=40):
    return mujoco.MjModel.from_xml_string(f"""
    <mujoco>
      <visual><global {screen}/></visual>
      <worldbody>
        <light pos="0 0 5"/>
        <geom type="plane" size="{floor} {floor} 1" rgba=".5 .5 .5 1"/>
        <camera name="side" pos="0 -3 .5" xyaxes="1 0 0 0 0 1"/>
        <body pos="0 0 .3">
          <joint type="slide" axis="1 0 0"/>
          <geom size=".3" rgba="{colour}"/>
        </body>
      </worldbody>
    </mujoco>""")


def rolling(title="a take", steps=6, *, models=None, phase=None):
    return EpisodeRecording(
        title,
        models or [ball_model()],
        np.zeros(steps, int) if phase is None else phase,
        np.linspace(0, 4, steps)[:, None],
        np.ones(steps),
    )


def frames_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [
            frame.to_ndarray(format="rgb24") for frame in container.decode(stream)
        ]
        return stream, frames


def redness(picture):
    return (picture[..., 0].astype(int) - picture[..., 1]).clip(0).mean()


@needs_gl
@pytest.mark.parametrize("period", [0.01, 0.04, 0.1])
def test_film_plays_in_browsers_at_the_robots_speed(tmp_path, period):
    steps = round(0.4 / period)
    calls = []
    path = film(
        tmp_path / "deep" / "a.mp4",
        [rolling(steps=steps)],
        heading="ball: mass=2",
        control_period=period,
        size=SIZE,
        progress=lambda *call: calls.append(call),
    )
    stream, frames = frames_of(path)
    assert stream.codec_context.name == "h264"
    assert stream.codec_context.pix_fmt == "yuv420p"
    assert stream.average_rate == 25
    assert len(frames) == 10 + round(video.HOLD * 25)  # 0.4 s, and the rest at its end
    assert stream.width % 2 == stream.height % 2 == 0
    assert calls == [(i + 1, 10) for i in range(10)]
    head = path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # plays before it is loaded
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


@needs_gl
def test_film_places_takes_side_by_side_and_dims_the_one_that_stopped(tmp_path):
    takes = [rolling("before", 8), rolling("after", 3)]
    path = film(tmp_path / "a.mp4", takes, heading="", control_period=0.04, size=SIZE)
    _, frames = frames_of(path)
    half = frames[0].shape[1] // 2
    assert frames[0].shape[1] >= 2 * SIZE[0]
    assert redness(frames[0][:, half:]) > 1.6 * redness(frames[-1][:, half:])
    assert redness(frames[0][:, :half]) < 1.6 * redness(frames[-1][:, :half])


@needs_gl
def test_a_phase_draws_its_own_model(tmp_path):
    model = ball_model(), ball_model("0 1 0 1")
    takes = [rolling(steps=4, models=model, phase=np.array([0, 0, 1, 1]))]
    path = strip(
        tmp_path / "a.png", takes, 2, heading="", control_period=0.1, size=SIZE
    )
    picture = np.asarray(Image.open(path))
    half = picture.shape[1] // 2
    assert redness(picture[:, :half]) > 2 * redness(picture[:, half:])


@needs_gl
def test_the_free_camera_follows_and_is_close_whatever_the_floor(tmp_path):
    drawn = []
    for floor in (5, 500):
        drawing = Renderer(ball_model(floor=floor), -1, SIZE, np.zeros(1))
        drawn += [drawing.render(np.array([x])) for x in (0.0, 4.0)]
        drawing.close()
    shares = [redness(picture) for picture in drawn]
    assert min(shares) > 20
    assert max(shares) < 1.6 * min(shares)  # the lamp stays behind


@needs_gl
def test_a_fixed_camera_lets_the_robot_leave(tmp_path):
    drawing = Renderer(ball_model(), "side", SIZE, np.zeros(1))
    assert redness(drawing.render(np.array([0.0]))) > 3
    assert redness(drawing.render(np.array([20.0]))) < 1
    drawing.close()


@needs_gl
def test_a_state_that_diverged_keeps_the_last_good_picture():
    drawing = Renderer(ball_model(), "side", SIZE, np.full(1, np.nan))
    first = drawing.render(np.array([0.2]))
    assert (drawing.render(np.array([np.inf])) == first).all()
    drawing.close()


@needs_gl
def test_pictures_may_be_larger_than_the_models_screen():
    model = ball_model(screen='offwidth="32" offheight="32"')
    drawing = Renderer(model, -1, SIZE, np.zeros(1))
    assert drawing.render(np.zeros(1)).shape == (48, 64, 3)
    drawing.close()
    assert model.vis.global_.offwidth == 32


@needs_gl
def test_strip_has_a_row_per_take_and_a_column_per_moment(tmp_path):
    takes = [rolling("before"), rolling("after"), rolling("later")]
    path = strip(
        tmp_path / "a.png", takes, n=4, heading="x" * 500, control_period=0.1, size=SIZE
    )
    width, height = Image.open(path).size
    assert 4 * SIZE[0] <= width < 5 * SIZE[0] + 40
    assert height > 3 * SIZE[1]


@needs_gl
def test_a_gif_loops_beside_the_film_at_its_speed_and_keeps_small_spots(tmp_path):
    path = film(
        tmp_path / "a.mp4",
        [rolling(steps=20)],
        heading="",
        control_period=0.05,
        camera="side",
        size=(128, 96),
    )
    with Image.open(gif(path)) as loop:
        assert loop.filename == str(tmp_path / "a.gif")
        assert loop.info["loop"] == 0  # for ever
        seconds = 0.0
        for index in range(loop.n_frames):
            loop.seek(index)
            seconds += loop.info["duration"] / 1000
        assert seconds == pytest.approx(1 + video.HOLD, rel=0.15)
        loop.seek(0)
        pixels = np.asarray(loop.convert("RGB"))
    colours = np.unique(pixels.reshape(-1, 3), axis=0)
    assert len(colours) <= video.GIF_COLOURS
    assert ((colours[:, 0] > 150) & (colours[:, 1] < 90)).any()  # the ball


@needs_gl
def test_a_long_title_is_written_in_full(tmp_path):
    heights = []
    for title in ("short", "mass=1.2, " * 12):
        takes = [rolling(title, 1), rolling("other", 1)]
        look = {"heading": "", "control_period": 0.1, "size": (200, 48)}
        with Image.open(strip(tmp_path / "a.png", takes, 1, **look)) as picture:
            heights.append(picture.height)
    assert heights[1] > heights[0] + 30


@needs_gl
@pytest.mark.parametrize(("count", "columns"), [(2, 2), (6, 3), (10, 4)])
def test_many_takes_make_a_grid(tmp_path, count, columns):
    takes = [rolling(str(index), 1) for index in range(count)]
    path = film(tmp_path / "a.mp4", takes, heading="", control_period=0.04, size=SIZE)
    stream, _ = frames_of(path)
    assert stream.width // SIZE[0] == columns


def test_a_camera_cannot_be_chosen_where_the_environment_draws(tmp_path):
    frames = np.zeros((6, 8, 8, 3), np.uint8)
    drawn = EpisodeRecording(
        "a take", [], np.zeros(6, int), np.zeros((6, 0)), np.ones(6), frames
    )
    look = {"heading": "", "control_period": 0.1}
    with pytest.raises(InputError, match=r"'side'.*draws its pictures itself"):
        film(tmp_path / "a.mp4", [drawn], camera="side", **look)


@needs_gl
def test_nothing_is_left_after_an_exception_and_the_old_film_stays(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("the old one")

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(
            path,
            [rolling()],
            heading="",
            control_period=0.04,
            size=SIZE,
            progress=stop,
        )
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_cameras_are_found_by_name_and_id():
    model = ball_model()
    assert (
        find_camera(model, "side").fixedcamid == find_camera(model, 0).fixedcamid == 0
    )
    assert find_camera(model, -1).type == mujoco.mjtCamera.mjCAMERA_FREE
    with pytest.raises(InputError, match="Did you mean 'side'"):
        find_camera(model, "sid")
    with pytest.raises(InputError, match="camera=1"):
        find_camera(model, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"states": np.zeros((0, 1))},
        {"states": np.zeros((6, 2))},
        {"rewards": np.zeros(5)},
        {"phase": np.ones(6, int)},
    ],
)
def test_a_take_refuses_what_does_not_fit(change):
    parts = {**vars(rolling()), **change}
    with pytest.raises(InputError, match="a take"):
        EpisodeRecording(**parts)


@pytest.mark.parametrize(
    ("takes", "options"),
    [
        ([], {}),
        ([rolling()], {"control_period": 0.0}),
        ([rolling()], {"size": (4, 4)}),
        ([rolling()], {"camera": "nowhere"}),
    ],
)
def test_film_refuses_before_it_draws(tmp_path, takes, options):
    options = {"heading": "", "control_period": 0.1, **options}
    with pytest.raises(InputError):
        film(tmp_path / "a.mp4", takes, **options)
    assert not list(tmp_path.iterdir())


def test_without_opengl_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(RunError, match="MUJOCO_GL=disabled"):
        film(tmp_path / "a.mp4", [rolling()], heading="", control_period=0.1)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux")
@pytest.mark.parametrize("backend", ["disabled", "glfw"])
def test_a_backend_that_cannot_draw_is_explained_not_met(backend, tmp_path):
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    root = Path(gl.__file__).parents[2]
    environment |= {"MUJOCO_GL": backend, "PYTHONPATH": str(root)}
    answer = subprocess.run(
        [sys.executable, "-c", "from metarl.render import gl; print(gl.why_no_gl())"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert answer.startswith(f"MuJoCo cannot draw here (MUJOCO_GL={backend}): ")
    assert "apt-get install libegl1" in answer
    assert "MUJOCO_GL=egl" in answer
    assert not list(tmp_path.iterdir())  # no MUJOCO_LOG.TXT


def test_a_driver_that_crashes_does_not_take_the_run_down(monkeypatch):
    monkeypatch.setattr(gl, "_PROBE", "import os; os.kill(os.getpid(), 11)")
    assert gl._failure("egl") == "the OpenGL driver crashed (signal 11)"


def test_without_any_encoder_the_error_says_so(monkeypatch):
    monkeypatch.setattr(video, "CODECS", ("libnothing",))
    with pytest.raises(RunError, match="libnothing"):
        video._codec()
