"""Runs an engine as its driver does."""

from collections.abc import Sequence

from enclave_worker.engine import Completion, Engine, Prompt


def complete(engine: Engine, prompts: Sequence[Prompt]) -> dict[int, Completion]:
    """Admit one batch and step it to its end; each sequence is completed once."""
    engine.admit(prompts)
    done: dict[int, Completion] = {}
    while engine.busy():
        for completion in engine.step():
            assert completion.key not in done
            done[completion.key] = completion
    return done
