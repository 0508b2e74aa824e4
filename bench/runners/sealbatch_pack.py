"""Packs the model for our engine, as an operator does once: `sealbatch_pack.py MODEL FOLDER PRECISION`."""

import sys
from pathlib import Path

from bench.own_engine import pack

if __name__ == "__main__":
    model, folder, precision = sys.argv[1:]
    pack(Path(model), Path(folder), precision)
