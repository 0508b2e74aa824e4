"""Converts the model to OpenVINO's form: `openvino_export.py MODEL FOLDER PRECISION`, int8 or as it is."""

import shutil
import sys
from pathlib import Path

from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig


def main() -> None:
    """Export once; a folder that is there already is left as it is."""
    model, folder, precision = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if folder.is_dir():
        return
    quantization = None
    if precision.startswith("int8"):
        quantization = OVWeightQuantizationConfig(bits=8, sym=precision == "int8_sym")
    network = OVModelForCausalLM.from_pretrained(
        model, export=True, compile=False, load_in_8bit=False, quantization_config=quantization, local_files_only=True
    )
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    network.save_pretrained(part)
    part.rename(folder)


if __name__ == "__main__":
    main()
