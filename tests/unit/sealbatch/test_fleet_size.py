"""What an enclave needs and what its parent can give, each decision with its reason."""

import gzip
import importlib.resources
import json
from pathlib import Path

import pytest
from command import Typist
from eif_samples import build
from hypothesis import given
from hypothesis import strategies as st

from devstack.stack import MODEL
from enclave_worker.bloom.cache import PAGE, Cache
from enclave_worker.bloom.config import bloom_shape, read_config
from enclave_worker.bloom.network import WIDTHS
from enclave_worker.bloom.weights import Precision
from enclave_worker.settings import Settings
from sealbatch.exits import Exit
from sealbatch.fleet import memory
from sealbatch.fleet.allocator import PARENT_MIB, Allocation, AllocatorError, allocate, read_allocation
from sealbatch.fleet.instances import instance_type, known_types
from sealbatch.fleet.machine import Machine, MachineError, Node, machine_of, this_machine
from sealbatch.verbs import enclave_size


def test_types_are_as_ec2_describes_them() -> None:
    """Against the answers of DescribeInstanceTypes that moto keeps."""
    file = importlib.resources.files("moto") / "ec2/resources/instance_types.json.gz"
    described = json.loads(gzip.decompress(file.read_bytes()))
    for kind in known_types():
        true = described[kind.name]
        assert kind.vcpus == true["VCpuInfo"]["DefaultVCpus"], kind
        assert kind.threads == true["VCpuInfo"]["DefaultThreadsPerCore"], kind
        assert kind.memory_mib == true["MemoryInfo"]["SizeInMiB"], kind
        assert true["NitroEnclavesSupport"] == "supported", kind
        assert "x86_64" in true["ProcessorInfo"]["SupportedArchitectures"], kind


@pytest.mark.parametrize("name", ["c7g.xlarge", "c7i.large", "t3.xlarge", "c7i.metal-24xl", "c6i.48xlarge", "x" * 99])
def test_types_without_enclaves_are_refused(name: str) -> None:
    """Graviton, too small, burstable, metal, none at all."""
    with pytest.raises(ValueError, match="enclave"):
        instance_type(name)


@pytest.mark.parametrize(
    ("name", "cpus", "kept"),
    [("c7i.4xlarge", 14, 2), ("c7a.2xlarge", 6, 2), ("m7i.xlarge", 2, 2)],
)
def test_the_parent_keeps_whole_cores(name: str, cpus: int, kept: int) -> None:
    """CPU 0 and its sibling where a core is two hyperthreads, two cores where it is one."""
    allocation = allocate(machine_of(instance_type(name), None), 1000, "asked")
    assert allocation.cpus == cpus
    assert f"the parent keeps {kept}" in allocation.reasons[1]


def test_an_enclave_lies_in_one_node() -> None:
    """Of two nodes the one without CPU 0 has all its cores to give; memory is never taken from both."""
    machine = Machine("two", (Node(96, 98_304), Node(96, 98_304)), 2)
    assert allocate(machine, 4096, "asked").cpus == 96
    assert allocate(machine, 98_304, "asked").cpus == 96
    with pytest.raises(AllocatorError, match=r"no NUMA node with 99328 MiB.*smallest type that has is"):
        allocate(machine, 98_305, "asked")


def test_large_types_ask_for_their_nodes() -> None:
    """AWS does not document how they are cut."""
    with pytest.raises(MachineError, match="--numa-nodes"):
        machine_of(instance_type("c7i.48xlarge"), None)
    assert machine_of(instance_type("c7i.48xlarge"), 2).nodes == (Node(96, 196_608),) * 2


@given(
    st.integers(1, 400_000),
    st.lists(st.tuples(st.integers(1, 100), st.integers(1, 400_000)), min_size=1, max_size=4),
    st.sampled_from([1, 2]),
    st.integers(1, 8),
)
def test_never_more_than_a_node_has(needed: int, sizes: list[tuple[int, int]], threads: int, parent: int) -> None:
    """Whatever the machine: whole cores, of one node, and the parent keeps what it was promised."""
    nodes = tuple(Node(cores * threads, mib) for cores, mib in sizes)
    try:
        found = allocate(Machine("any", nodes, threads), needed, "asked", parent)
    except AllocatorError:
        return
    assert found.memory_mib >= needed
    assert found.cpus % threads == 0
    assert found.cpus > 0
    first, *others = nodes
    fits_first = found.cpus <= first.vcpus - parent and found.memory_mib <= first.memory_mib - PARENT_MIB
    assert fits_first or any(found.cpus <= n.vcpus and found.memory_mib <= n.memory_mib for n in others)


