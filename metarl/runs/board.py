"""Metrics as TensorBoard reads them, written at once and by no other thread.

A writer with a thread of its own says nothing to the training when a disk is full.
"""

import io
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from metarl.runs.files import append


class Board:
    """An event file of TensorBoard.

    Args:
        folder: where it is made.
        step: hide what earlier files of the folder hold from this step on.

    Raises:
        WriteError: if it cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        name = f"{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / f"events.out.tfevents.{name}"
        self._write(step, file_version="brain.Event:2")
        self._write(step, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of an iteration.

        Raises:
            WriteError: naming the file, if it cannot be written.
        """
        values = [Summary.Value(tag=n, simple_value=v) for n, v in metrics.items()]
        self._write(step, summary=Summary(value=values))

    def _write(self, step: int, **content: object) -> None:
        event = Event(wall_time=time.time(), step=step, **content)
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        append(self.path, record.getvalue())
