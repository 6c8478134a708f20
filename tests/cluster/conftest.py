"""A Slurm cluster of one machine, started for the tests and stopped after them."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
CONFIGURATION = """
ClusterName=like-to-see
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=10
SchedulerParameters=batch_sched_delay=0,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=4
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=9
"""


class Slurm:
    """A running cluster.

    Args:
        root: The folder of its files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = os.environ | {"SLURM_CONF": str(root / "slurm.conf")}

    def call(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands and return what it says."""
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, timeout=60, check=False, cwd=self.root
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of every job in the queue, by its number."""
        lines = self.call("squeue", "--noheader", "--array", "--format", "%i %T").splitlines()
        return dict(tuple(line.split()) for line in lines)  # type: ignore[misc]

    def start_at_once(self, job: str) -> None:
        """Spare a job that was put back into the queue Slurm's two minutes of waiting."""
        wait_until(lambda: self.states().get(job) == "PENDING")
        while self.states().get(job) == "PENDING":
            self.call("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            time.sleep(0.5)


def wait_until(holds: object, seconds: float = 90) -> None:
    """Wait until a function returns something true."""
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A cluster with two partitions, the urgent one preempting; skipped where Slurm is not installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    if missing:
        pytest.skip(f"Slurm is not installed: no {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("a cluster for tests is started by root")
    root = Path(tempfile.mkdtemp(prefix="slurm-"))  # munge wants parents that all can enter
    running = []
    try:
        running = start(root)
        cluster = Slurm(root)
        wait_until(lambda: "idle" in cluster.call("sinfo", "--noheader", "--format", "%T", check=False))
        yield cluster
        cluster.call("scancel", "--user", "root")
        wait_until(lambda: not cluster.states())
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(timeout=30)
        shutil.rmtree(root, ignore_errors=True)


def start(root: Path) -> list[subprocess.Popen[bytes]]:
    """Start munged, slurmctld and slurmd in the foreground of processes of this test."""
    root.chmod(0o711)
    for name in ("state", "spool", "munge"):
        (root / name).mkdir(mode=0o755)
    user = pwd.getpwnam("munge")
    key = root / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for path in (root / "munge", key):
        os.chown(path, user.pw_uid, user.pw_gid)
    text = CONFIGURATION.format(root=root, host=socket.gethostname().split(".")[0], ports=free_ports(2))
    (root / "slurm.conf").write_text(text)
    munge = [
        f"--{name}={root}/munge/{file}"
        for name, file in (
            ("key-file", "key"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        )
    ]
    environment = os.environ | {"SLURM_CONF": str(root / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    running = []
    for command in (
        ["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--foreground", *munge],
        ["/usr/sbin/slurmctld", "-D"],
        ["/usr/sbin/slurmd", "-D"],
    ):
        with (root / f"{Path(command[-2]).name}.out").open("wb") as log:
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        time.sleep(1)
    return running


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
