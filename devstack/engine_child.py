"""The laptop's engine process: the enclave's, and for what is no Bloom one over transformers."""

import os
import sys

from enclave_worker.build import build_engine
from enclave_worker.engine import Engine
from enclave_worker.engine_child import main
from enclave_worker.manifest import ModelError
from enclave_worker.settings import Settings


def build(settings: Settings) -> Engine:
    """See `build_engine`; other architectures too."""
    from enclave_worker.bloom.config import is_bloom, read_config

    if is_bloom(read_config(settings.model)):
        return build_engine(settings)
    # Read when transformers is imported: nothing is fetched, and nobody told.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    try:
        from devstack.transformers_engine.engine import TransformersEngine
        from devstack.transformers_engine.loader import load_model
    except ModuleNotFoundError as error:
        raise ModelError(f"model_type is not bloom, and {error.name} for other models is not installed") from None
    return TransformersEngine(
        load_model(settings.model), max_sequences=settings.max_sequences, max_positions=settings.max_positions
    )


if __name__ == "__main__":
    sys.exit(main(build))
