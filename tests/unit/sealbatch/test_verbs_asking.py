"""What is typed reaches the API, and what is not typed is left to it."""

from sealbatch.intake import Intake
from sealbatch.verbs.asking import Submitting


def test_what_is_not_typed_is_the_apis_default() -> None:
    """The command has no defaults of its own."""
    assert Submitting().intake() == Intake()


def test_zero_is_a_seed() -> None:
    """And no answer to whether one was typed."""
    typed = Submitting(seed=0, stop=["END"], name="mail", skip_invalid=True).intake(require=())
    assert typed == Intake(seed=0, stop=["END"], name="mail", skip_invalid=True)
    assert typed.seed == 0
