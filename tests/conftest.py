"""What all tests share."""

import os

# Idle OpenMP threads that spin would take the cores from the physics. This must be
# set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import settings

# No database of examples is kept, and a slow machine is not a failure.
settings.register_profile("metarl", deadline=None, database=None, max_examples=40)
settings.load_profile("metarl")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every test runs in a folder of its own, so that no run lands in the project."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory):
    """Tests trust files in a folder of their own, not in that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_stray_log():
    """MuJoCo leaves no MUJOCO_LOG.TXT where the tests were started."""
    before = os.path.exists("MUJOCO_LOG.TXT")
    yield
    assert before or not os.path.exists("MUJOCO_LOG.TXT")


def pytest_collection_modifyitems(items):
    """Files with slow tests begin first: none is left alone for the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
