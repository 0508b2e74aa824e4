"""Which files of the inputs go into an image, and why others do not. Everything that is left in is named by a rule.

The interpreter and the libraries are Debian's, so that one who trusts Debian's builds can compare them; wheels are
taken file by file as they are. What is cut is what the worker never loads.
"""

import fnmatch
import posixpath
from collections.abc import Mapping
from typing import Final

PYTHON: Final = "/usr/bin/python3.11"
PACKAGES: Final = "/usr/local/lib/python3.11/dist-packages"
STANDARD_LIBRARY: Final = "/usr/lib/python3.11"
MODULES: Final = ("virtio_mmio", "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "nsm")
"""Kernel modules in the order in which they are loaded; one that a kernel has built in is no file and not missed."""

_LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "libc6": (
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/libdl.so.2",
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib/x86_64-linux-gnu/libpthread.so.0",
        "/lib/x86_64-linux-gnu/librt.so.1",
        "/lib/x86_64-linux-gnu/libutil.so.1",
    ),
    "libssl3": ("/usr/lib/x86_64-linux-gnu/libcrypto.so.3",),  # hashes with the CPU's own instructions; no TLS
    "libstdc++6": ("/usr/lib/x86_64-linux-gnu/libstdc++.so.6*",),
    "libgcc-s1": ("/lib/x86_64-linux-gnu/libgcc_s.so.1",),
    "libexpat1": ("/lib/x86_64-linux-gnu/libexpat.so.1*",),
    "zlib1g": ("/lib/x86_64-linux-gnu/libz.so.1*",),
    "libffi8": ("/usr/lib/x86_64-linux-gnu/libffi.so.8*",),
    "libbz2-1.0": ("/lib/x86_64-linux-gnu/libbz2.so.1*",),
    "liblzma5": ("/lib/x86_64-linux-gnu/liblzma.so.5*",),
    "python3.11-minimal": (PYTHON,),
    "libpython3.11-minimal": (f"{STANDARD_LIBRARY}/*",),
    "libpython3.11-stdlib": (f"{STANDARD_LIBRARY}/*",),
}
_CUT_FROM_PYTHON: Final = (
    "sitecustomize.py",  # a link to a file of Debian's that installs a crash reporter
    "_sysconfigdata_*",
    "config-3.11*/*",
    "curses/*",
    "dbm/*",
    "distutils/*",
    "ensurepip/*",
    "lib2to3/*",
    "pydoc_data/*",
    "sqlite3/*",
    "test/*",
    "wsgiref/*",
    "xmlrpc/*",
    "antigravity.py",
    "imaplib.py",
    "ftplib.py",
    "nntplib.py",
    "poplib.py",
    "pydoc.py",
    "smtpd.py",
    "smtplib.py",
    "telnetlib.py",
    "this.py",
    "turtle.py",
    "webbrowser.py",
    "lib-dynload/_codecs_*",
    "lib-dynload/_crypt.*",
    "lib-dynload/_curses*",
    "lib-dynload/_dbm.*",
    "lib-dynload/_multibytecodec.*",
    "lib-dynload/_sqlite3.*",
    "lib-dynload/_ssl.*",  # there is no TLS in an enclave without a network
    "lib-dynload/*test*",
    "lib-dynload/_xx*",
    "lib-dynload/audioop.*",
    "lib-dynload/nis.*",
    "lib-dynload/ossaudiodev.*",
    "lib-dynload/readline.*",
    "lib-dynload/xx*",
)
_CUT_FROM_WHEELS: Final = (
    "*.pyi",
    "*/RECORD",  # it lists files that are not here
    "*/py.typed",
    "torch/_C_flatbuffer/*",
    "torch/bin/[!t]*",  # protoc and test programs; torch wants to see torch_shm_manager, which it never starts here
    "torch/bin/test*",
    "torch/csrc/*",
    "torch/include/*",  # headers for compilers, of which there is none
    "torch/share/*",
    "torch/test/*",
    "torch/lib/libaoti_custom_ops.so",
    "torch/lib/libbackend_with_compiler.so",
    "torch/lib/libjitbackend_test.so",
    "torch/lib/libtorchbind_test.so",
    "torch/lib/libshm/*",
    "torch/lib/libshm_windows/*",
    "torch/_inductor/*",  # compiles for CPUs and GPUs with compilers that are not here
    "torch/onnx/*",
    "torch/testing/_internal/*/*",
    "torch/testing/_internal/common_m*",
    "torch/testing/_internal/common_nn.py",
    "torch/utils/model_dump/*",
    "torch/utils/tensorboard/*",
    "functorch/*",
    "torchgen/packaged/*",
)


def wanted_of_deb(package: str, name: str) -> str | None:
    """Under which name a file of a Debian package goes into the image; None if it does not."""
    if name == f"/usr/share/doc/{package}/copyright":
        return name
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in _LIBRARIES.get(package, ())):
        return None
    inner = posixpath.relpath(name, STANDARD_LIBRARY)
    return None if any(fnmatch.fnmatchcase(inner, pattern) for pattern in _CUT_FROM_PYTHON) else name


def wanted_of_wheel(name: str) -> bool:
    """Whether a member of a wheel goes into the image."""
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in _CUT_FROM_WHEELS)
