"""`make fuzz`: every parser under atheris, guided by coverage, for a number of executions; the corpus is kept."""

import argparse
import contextlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers"), str(ROOT / "tests" / "fuzz")]

PACKAGES = ["wire", "aws_errors", "enclave_worker", "vsock_bridge", "producer", "results_consumer", "sealbatch"]
MEMORY_MB = 1024
TIMEOUT = 20


def child(name: str, folder: str, runs: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=PACKAGES):
        from targets import TARGETS
    import corpus

    target = TARGETS[name]

    def run(data: bytes) -> None:
        with contextlib.suppress(*target.errors):
            target.parse(data)

    words = [sys.argv[0], folder, f"-runs={runs}", f"-max_len={corpus.MAX_INPUT}", f"-timeout={TIMEOUT}", "-seed=1"]
    words += [f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
    atheris.Setup(words, run)
    atheris.Fuzz()


def fuzz(name: str, runs: int) -> tuple[int, int, int, str]:
    """Executions, megabytes, kept inputs and the crash of one target; the corpus grows by what was found."""
    import corpus
    from targets import TARGETS

    with tempfile.TemporaryDirectory() as folder:
        for number, item in enumerate([*TARGETS[name].seeds, *corpus.load(name)]):
            (Path(folder) / f"{number:06d}").write_bytes(item)
        done = subprocess.run(
            [sys.executable, __file__, "--child", name, "--folder", folder, "--runs", str(runs)],
            capture_output=True,
            check=False,
        )
        said = done.stderr.decode(errors="replace")
        crashes = sorted(Path(folder).glob("crash-*")) + sorted(Path(folder).glob("oom-*"))
        crashes += sorted(Path(folder).glob("timeout-*"))
        kept = [path.read_bytes() for path in Path(folder).iterdir()]
    # The input of a crash is kept too: the short run of `make test` fails by it until the parser is mended.
    corpus.save(name, kept)
    found = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", said)}
    crash = ""
    if done.returncode or crashes:
        crash = next((line for line in said.splitlines()[::-1] if "Error" in line or "ERROR" in line), "ended early")
    return found.get("number_of_executed_units", 0), found.get("peak_rss_mb", 0), len(kept), crash


def main() -> int:
    """0 if nothing but the parsers' own errors was raised."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--only", help="one target")
    parser.add_argument("--child")
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.runs)
        return 0
    from targets import TARGETS

    executions = failed = 0
    for name in [options.only] if options.only else TARGETS:
        began = time.monotonic()
        count, megabytes, kept, crash = fuzz(name, options.runs)
        executions += count
        failed += bool(crash)
        took = time.monotonic() - began
        print(
            f"{name:17} {count:>9,} executions {took:6.1f} s {megabytes:5} MB peak {kept:5} kept  {crash or 'ok'}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{executions:,} executions, {failed} crashes, {peak} MB at most")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
