"""The file that publishes an image: its registers, what it was made of, and who says so."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

from enclave_worker.template import load_template
from sealbatch.image.eif import Image, SectionKind
from sealbatch.image.model import manifest_of
from wire.measurement import MODEL_PCR, model_register
from wire.release import SIGNATURE, PrivateKey, sign

FORMAT: Final = 1
MAX_METADATA: Final = 256 * 1024
MAX_NAME: Final = 128


def make_release(
    name: str, image: Image, inputs: Mapping[str, str], model: Path | None = None, key: PrivateKey | None = None
) -> bytes:
    """The release file of an image, with the model that it is to serve, signed if there is a key.

    `inputs` are the digests of what the image was made of, by name. The model's template is part of the release.

    Raises:
        ImageError: the model's folder is not what its manifest says. ValueError: the name is empty or too long.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"a name of 1 to {MAX_NAME} characters")
    pcrs = dict(image.pcrs)
    fields: dict[str, object] = {"format": FORMAT, "name": name}
    if model is not None:
        digest = manifest_of(model).digest
        pcrs[MODEL_PCR] = model_register(digest)
        fields |= {"model": digest.hex(), "template": load_template(model).digest.hex()}
    fields["pcrs"] = {str(index): pcr.hex() for index, pcr in sorted(pcrs.items())}
    if inputs:
        fields["inputs"] = dict(sorted(inputs.items()))
    if key is not None:
        fields[SIGNATURE] = sign(fields, key)
    return (json.dumps(fields, indent=2) + "\n").encode()


def read_inputs(file: BinaryIO, image: Image) -> dict[str, str]:
    """What an image says of itself that it was made of: SHA-256 by name; nothing if it is none of ours.

    Nobody measures this section. A release repeats it so that whoever builds the image again can begin.
    """
    section = next((s for s in image.sections if s.kind is SectionKind.METADATA), None)
    if section is None or section.size > MAX_METADATA:
        return {}
    file.seek(section.offset)
    try:
        found = json.loads(file.read(section.size))["CustomMetadata"]["inputs"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(found, dict) or not all(isinstance(item, str) for pair in found.items() for item in pair):
        return {}
    return found
