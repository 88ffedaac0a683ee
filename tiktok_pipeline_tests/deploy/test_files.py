"""The production files agree with each other, with the local set-up and with the docs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline_tests.deploy import confinement
from tiktok_pipeline_tests.deploy.units import DEPLOY, NAMES, ROOT, unit, values, variables

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
README = (DEPLOY / "README.md").read_text()
SINGLE_MACHINE = ROOT / "dagster.yaml"


def test_the_production_instance_equals_the_local_one_except_for_postgres_and_the_code_server() -> None:
    laptop = yaml.safe_load(SINGLE_MACHINE.read_text())
    production = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    assert production.pop("storage") == {"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}}
    queue = production["run_queue"]
    assert queue.pop("max_user_code_failure_retries") >= 3
    assert queue.pop("user_code_failure_retry_delay") >= 10
    assert production == laptop


def test_runs_are_monitored_retried_once_and_never_pile_up() -> None:
    instance = yaml.safe_load(SINGLE_MACHINE.read_text())
    assert instance["run_monitoring"]["enabled"]
    assert instance["run_retries"] == {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    limits = instance["concurrency"]["runs"]["tag_concurrency_limits"]
    assert {"key": "tiktok/poll", "value": {"applyLimitPerUniqueValue": True}, "limit": 1} in limits
    assert set(instance["retention"]) == {"schedule", "sensor", "auto_materialize"}


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_runs_as_its_own_user_and_restarts(name: str) -> None:
    service = unit(name)["Service"]
    assert service["User"] == "tiktok"
    assert service["Restart"] == "always"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    files = {Path(file).name for file in service["EnvironmentFile"].splitlines()}
    # Only the code server, which makes the requests, gets the vendors' keys.
    assert files == {"instance.env", "pipeline.env"} if name == "code" else files == {"instance.env"}
    known = variables(DEPLOY / "instance.env.example")
    assert set(re.findall(r"\$\{(\w+)\}", service["ExecStart"])) <= set(known)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_reports_no_error_in_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text()
        (tmp_path / path.name).write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    units = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "tiktok-pipeline" in line]
    assert complaints == []


# Restrictions that keep the exposure low, for machines without systemd-analyze.
RESTRICTIONS = {
    "CapabilityBoundingSet": [""],
    "LockPersonality": ["yes"],
    "NoNewPrivileges": ["yes"],
    "PrivateDevices": ["yes"],
    "PrivateMounts": ["yes"],
    "PrivateTmp": ["yes"],
    "ProtectClock": ["yes"],
    "ProtectControlGroups": ["yes"],
    "ProtectHome": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectProc": ["invisible"],
    "ProtectSystem": ["strict"],
    "RestrictAddressFamilies": ["AF_UNIX AF_INET AF_INET6"],
    "RestrictNamespaces": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "SystemCallArchitectures": ["native"],
    "SystemCallErrorNumber": ["EPERM"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_has_only_the_permissions_that_it_needs(name: str) -> None:
    assert {key: values(name, key) for key in RESTRICTIONS} == RESTRICTIONS
    # V8 draws the report's charts in runs of the code server, and it compiles at run time.
    assert values(name, "MemoryDenyWriteExecute") == ([] if name == "code" else ["yes"])
    high, most = (size(values(name, key)[0]) for key in ("MemoryHigh", "MemoryMax"))
    assert high < most
    # A run that exceeds the memory limit ends alone, not with the code server and all other runs.
    assert values(name, "OOMPolicy") == (["continue"] if name == "code" else [])


def size(text: str) -> float:
    return float(text[:-1]) * {"%": 1, "M": 1, "G": 1024}[text[-1]]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_rates_the_exposure_of_a_unit_as_low(name: str) -> None:
    path = DEPLOY / "systemd" / f"tiktok-pipeline-{name}.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "--offline" in done.stderr:
        pytest.skip("this systemd cannot tell the exposure of a unit that is not installed")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) < 3, done.stdout


ATTEMPTS = {
    "a raw packet socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "a netlink socket": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "another user": "import os; os.setresuid(1, 1, 1)",
    "another owner": "import os; os.chown('/tmp', 0, 0)",
    "another root": "import os; os.chroot('/tmp')",
    "another clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "another priority": "import os; os.setpriority(os.PRIO_PROCESS, 0, -5)",
    "a user namespace": "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "a mount": "import ctypes; assert ctypes.CDLL(None).mount(b'none', b'/mnt', b'tmpfs', 0, None) == 0",
    "a debugger": "import ctypes; assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0",
}
WRITE_AND_EXECUTE = "import mmap; mmap.mmap(-1, 4096, prot=7)"
ORDINARY = (
    "import threading, subprocess, sys, socket, os; "
    "t = threading.Thread(target=print); t.start(); t.join(); socket.create_server(('127.0.0.1', 0)); "
    "os.fork() or os._exit(0); os.wait(); subprocess.run([sys.executable, '-c', ''], check=True)"
)


def attempt(name: str, code: str) -> int:
    command = [sys.executable, "-m", "tiktok_pipeline_tests.deploy.confinement", name, sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


@pytest.mark.skipif(not confinement.available(), reason="no libseccomp or systemd-analyze")
@pytest.mark.parametrize("name", NAMES)
def test_the_system_call_filter_of_a_unit_denies_unneeded_calls(name: str) -> None:
    assert attempt(name, ORDINARY) == 0
    for what, code in ATTEMPTS.items():
        assert attempt(name, code) == 1, what
    assert (attempt(name, WRITE_AND_EXECUTE) == 0) is (name == "code")


def test_compose_has_one_daemon_no_open_port_and_no_root() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"postgres", *NAMES}
    assert services["daemon"]["deploy"] == {"replicas": 1}
    assert all("healthcheck" in service and service["restart"] == "unless-stopped" for service in services.values())
    assert [port for service in services.values() for port in service.get("ports", [])] == ["127.0.0.1:3000:3000"]
    for name in NAMES:
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["read_only"] is True
        assert ("env_file" in services[name]) == (name == "code")
    assert (DEPLOY / "Dockerfile").read_text().rstrip().endswith("USER tiktok")


@pytest.mark.parametrize("name", NAMES)
def test_compose_and_the_units_start_the_same_commands(name: str) -> None:
    started = " ".join(COMPOSE["services"][name]["command"]).replace("=", " ")
    expected = re.sub(r"^\S+/", "", unit(name)["Service"]["ExecStart"].replace("\n", " "))
    plain = re.compile(r"--(?:host|port) \S+")
    assert plain.sub("", started).split() == plain.sub("", expected).split()


def test_every_file_copied_into_the_image_exists() -> None:
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    copied = set()
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            copied |= {word for word in words[1:-1] if not word.startswith("--")}
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)


def test_every_production_variable_is_explained_in_the_example_files() -> None:
    example = (ROOT / ".env.example").read_text()
    pipeline = variables(DEPLOY / "pipeline.env.example")
    assert all(name in example for name in pipeline)
    assert all(name in pipeline for vendor in VENDORS.values() for name in vendor.credential_variables)
    instance = variables(DEPLOY / "instance.env.example")
    assert {"DAGSTER_HOME", "DAGSTER_PG_URL"} <= set(instance)
    assert set(COMPOSE["x-instance"]) <= set(instance)
    for path in (*DEPLOY.iterdir(), *(DEPLOY / "systemd").iterdir()):
        if path.is_file() and path.name != "README.md":
            assert path.name in README, path.name
