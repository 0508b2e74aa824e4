"""Makes the engine that the settings name. The one place that chooses, and the first that imports the model stack."""

from enclave_worker.engine import Engine
from enclave_worker.manifest import ModelError
from enclave_worker.settings import Settings


def build_engine(settings: Settings) -> Engine:
    """Load the verified model and the engine that runs it: our own for a Bloom, transformers for the rest.

    Raises:
        ModelError: a file differs from the manifest, or the folder holds no model that can be loaded.
        ValueError: the budgets are below the model's context length.
    """
    from enclave_worker.bloom.config import is_bloom, read_config

    if not is_bloom(read_config(settings.model)):
        return _build_transformers(settings)
    from enclave_worker.bloom.bloom_engine import BloomEngine
    from enclave_worker.bloom.load import load_bloom
    from enclave_worker.bloom.weights import Precision

    precision = None if settings.precision == "auto" else Precision(settings.precision)
    model = load_bloom(settings.model, precision, threads=settings.threads)
    return BloomEngine(model, max_sequences=settings.max_sequences, max_positions=settings.max_positions)


def _build_transformers(settings: Settings) -> Engine:
    try:
        from enclave_worker.loader import load_model
        from enclave_worker.process import quiet_libraries
        from enclave_worker.transformers_engine import TransformersEngine
    except ModuleNotFoundError as error:
        raise ModelError(f"model_type is not bloom, and {error.name} for other models is not in this image") from None

    quiet_libraries()
    return TransformersEngine(
        load_model(settings.model), max_sequences=settings.max_sequences, max_positions=settings.max_positions
    )
