"""What tests of hooks and permission handlers need: an agent without a model."""

from ..replay.recorded_turn import NotReplayable as NotReplayable
from .agent import Decided as Decided
from .agent import FakeAgent as FakeAgent
from .recording import Recording as Recording
from .retelling import Difference as Difference
from .steps import Appends as Appends
from .steps import Asks as Asks
from .steps import AsksAbout as AsksAbout
from .steps import AtOnce as AtOnce
from .steps import AwaitsDecision as AwaitsDecision
from .steps import AwaitsInterrupt as AwaitsInterrupt
from .steps import BeginsTurn as BeginsTurn
from .steps import CallsTool as CallsTool
from .steps import Delivers as Delivers
from .steps import EndsTurn as EndsTurn
from .steps import Exits as Exits
from .steps import Fails as Fails
from .steps import ReturnsFrom as ReturnsFrom
from .steps import Says as Says
from .steps import Step as Step
from .steps import TakesUp as TakesUp
from .steps import Thinks as Thinks
from .steps import UsesTool as UsesTool
from .steps import Waits as Waits
