"""What policies say of the commands and files in policy_cases.toml, and of those in the policy that ships."""

from collections import Counter
from pathlib import Path

from optio_agents.permissions import Policy
from optio_agents.permissions.case import failures

POLICY = Policy.load(Path(__file__).parent / "policy_cases.toml")


def test_no_trick_makes_a_policy_say_something_else() -> None:
    wrong = [f"{each.case} {dict(each.case.call.input)}:\n{each.decision.explain()}" for each in failures(POLICY)]
    assert not wrong, "\n\n".join(wrong)


def test_there_are_enough_commands_of_each_kind() -> None:
    commands = [each for each in POLICY.cases if each.call.tool == "Bash"]
    assert len({repr(each.call) for each in commands}) == len(commands) >= 300
    counts = Counter(each.expect for each in commands)
    assert min(counts.values()) >= 90


def test_the_policy_that_ships_does_what_its_own_cases_say() -> None:
    assert len(Policy.built_in().cases) >= 10
    assert failures(Policy.built_in()) == ()
