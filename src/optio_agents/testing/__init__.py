"""What tests of hooks and permission handlers need: an agent without a model."""

from .agent import Decided as Decided
from .agent import FakeAgent as FakeAgent
from .steps import Appends as Appends
from .steps import Asks as Asks
from .steps import Delivers as Delivers
from .steps import EndsTurn as EndsTurn
from .steps import Exits as Exits
from .steps import Fails as Fails
from .steps import Says as Says
from .steps import Step as Step
from .steps import Thinks as Thinks
from .steps import UsesTool as UsesTool
from .steps import Waits as Waits
