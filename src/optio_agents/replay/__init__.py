"""Exported sessions as tests: what was decided in them is decided again, and compared."""

from .differences import Answered as Answered
from .differences import DecisionDiffers as DecisionDiffers
from .differences import Difference as Difference
from .differences import EventsDiffer as EventsDiffer
from .differences import OutcomeDiffers as OutcomeDiffers
from .differences import Replayed as Replayed
from .recorded_turn import NotReplayable as NotReplayable
from .replaying import replay as replay
