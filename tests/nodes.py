"""A Ray cluster of several nodes in this machine, whose nodes can be killed."""

import os
import shutil
import tempfile
from contextlib import contextmanager

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
ray = pytest.importorskip("ray")
STORE = 80 * 2**20


class Nodes:
    """A head without cores, and nodes of one core each."""

    def __init__(self, count):
        from ray.cluster_utils import Cluster

        self.folder = tempfile.mkdtemp(prefix="metarl-")
        # `Cluster` writes its address there, wherever it keeps the rest.
        os.makedirs(os.path.join(tempfile.gettempdir(), "ray"), exist_ok=True)
        head = {
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE,
            "temp_dir": self.folder,
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = self.cluster.address
        self.alive = []
        for _ in range(count):
            self.add()

    def add(self):
        """One more node; only the main thread may."""
        self.alive.append(self.cluster.add_node(num_cpus=1, object_store_memory=STORE))

    def kill(self, index=0):
        """A node dies with all that runs there."""
        self.cluster.remove_node(self.alive.pop(index), allow_graceful=False)

    def close(self):
        ray.shutdown()
        self.cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def nodes(count):
    made = Nodes(count)
    try:
        yield made
    finally:
        made.close()
