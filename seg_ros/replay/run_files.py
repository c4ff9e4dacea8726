"""The files a run appends to, and how far they are whole.

A run can be killed at any moment. Every few frames its files are brought to a point from which it
can go on, and how long they are then is noted in ``state.json``. What was appended after the last
such point is cut off and made again, so a run that was interrupted ends with the same bytes as one
that was not (the times it took aside).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from seg_ros.errors import SegRosError
from seg_ros.results.bag_topics import BagTopic
from seg_ros.results.figures import FrameFigures
from seg_ros.results.result_bag import ResultBag
from seg_ros.results.video import RUN, H264Stream
from seg_ros.support.json_text import parse_json

SAVE_EVERY = RUN
"""Frames from one point to the next; the video needs a picture that stands alone there anyway."""

RESULT, VIDEO, FIGURES, STATE = "result", "overlay.h264", "frames.jsonl", "state.json"
NOTES = "notes.txt"
"""What went wrong, a line each."""

REJECTED = "frame "
"""How the note on a frame that was left out begins."""

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class State:
    """How far a run has come."""

    frames: int = 0
    """Read from the drive, those that could not be decoded too."""
    seconds: float = 0.0
    """It took so far."""
    bag_bytes: int = 0
    video_bytes: int = 0
    figures_bytes: int = 0
    notes_bytes: int = 0

    @classmethod
    def load(cls, work: Path) -> State:
        """Read the state of a run from its folder; that of a run that has not begun is all zero.

        Raises:
            SegRosError: the file is damaged.

        """
        path = work / STATE
        if not path.exists():
            return cls()
        try:
            return cls(**parse_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SegRosError(
                f"{path} cannot be read ({error}); start over with --replace"
            ) from error


class RunFiles(AbstractContextManager["RunFiles"]):
    """Result bag, bare video and figures of a run.

    Args:
        work: the run's folder.
        topics: of the bag.
        size: (height, width) of the video's pictures.
        state: where to go on; what was written after it is cut off.

    Raises:
        SegRosError: the files are not those the state speaks of.

    """

    def __init__(
        self, work: Path, topics: Sequence[BagTopic], size: tuple[int, int], state: State
    ) -> None:
        self._work = work
        self._topics = topics
        self._size = size
        self.state = state
        self._stack = ExitStack()

    def __enter__(self) -> RunFiles:
        """Open the files."""
        state, work = self.state, self._work
        if not state.bag_bytes and (work / RESULT).exists():  # killed before the first point
            for file in (work / RESULT).iterdir():
                file.unlink()
            (work / RESULT).rmdir()
        for name, size in (
            (VIDEO, state.video_bytes),
            (FIGURES, state.figures_bytes),
            (NOTES, state.notes_bytes),
        ):
            if size and (work / name).stat().st_size < size:
                raise SegRosError(
                    f"{work / name} is shorter than it was; start over with --replace"
                )
        with ExitStack() as stack:
            self.bag = stack.enter_context(ResultBag(work / RESULT, self._topics, state.bag_bytes))
            self.video = stack.enter_context(
                H264Stream(work / VIDEO, state.video_bytes, self._size)
            )
            self._figures = stack.enter_context(_continue(work / FIGURES, state.figures_bytes))
            self._notes = stack.enter_context(_continue(work / NOTES, state.notes_bytes))
            self._noted = {
                n if n.startswith(REJECTED) else _NUMBER.sub("#", n) for n in read_notes(work)
            }
            self._stack = stack.pop_all()
        return self

    def add_figures(self, figures: FrameFigures) -> None:
        """Append the line of a frame."""
        self._figures.write(figures.to_line().encode() + b"\n")

    def add_note(self, note: str) -> bool:
        """Append a line on what went wrong, unless it is there; return whether it was not.

        Lines on frames that were left out all count, of others one that differs in numbers alone.
        """
        note = " ".join(note.split())
        kind = note if note.startswith(REJECTED) else _NUMBER.sub("#", note)
        if kind in self._noted:
            return False
        self._noted.add(kind)
        self._notes.write(note.encode() + b"\n")
        return True

    def append(self, piece: Path) -> None:
        """Append the files of another run of the same topics, as far as its state says."""
        state = State.load(piece)
        self.bag.append(piece / RESULT / f"{RESULT}.mcap", state.bag_bytes)
        self.video.append(piece / VIDEO, state.video_bytes)
        self._figures.write((piece / FIGURES).read_bytes()[: state.figures_bytes])
        for note in read_notes(piece):
            self.add_note(note)

    def save(self, frames: int, seconds: float) -> None:
        """Bring the files to a point from which the run can go on, and note it."""
        bag_bytes = self.bag.flush()
        video_bytes = self.video.end_run()
        self._figures.flush()
        self._notes.flush()
        figures_bytes, notes_bytes = self._figures.tell(), self._notes.tell()
        self.state = State(frames, seconds, bag_bytes, video_bytes, figures_bytes, notes_bytes)
        path = self._work / STATE
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self.state)), encoding="utf-8")
        beside.replace(path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files; the bag can be read, after an error as far as it was written."""
        self._stack.__exit__(kind, error, trace)


def _continue(path: Path, size: int) -> BinaryIO:
    """Open a file to go on after so many bytes."""
    file = path.open("r+b" if size else "wb")
    file.truncate(size)
    file.seek(size)
    return file


def read_notes(work: Path) -> list[str]:
    """Return the lines that were noted in a run's folder."""
    path = work / NOTES
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