@given(st.integers(2, 10**6), st.integers(1, 10**4), st.lists(st.text("abc: #%", max_size=20), max_size=4))
def test_a_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, mib: int, cpus: int, why: list[str]
) -> None:
    """And reasons never turn into settings."""
    path = tmp_path_factory.mktemp("allocator") / "allocator.yaml"
    path.write_text(Allocation(mib, cpus, tuple(why)).render())
    assert read_allocation(path) == Allocation(mib, cpus)
    assert all(line.strip() for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memory_mib: 512\ncpu_count: 2\n", "---"),
        ("---\ncpu_count: 2\n", "memory_mib"),
        ("---\nmemory_mib: many\ncpu_count: 2\n", "memory_mib"),
        ("---\nmemory_mib: 512\ncpu_pool: 2,3\n", "cpu_count"),
        (None, "sealbatch enclave size"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """With what it lacks, as the allocator itself would find."""
    path = tmp_path / "allocator.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AllocatorError, match=said):
        read_allocation(path)


def sysfs(folder: Path, cpulists: list[str], *, online: str) -> Path:
    """A kernel's view of a machine of two hyperthreads a core."""
    cpus = folder / "devices/system/cpu"
    (cpus / "cpu0/topology").mkdir(parents=True)
    (cpus / "cpu0/topology/thread_siblings_list").write_text("0,4\n")
    (cpus / "present").write_text("0-7\n")
    (cpus / "online").write_text(online)
    for number, cpulist in enumerate(cpulists):
        node = folder / f"devices/system/node/node{number}"
        node.mkdir(parents=True)
        (node / "cpulist").write_text(cpulist)
        (node / "meminfo").write_text(f"Node {number} MemTotal:       16777216 kB\nNode {number} MemFree: 1 kB\n")
    return folder


def test_this_machine_is_read_from_the_kernel(tmp_path: Path) -> None:
    """The node with CPU 0 comes first, whatever its number."""
    machine = this_machine(sysfs(tmp_path, ["2-3,6-7\n", "0-1,4-5\n"], online="0-7\n"))
    assert machine == Machine("this machine", (Node(4, 16_384), Node(4, 16_384)), 2)
    assert allocate(machine, 1000, "asked").cpus == 4


@pytest.mark.parametrize(("online", "said"), [("0-5\n", "set aside already"), ("zero\n", "cannot be read")])
def test_a_machine_that_does_not_show_itself(tmp_path: Path, online: str, said: str) -> None:
    """CPUs that are off would be counted out."""
    with pytest.raises(MachineError, match=said):
        this_machine(sysfs(tmp_path, ["0-7\n"], online=online))


def test_the_limits_are_the_workers_own() -> None:
    """What `size` counts is what the image allows itself."""
    settings = Settings(model=MODEL)
    assert settings.max_positions == enclave_size.POSITIONS
    assert settings.max_connections * settings.window_bytes == enclave_size.WAITING_MIB * memory.MIB


@pytest.mark.parametrize("precision", list(Precision))
def test_the_cache_is_counted_as_it_is_made(precision: Precision) -> None:
    """Bytes of keys, values and scales of one page."""
    width = WIDTHS[precision]
    assert memory._cache(MODEL, PAGE, width) == Cache.page_bytes(bloom_shape(read_config(MODEL)), width)


def test_ramdisks_are_counted_unpacked(tmp_path: Path) -> None:
    """Packed by gzip, in one stream or two, or not at all; and refused when neither."""
    packed = gzip.compress(bytes(3 * memory.MIB)) + gzip.compress(bytes(memory.MIB)) + bytes(512)
    path = tmp_path / "x.eif"
    for ramdisk, mib in ((packed, 4), (b"070701" + bytes(2 * memory.MIB - 6), 2)):
        path.write_bytes(build(((1, b"kernel"), (2, b"line"), (3, ramdisk))))
        done = Typist(tmp_path).type("enclave", "size", "--eif", str(path), "--instance-type", "c7i.xlarge")
        assert done.returncode == Exit.OK, done.stderr
        assert f"{mib} MiB  file system".encode() in done.stderr
    path.write_bytes(build(((1, b"kernel"), (2, b"line"), (3, packed[:-600]))))
    done = Typist(tmp_path).type("enclave", "size", "--eif", str(path), "--instance-type", "c7i.xlarge")
    assert done.returncode == Exit.INPUT_INVALID
    assert b"--memory" in done.stderr


def test_size_writes_a_file_and_says_why(tmp_path: Path) -> None:
    """With the demonstration model: the parts, the reasons, the file, and the next step."""
    eif, out = tmp_path / "x.eif", tmp_path / "allocator.yaml"
    eif.write_bytes(build(((1, b"kernel"), (2, b"line"), (3, gzip.compress(bytes(40 * memory.MIB))))))
    words = ("enclave", "size", "--eif", str(eif), "--model", str(MODEL), "--instance-type", "c7i.2xlarge")
    done = Typist(tmp_path).type(*words, "-o", str(out))
    assert done.returncode == Exit.OK, done.stderr
    said = done.stderr.decode()
    for part in (
        "file system",
        "programs",
        "model",
        "cache",
        "waiting work",
        "the parent keeps 2",
        "systemctl restart",
    ):
        assert part in said
    assert read_allocation(out).cpus == 6
    assert read_allocation(out).memory_mib % 1024 == 0
    assert done.stdout == b""
    shown = Typist(tmp_path).type(*words)
    assert shown.stdout.decode() == out.read_text()


def test_the_rule_of_four_decides_for_a_large_image() -> None:
    """And the parts do for a small one."""
    parts = [memory.Part("file system", 1000, "")]
    assert memory.total(parts, 500 * memory.MIB) == (
        2000,
        "nitro-cli asks for 4 times the image; the parts and 15% are 1150 MiB",
    )
    assert memory.total(parts, 100 * memory.MIB)[0] == 1150
