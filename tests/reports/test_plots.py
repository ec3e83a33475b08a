import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from synthetic import BUDGETS, evaluation, metrics

from metarl.evaluation.statistics import interquartile_mean
from metarl.reports import plots


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_every_plot_is_a_png_on_white(tmp_path):
    paths = [
        plots.adaptation_curve([evaluation()], tmp_path / "new" / "a.png"),
        plots.distance_plot([evaluation()], tmp_path / "new" / "d.png"),
        plots.training_curve(metrics(), tmp_path / "new" / "t.png"),
    ]
    for path in paths:
        picture = opened(path)
        assert min(picture.shape[:2]) > 300
        assert (picture[0, 0] == 255).all()
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)


def test_adaptation_of_one_agent_has_a_line_per_split():
    one = evaluation()
    axes = plots.draw_adaptation([one]).axes[0]
    drawn = lines(axes)
    assert list(drawn) == ["interpolation", "near", "far"]
    returns = np.array([point.returns for point in one.splits["far"].points])
    assert_allclose(drawn["far"].get_ydata(), interquartile_mean(returns))
    assert_allclose(drawn["far"].get_xdata(), np.log1p(BUDGETS))


def test_adaptation_of_several_agents_has_a_panel_per_split_and_pools_seeds():
    every = [evaluation(agent, seed) for agent in ("maml", "rl2") for seed in (0, 1)]
    figure = plots.draw_adaptation(every)
    assert [axes.get_title() for axes in figure.axes] == [
        "interpolation",
        "near",
        "far",
    ]
    drawn = lines(figure.axes[2])
    assert list(drawn) == ["maml", "rl2"]
    tables = [
        [point.returns for point in every[seed].splits["far"].points] for seed in (0, 1)
    ]
    pooled = interquartile_mean(np.concatenate(tables, axis=1))
    assert_allclose(drawn["maml"].get_ydata(), pooled)


def test_adaptation_draws_other_measures_and_says_when_there_is_none():
    axes = plots.draw_adaptation([evaluation()], "velocity_error").axes[0]
    assert axes.get_ylabel() == "velocity error"
    assert len(axes.get_lines()) == 3
    empty = plots.draw_adaptation([evaluation(success=False)], "success").axes[0]
    assert not empty.get_lines()
    assert [text.get_text() for text in empty.texts] == ["nothing was measured"]


def test_budgets_in_episodes_and_seconds():
    axes = plots.draw_adaptation([evaluation()]).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == [f"{b}" for b in BUDGETS]
    (above,) = axes.child_axes
    seconds = [float(label.get_text()) for label in above.get_xticklabels()]
    assert seconds[0] == 0
    assert 180 <= seconds[-1] <= 200  # 20 episodes of at most 10 s


def test_bins_keep_the_train_ranges_apart():
    x, y = plots.binned(
        np.array([0, 0, 1, 2, 3, 4, np.nan, 9]),
        np.array([1, 3, 0, 0, 4, 6, 100, np.nan]),
        bins=2,
    )
    assert_allclose(x, [0, 1.5, 3.5])
    assert_allclose(y, [2, 0, 5])


def test_smoothing_keeps_a_line_and_leaves_out_nans():
    line = np.arange(200.0)
    assert_allclose(plots.smoothed(line)[10:-10], line[10:-10])
    holes = np.where(np.arange(200) % 7 == 0, np.nan, 5.0)
    assert_allclose(plots.smoothed(holes), 5)
    assert np.isnan(plots.smoothed(np.full(5, np.nan))).all()


@pytest.mark.parametrize(
    ("agent", "expected"),
    [("maml", {"before adaptation", "after adaptation"}), ("randomized", {"return"})],
)
def test_training_draws_what_the_agent_logs(agent, expected):
    rows = metrics(agent)
    rows[3] = {"iteration": 3, "control_steps": 4 * 160_000}  # a row without returns
    drawn = lines(plots.draw_training(rows).axes[0])
    assert {label for label in drawn if not label.startswith("_")} == expected


def test_svg_is_themed_by_the_page_and_repeats_bit_by_bit():
    name = "a $ < & $ b"
    text = plots.svg(plots.draw_adaptation([evaluation(splits={name: 0.5})]))
    assert text.startswith("<svg")
    assert "currentColor" in text
    assert plots.INK not in text
    assert "a $ &lt; &amp; $ b" in text
    assert "<style" not in text and "<g id=" not in text
    assert text == plots.svg(plots.draw_adaptation([evaluation(splits={name: 0.5})]))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("old")
    figure = plots.draw_training(metrics())

    def broken(target, **_):
        target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        plots.save(figure, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
