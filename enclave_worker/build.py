"""Makes the engine that the settings name. The one place that chooses, and the first that imports the model stack."""

from enclave_worker.engine import Engine
from enclave_worker.settings import Settings


def build_engine(settings: Settings) -> Engine:
    """Load the verified model and the engine that runs it.

    Raises:
        ModelError: a file differs from the manifest, or the folder holds no model that can be loaded.
        ValueError: the budgets are below the model's context length.
    """
    from enclave_worker.loader import load_model
    from enclave_worker.process import quiet_libraries
    from enclave_worker.transformers_engine import TransformersEngine

    quiet_libraries()
    return TransformersEngine(
        load_model(settings.model), max_sequences=settings.max_sequences, max_positions=settings.max_positions
    )
