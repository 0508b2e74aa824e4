"""Makes the engine that the settings name. The first that imports the model stack."""

from enclave_worker.engine import Engine
from enclave_worker.manifest import ModelError
from enclave_worker.settings import Settings


def build_engine(settings: Settings) -> Engine:
    """Load the verified model, which must be a Bloom, and the engine that runs it.

    Raises:
        ModelError: a file differs from the manifest, or the folder holds no model that can be loaded.
        ValueError: the budgets are below the model's context length.
    """
    from enclave_worker.bloom.config import is_bloom, read_config

    if not is_bloom(read_config(settings.model)):
        raise ModelError("model_type is not bloom, and transformers for other models is not in this image")
    from enclave_worker.bloom.bloom_engine import BloomEngine
    from enclave_worker.bloom.load import load_bloom
    from enclave_worker.bloom.weights import Precision

    precision = None if settings.precision == "auto" else Precision(settings.precision)
    model = load_bloom(settings.model, precision, threads=settings.threads)
    return BloomEngine(model, max_sequences=settings.max_sequences, max_positions=settings.max_positions)
