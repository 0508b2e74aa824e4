"""The compiled operations: which library, which instruction set, and a check that both compute what they must."""

import ctypes
import functools
import logging
from pathlib import Path
from typing import Final

import torch

from enclave_worker.bloom.quantize import ZERO, pack_bytes, pack_floats

LIBRARY: Final = Path(__file__).resolve().parents[1] / "native" / "libbloom.so"
SETS: Final = ("avx512vnni", "avx2")
"""Instruction sets, the best first."""

_log: Final = logging.getLogger("sealbatch.enclave_worker")

_POINTER, _LONG, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float
_SIGNATURES: Final = {
    "sb_supports": (_INT, [ctypes.c_char_p]),
    "sb_use": (None, [ctypes.c_char_p]),
    "sb_threads": (None, [_INT]),
    "sb_layer_norm": (None, [_POINTER] * 3 + [_FLOAT, _LONG, _LONG, _POINTER]),
    "sb_quantize": (None, [_POINTER, _LONG, _LONG, _POINTER, _POINTER]),
    "sb_layer_norm_quantize": (None, [_POINTER] * 3 + [_FLOAT, _LONG, _LONG, _POINTER, _POINTER]),
    "sb_linear_s8": (None, [_POINTER, _POINTER, _LONG] + [_POINTER] * 4 + [_LONG, _LONG, _INT, _POINTER]),
    "sb_linear_f32": (None, [_POINTER, _LONG, _POINTER, _INT, _POINTER, _LONG, _LONG, _INT, _POINTER]),
    "sb_attention": (
        None,
        [_POINTER, _POINTER, _INT, _LONG, _POINTER, _LONG, _POINTER, _POINTER, _LONG, _LONG, _POINTER],
    ),
    "sb_argmax_s8": (_LONG, [_POINTER] * 3 + [_LONG] + [_POINTER] * 6 + [_INT, _LONG, _LONG, _LONG, _POINTER]),
    "sb_argmax_f32": (None, [_POINTER, _LONG, _POINTER, _INT, _LONG, _LONG, _LONG, _POINTER]),
}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled operations, set to the best instruction set here; None where there are none for this machine."""
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
    except OSError:
        _log.warning(
            "no compiled operations: the engine computes with plain torch, several times slower; install where g++ is, "
            "or a wheel for x86-64"
        )
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    for name in SETS:
        if use(loaded, name):
            _log.info("compiled operations instructions=%s", name)
            return loaded
    _log.warning("this CPU has none of %s: the engine computes with plain torch, several times slower", ", ".join(SETS))
    return None


def use(loaded: ctypes.CDLL, name: str) -> bool:
    """Switch to an instruction set; False if this CPU lacks it or computes wrongly with it."""
    if not loaded.sb_supports(name.encode()):
        return False
    loaded.sb_use(name.encode())
    if computes_exactly(loaded):
        return True
    _log.error(
        "compiled operations compute wrongly instructions=%s: not used, the next best are; this processor or its "
        "emulation is at fault",
        name,
    )
    return False


def computes_exactly(loaded: ctypes.CDLL) -> bool:
    """Whether small products of whole numbers come out to the last bit, in 8 bits and in floats."""
    generator = torch.Generator().manual_seed(0)
    rows, outputs, inputs = 29, 80, 96
    x = torch.randint(-127, 128, (rows, inputs), generator=generator, dtype=torch.int8)
    # Extremes included: the largest activation meets the largest pair of weights.
    x[0], x[1] = 127, -127
    w = torch.randint(-64, 65, (outputs, inputs), generator=generator, dtype=torch.int8)
    w[0], w[1] = 64, -64
    expected = x.int() @ w.int().T
    unsigned = (x.int() + ZERO).to(torch.uint8)
    packed, one, none = pack_bytes(w), torch.ones(max(rows, outputs)), torch.zeros(outputs)
    offsets = w.sum(1, dtype=torch.int32) * ZERO
    # Not left empty: memory of an earlier check could hold the right result.
    out = torch.full((rows, outputs), torch.nan)
    # fmt: off
    loaded.sb_linear_s8(
        unsigned.data_ptr(), one.data_ptr(), rows, packed.data_ptr(), one.data_ptr(), offsets.data_ptr(),
        none.data_ptr(), outputs, inputs, 0, out.data_ptr(),
    )
    # fmt: on
    if not torch.equal(out, expected.float()):
        return False
    out.fill_(torch.nan)
    floats, weight = x.float(), pack_floats(w.float())
    loaded.sb_linear_f32(
        floats.data_ptr(), rows, weight.data_ptr(), 0, none.data_ptr(), outputs, inputs, 0, out.data_ptr()
    )
    return torch.equal(out, expected.float())
