"""The attacks by name. Each returns how it was caught; one that had an effect raises."""

from collections.abc import Callable

from hostile import Stage, Verdict

Attack = Callable[[Stage], Verdict]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    """Register an attack."""

    def register(body: Attack) -> Attack:
        if name in ATTACKS:
            raise ValueError(f"{name}: there is such an attack")
        ATTACKS[name] = body
        return body

    return register
