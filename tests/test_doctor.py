"""What `aevlp doctor` says of a machine that has everything, and of one that lacks it; no check can end the others."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import aevlp
from aevlp.pipeline.files.image_formats import HEAD, format_of
from aevlp.stages.commands.app import main
from aevlp.stages.doctor import doctor as all_checks
from aevlp.stages.doctor import finding, libraries, machine, pictures, places
from aevlp.stages.doctor.extras import EXTRAS
from aevlp.stages.doctor.finding import Finding, masked

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
Room = namedtuple("Room", "total used free")


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[\[>=]", line)[0] for line in requirements]


def test_it_knows_every_library_and_every_extra_of_the_project() -> None:
    assert sorted(libraries.NEEDED) == sorted(names(PROJECT["dependencies"]))
    extras = {name: names(of) for name, of in PROJECT["optional-dependencies"].items()}
    extras["dev"].remove("aevlp")  # with all other extras
    assert {name: list(packages) for name, (packages, _) in EXTRAS.items()} == extras


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_it_knows_how_old_a_library_may_be(line: str) -> None:
    name, least = line.split(">=")
    assert libraries.least_version(name) == least


def test_a_library_that_is_too_old_or_not_there_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "h5py":
            raise libraries.PackageNotFoundError(name)
        return {"timm": "1.0.9", "torch": "2.11.0", "torchvision": "0.26.0"}.get(name, "9999")

    monkeypatch.setattr(libraries, "version", version)
    monkeypatch.setattr(libraries, "import_faults", lambda _: {"scipy.stats": "ImportError: no libfoo"})
    found = {line.name: line for line in libraries.libraries()}
    assert [name for name, line in found.items() if line.state == "fault"] == ["timm", "h5py", "scipy"]
    assert found["timm"].found == "1.0.9, older than the 1.0.17 that is needed"
    assert found["h5py"].todo == "pip install h5py"
    assert "ImportError: no libfoo" in found["scipy"].found
    assert "h5py" not in found["other libraries"].found and "numpy 9999" in found["other libraries"].found


# The pairs that were released together.
@pytest.mark.parametrize(("torch", "torchvision"), [("2.0.1", "0.15.2"), ("2.5.1", "0.20.1"), ("2.8.0", "0.23.0")])
def test_a_torchvision_goes_with_the_torch_it_was_released_with(torch: str, torchvision: str) -> None:
    assert libraries.mismatch(torch, torchvision) == ""
    assert libraries.mismatch(f"{torch}+cu128", f"{torchvision}+cu128") == ""
    assert libraries.mismatch(f"{torch}+cu128", f"{torchvision}+cpu") == f"{torchvision}+cpu is built for cpu, " + (
        f"and torch {torch}+cu128 for cu128"
    )
    assert "is made for torch 2." in libraries.mismatch(f"2.{int(torch.split('.')[1]) + 1}.0", torchvision)


def test_a_torchvision_of_another_torch_is_a_fault_with_the_pair_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    have = {"torch": "2.11.0+cu128", "torchvision": "0.27.0+cu128"}
    monkeypatch.setattr(libraries, "version", lambda name: have.get(name, "9999"))
    monkeypatch.setattr(libraries, "import_faults", lambda _: {})
    (line,) = [line for line in libraries.libraries() if line.state == "fault"]
    assert line.found == "0.27.0+cu128 is made for torch 2.12, and torch 2.11.0+cu128 is here"
    assert line.todo == (
        "pip install torch==2.11.0 'torchvision==0.26.*' --index-url https://download.pytorch.org/whl/cu128"
    )


@pytest.mark.process
def test_a_library_that_crashes_python_is_named_and_the_next_one_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = {
        "fine_one": "",
        "crashes": "import os; os.abort()",
        "raises": "import nowhere_at_all",
        "fine_two": "print('x')",
    }
    for name, body in bodies.items():
        (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert libraries.import_faults([*bodies, "leaves"]) == {
        "crashes": "importing it: the process was ended by signal 6",
        "raises": "ModuleNotFoundError: No module named 'nowhere_at_all'",
        "leaves": "ModuleNotFoundError: No module named 'leaves'",
    }


@pytest.mark.process
def test_an_import_that_never_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(libraries, "SECONDS", 1)
    assert libraries.import_faults(["sleeps", "json"]) == {"sleeps": "importing it: no answer within 1 seconds"}


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_nothing_that_identifies_or_opens_doors_is_left(before: str, after: str) -> None:
    home = str(Path.home())
    token = "hf_" + "aB3" * 11
    text = f"{before} {home}/cache /data/anna/x http://anna:pa55@proxy:80 {token} {after}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "getuser", lambda: "anna")
        said = masked(text)
    assert token not in said and "pa55" not in said and f"{home}/" not in said and "/anna/" not in said
    assert "~/cache" in said and "/data/USER/x" in said and "http://proxy:80" in said


def test_what_names_no_one_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "getuser", lambda: "torch")
    text = "torch 2.11.0 of pytorch, 3.2 GB free in /torchvision, https://pytorch.org/get-started/locally/"
    assert masked(text) == text


def test_a_check_that_fails_is_a_line_and_the_others_are_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> list[Finding]:
        raise RuntimeError(f"broken in {Path.home()}/lib\nsecond line")

    checks = (("devices", fails), ("after", lambda: [Finding("after", "ok", "here")]))
    monkeypatch.setattr(all_checks, "CHECKS", checks)
    found = aevlp.doctor()
    assert [(line.name, line.state) for line in found.findings] == [("devices", "fault"), ("after", "ok")]
    assert found.failed
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--json"])
    assert stop.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["summary"] == {"ok": 1, "missing": 0, "faults": "devices"}
    assert told["rows"][0]["found"] == "could not be looked at: RuntimeError: broken in ~/lib second line"


def test_what_is_missing_is_no_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [Finding("GPU", "missing", "none"), Finding("memory", "ok", "enough")]
    monkeypatch.setattr(all_checks, "CHECKS", (("all", lambda: lines),))
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is wrong; 1 thing that may be missing"


@pytest.mark.parametrize("columns", [80, 200])
def test_the_lines_fit_the_terminal_and_say_their_state_in_words(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    states = ("ok", "missing", "fault")
    lines = tuple(Finding(f"check {n}", state, "word " * 40, "do this") for n, state in enumerate(states))
    all_checks.show(all_checks.Doctor(lines))
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= columns
    assert [line.split()[:3] for line in said if "check" in line][:3] == [
        ["ok", "check", "0"],
        ["missing", "check", "1"],
        ["FAULT", "check", "2"],
    ]
    assert sum("→ do this" in line for line in said) == 3
    assert said[-1] == "1 fault: check 2; 1 thing that may be missing"


def test_each_tiny_picture_is_of_its_format_and_is_read() -> None:
    assert [line.state for line in pictures.codecs()] == ["ok"] * len(pictures.NAMES)
    assert [format_of(pictures.tiny_picture(name)[:HEAD]) for name in pictures.NAMES] == list(pictures.NAMES)


def test_a_picture_that_is_decoded_wrongly_is_seen() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 40, 120)).save(file, "PNG")
    assert pictures.difference(file.getvalue()) == "its colours are off by 30 of 255"
    file = io.BytesIO()
    Image.new("RGB", (8, 16), pictures.COLOUR).save(file, "PNG")
    assert pictures.difference(file.getvalue()) == "expected 16 x 16 pixels of 3 colours, found 16 x 8 x 3"


@pytest.mark.parametrize(("name", "state"), [("PNG", "fault"), ("AVIF", "missing"), ("HEIF", "missing")])
def test_a_format_that_is_not_there_is_a_fault_where_all_need_it(
    name: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pictures.tiny_picture

    def without(wanted: str) -> bytes:
        if wanted == name:
            raise OSError("encoder not available")
        return made(wanted)

    monkeypatch.setattr(pictures, "tiny_picture", without)
    assert [line.state for line in pictures.codecs() if line.state != "ok"] == [state]


def test_a_container_s_limits_are_those_that_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "PROCESS_MEMORY", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable: 8000000 kB\n")
    assert machine.memory() == [Finding("memory", "ok", "8.2 GB free of 16.4 GB")]
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory() == [Finding("memory", "ok", "8.2 GB free of 16.4 GB")]
    (tmp_path / "memory.max").write_text("4000000000\n")
    (tmp_path / "memory.current").write_text("3500000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 400000000\nactive_file 100000000\n")
    (line,) = machine.memory()
    assert (line.state, line.found.partition(";")[0]) == (
        "fault",
        "1.0 GB free of the 4.0 GB that this container may use",
    )
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert machine.cores()[0].found == "4 of 8 may be used, and this container has the time of 1.5"
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.cores()[0].found == "4 of 8 may be used"


def test_docker_s_usual_shared_memory_is_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SHARED", tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Room(1 << 26, 0, 1 << 26))
    (line,) = machine.shared_memory()
    assert line.state == "fault" and "67 MB free of 67 MB" in line.found and "--shm-size" in line.todo


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "torch cannot be asked: the process was ended by signal 6"),
        ("raise ImportError('no libcudart')", "torch cannot be asked: ImportError: no libcudart"),
    ],
)
@pytest.mark.process
def test_a_torch_that_crashes_is_said(program: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DEVICES", program)
    (line,) = machine.devices()
    assert (line.state, line.found) == ("fault", said)


@pytest.mark.process
def test_a_gpu_that_cannot_compute_is_a_fault_and_one_that_can_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [["Good", 8e9, 7e9, ""], ["Old", 4e9, None, "no kernel image is available"]]
    told = {"built": "12.8", "cpu": "", "gpus": gpus, "mps": None}
    monkeypatch.setattr(machine, "DEVICES", f"print({json.dumps(told)!r})")
    assert [(line.name, line.state) for line in machine.devices()] == [
        ("CPU", "ok"),
        ("GPU 0", "ok"),
        ("GPU 1", "fault"),
    ]
    assert machine.devices()[1].found == "Good, 7.0 GB free of 8.0 GB"
    assert "Old: no kernel image is available" in machine.devices()[2].found


def test_a_full_disk_and_locks_without_effect_are_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [line.state for line in places.working_folder()] == ["ok", "ok"]
    monkeypatch.setattr("aevlp.pipeline.files.locks.is_held", lambda _: False)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: Room(1e12, 1e12, 5e8))
    disk, locks = places.working_folder()
    assert (disk.state, locks.state) == ("fault", "fault")
    assert disk.found.startswith("500 MB free")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder where nobody may write")
def test_a_folder_that_cannot_be_written_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")
    (line,) = places.working_folder()
    assert line.state == "fault" and line.found.startswith("it cannot be written: ")


@contextmanager
def hub_that_answers(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that answers all with one status, and what it was asked."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.process
@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (404, "ok"), (403, "missing"), (503, "missing")])
def test_a_hub_that_answers(status: int, state: str, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_that_answers(status) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        (line,) = places.hub()
    assert (line.state, len(asked)) == (state, 1)
    assert "127.0.0.1" not in line.found  # an address of one's own stays one's own
    assert state == "ok" or str(status) in line.found


def test_a_hub_is_not_asked_where_that_is_forbidden(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_that_answers(200) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        (line,) = places.hub()
    assert line.state == "missing" and "HF_HUB_OFFLINE is set" in line.found and asked == []


@pytest.mark.process
def test_neither_a_proxy_nor_its_password_is_told(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://anna:pa55@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    (line,) = places.hub()
    assert line.state == "missing" and "not reached" in line.found
    assert (
        "pa55" not in f"{line}" and "anna" not in f"{line}" and ":9" not in f"{line}" and "hub.invalid" not in f"{line}"
    )


def test_the_weights_of_the_local_cache_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found, _ = places.weights()
    assert found.state == "missing" and not (tmp_path / "hub").exists()
    for name in ("models--a--b", "models--only--begun"):
        (tmp_path / "hub" / name / "blobs").mkdir(parents=True)
        (tmp_path / "hub" / name / "snapshots" / "1").mkdir(parents=True)
    (tmp_path / "hub" / "models--a--b" / "blobs" / "x").write_bytes(b"x" * 2000)
    (tmp_path / "hub" / "models--a--b" / "snapshots" / "1" / "x").symlink_to("../../blobs/x")
    found, _ = places.weights()
    assert (found.state, found.found.partition(", in")[0]) == ("ok", "1 model, 2 kB")


@pytest.mark.slow
@pytest.mark.process
def test_a_machine_whose_torch_crashes_python_gets_its_lines(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import os\nos.abort()\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "aevlp.stages", "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    told = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    faults = [name for name, row in told.items() if row["state"] == "fault"]
    assert faults == ["torch", "torchvision", "open_clip_torch", "timm", "devices"]
    assert "signal 6" in told["torch"]["found"] and told["timm"]["todo"] == "mend torch first"
    assert told["PNG"]["state"] == told["file locks"]["state"] == told["aevlp[review]"]["state"] == "ok"
    assert str(Path.home()) not in done.stdout


@pytest.mark.slow
@pytest.mark.process
def test_this_machine_has_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = aevlp.doctor()
    assert not found.of("fault")
    named = {"aevlp", "Python", "torch", "torchvision", "CPU", "memory", "JPEG", "file locks", "Hugging Face hub"}
    assert named <= {row["name"] for row in found.rows}
    assert found.to_arrow().column_names == ["name", "state", "found", "todo"]
