"""The machine: cores, memory, shared memory and what torch can compute on."""

import json
import os
import shutil
from pathlib import Path

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.compiler import require_compiler
from .apart import apart
from .finding import Finding, size

CGROUP, PROCESS_MEMORY, SHARED = Path("/sys/fs/cgroup"), Path("/proc/meminfo"), Path("/dev/shm")  # of Linux
ENOUGH_MEMORY = 2e9  # for torch, a ViT-B CLIP in single precision and a few pictures
# Two workers with two batches each, of 16 pictures of 448 x 448 pixels in single precision, and one in use.
ENOUGH_SHARED = 250e6
SECONDS = 90  # for torch and all devices
# Each device is tried: one that is listed may still be of another architecture than torch was built for, or taken.
DEVICES = """
import json, sys, torch
def tried(name):
    try:
        a = torch.arange(4096.0, device=name).reshape(64, 64) % 7
        same = torch.equal((a @ a).cpu(), a.cpu() @ a.cpu())
        return "" if same else "its product of two matrices is wrong"
    except Exception as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
found = {"built": torch.version.cuda or torch.version.hip, "cpu": tried("cpu"), "gpus": [], "mps": None}
print(json.dumps(found), flush=True)
for n in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
    of = torch.cuda.get_device_properties(n)
    wrong = tried(f"cuda:{n}")
    free = None if wrong else torch.cuda.mem_get_info(n)[0]
    found["gpus"].append([of.name, of.total_memory, free, wrong])
    print(json.dumps(found), flush=True)
if torch.backends.mps.is_available():
    found["mps"] = tried("mps")
    print(json.dumps(found), flush=True)
"""


def cores() -> list[Finding]:
    """Return how many cores this process may use, of how many there are."""
    there = os.cpu_count() or 1
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = _cpu_quota()
    said = f"{mine} of {there} may be used" if mine < there else f"{there}"
    if quota is not None and quota < mine:
        said += f", and this container has the time of {quota:g}"
    return [Finding("CPU cores", "ok", said)]


def _cpu_quota() -> float | None:
    """Return how many cores' time a container may take, None where there is no limit."""
    quota, period = [*_words(CGROUP / "cpu.max"), "", ""][:2]
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def memory() -> list[Finding]:
    """Return the free memory of the machine, or of the container where that has less."""
    free, total = _machine_memory()
    limit, used = _container_memory()
    if free is None and limit is None:
        return [Finding("memory", "missing", "this system does not say how much is free")]
    said = f"{size(free)} free of {size(total)}" if free is not None and total is not None else ""
    if limit is not None and (total is None or limit < total):
        free = min(limit - used, limit if free is None else free)
        said = f"{size(free)} free of the {size(limit)} that this container may use"
    assert free is not None
    if free < ENOUGH_MEMORY:
        return [
            Finding(
                "memory",
                "fault",
                f"{said}; expected {size(ENOUGH_MEMORY)}, for torch and a small CLIP",
                "end other programs, or give the container more",
            )
        ]
    return [Finding("memory", "ok", said)]


def _machine_memory() -> tuple[float | None, float | None]:
    lines = dict(line.split(":", 1) for line in _text(PROCESS_MEMORY).splitlines() if ":" in line)
    amounts = {name: 1024 * int(value.split()[0]) for name, value in lines.items() if value.split()[:1]}
    if "MemAvailable" in amounts and "MemTotal" in amounts:
        return amounts["MemAvailable"], amounts["MemTotal"]
    return None, None


def _container_memory() -> tuple[float | None, float]:
    """Return the limit of a container, None where there is none, and what it uses without files that it only keeps at hand."""
    limit = _text(CGROUP / "memory.max") or _text(CGROUP / "memory" / "memory.limit_in_bytes")
    used = _text(CGROUP / "memory.current") or _text(CGROUP / "memory" / "memory.usage_in_bytes")
    if not limit.isdigit() or int(limit) > 1 << 60:  # the first version of cgroups says "no limit" by a huge number
        return None, 0
    stat = _text(CGROUP / "memory.stat") or _text(CGROUP / "memory" / "memory.stat")
    kept = sum(
        int(line.split()[1]) for line in stat.splitlines() if line.startswith(("inactive_file ", "active_file "))
    )
    return int(limit), max(0, int(used or 0) - kept)


def shared_memory() -> list[Finding]:
    """Return whether worker processes can hand pictures over."""
    if not SHARED.is_dir():
        return [Finding("shared memory", "ok", "no /dev/shm on this system: workers hand pictures over by files")]
    room = shutil.disk_usage(SHARED)
    said = f"{size(room.free)} free of {size(room.total)} in /dev/shm"
    if room.free < ENOUGH_SHARED:
        return [
            Finding(
                "shared memory",
                "fault",
                f"{said}; expected {size(ENOUGH_SHARED)}, for two workers that decode pictures",
                "docker run --shm-size=1g, or --workers 0",
            )
        ]
    return [Finding("shared memory", "ok", said)]


def devices() -> list[Finding]:
    """Return what torch can compute on, each tried."""
    ended = apart(DEVICES, seconds=SECONDS)
    said = [line for line in ended.lines if line.startswith("{")]
    if not said:
        why = ended.wrong or "a process that imports torch said nothing"
        return [Finding("devices", "fault", f"torch cannot be asked: {why}", "mend torch first, see above")]
    found = json.loads(said[-1])
    lines = [_device("CPU", "torch computes on it", found["cpu"])]
    for n, (name, total, free, wrong) in enumerate(found["gpus"]):
        lines.append(
            _device(f"GPU {n}", f"{name}, {size(free or 0)} free of {size(total)}", wrong and f"{name}: {wrong}")
        )
    if ended.wrong:
        lines.append(
            Finding(
                "devices", "fault", f"trying them: {ended.wrong}", "see whether nvidia-smi works; else --device cpu"
            )
        )
    elif not found["gpus"]:
        lines.append(_no_gpu(found["built"]))
    if found["mps"] is not None:
        lines.append(Finding("MPS", "ok", found["mps"] or "torch computes on it; aevlp computes on the CPU here"))
    return lines


def _device(name: str, said: str, wrong: str) -> Finding:
    if not wrong:
        return Finding(name, "ok", said)
    todo = "see https://pytorch.org/get-started/locally/ for a torch that fits; until then --device cpu"
    return Finding(
        name, "fault", f"torch cannot compute on it: {wrong}", "mend torch, see above" if name == "CPU" else todo
    )


def _no_gpu(built: str | None) -> Finding:
    there = shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()
    if there and built is None:
        todo = "https://pytorch.org/get-started/locally/ names the torch for it"
        return Finding("GPU", "missing", "there seems to be one, and this torch is built for CPUs alone", todo)
    if there:
        todo = "see whether nvidia-smi lists it, and whether CUDA_VISIBLE_DEVICES hides it"
        return Finding("GPU", "missing", f"there seems to be one that torch (CUDA {built}) does not see", todo)
    return Finding("GPU", "missing", "none: aevlp computes on the CPU")


def compiler() -> list[Finding]:
    """Return whether there is a compiler for --compile."""
    try:
        require_compiler("--compile")
    except AevlpError as error:
        return [Finding("compiler", "missing", "no C++ compiler, which --compile needs", f"{error}".partition(": ")[2])]
    return [Finding("compiler", "ok", "a C++ compiler is there, for --compile")]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _words(file: Path) -> list[str]:
    return _text(file).split()
