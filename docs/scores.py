"""Draws scores.png, the README's figure: two columns of the leaderboard.

python docs/scores.py
"""

from pathlib import Path

from PIL import Image

from metarl.environment.registry import names
from metarl.reports.plots import save
from metarl.studies.cells import classes, columns
from metarl.studies.leaderboard_figure import make_figure

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("cheetah-direction", "rover-goal")

if __name__ == "__main__":
    every = columns(ROOT / "results/leaderboard_first", FAMILIES, ROOT / "results/tune")
    shown = {name: every[name] for name in FAMILIES}
    figure = make_figure(shown, classes(list(names("agents"))))
    path = ROOT / "docs/scores.png"
    save(figure, path)
    picture = (
        Image.open(path).convert("RGB").resize((1680, 780), Image.Resampling.LANCZOS)
    )
    picture.quantize(64).save(path, optimize=True)
