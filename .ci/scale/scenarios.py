"""The scenarios: each breaks something under load, and repairs it."""

import dataclasses, subprocess, sys, time
from typing import Callable, Optional

from .cluster import address, compose, connect, container, disconnect, docker, eventually, patronictl, primary, sql, standby
from .load import PROXY, Load

# Longer than Patroni's ttl (20) and a promotion: a fail-over ends before the server comes back.
FAIL_OVER_SECONDS = 45
# A network of its own for those that are cut off together. No other network can be reached from it.
PARTITION = "lmn-partner-api_partition"
# Beside the data of the server, on the same disk.
BALLAST = "/var/lib/postgresql/data/ballast"


def replica_replaced(_):
    """Rolling upgrade: every replica is stopped and made anew, one after another."""
    for n in (1, 2, 3):
        compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "--wait", f"replica-{n}")
        time.sleep(3)  # longer than the proxy takes to use it again


def killed(choose, seconds=10):
    def breaks(_):
        victim = container(choose())
        docker("kill", "--signal", "KILL", victim)
        time.sleep(seconds)
        docker("start", victim)
    return breaks


def cut_off(choose, seconds=10):
    def breaks(_):
        service = choose()
        disconnect(service)
        time.sleep(seconds)
        connect(service)
    return breaks


def primary_changed(_):
    """A planned change of the primary."""
    patronictl("switchover", "--force")
    time.sleep(15)


def split_brain(load):
    """Cuts the primary and a replica off together, with clients that reach this replica only.

    Returns how many orders were acknowledged there. Afterwards these clients repeat the same requests through the proxy.
    """
    old, replica = primary(), "replica-3"
    docker("network", "create", "--internal", "--subnet", "172.30.78.0/24", PARTITION)
    connect(old, PARTITION)
    connect(replica, PARTITION)
    disconnect(replica)
    with Load(load.partners, load.work, (address(replica, PARTITION), 8080), clients=2) as inside:
        eventually("orders are acknowledged there while the primary reaches the standby", inside.acknowledged)
        disconnect(old)
        load.fault = time.monotonic()
        time.sleep(FAIL_OVER_SECONDS)
        acknowledged = len(inside.acknowledged(since=load.fault))
        inside.address = PROXY
        for service in (old, replica):
            disconnect(service, PARTITION)
            connect(service)
    remove_partition()
    return acknowledged


def remove_partition():
    """Removes the network of those that are cut off together, if there is one."""
    subprocess.run(["docker", "network", "rm", PARTITION], capture_output=True)


def asynchronous_standby(load):
    """Loses the primary while its asynchronous standby has not received the commits of the last two seconds."""
    settings = lambda *words: patronictl("edit-config", "--quiet", "--force", *(it for word in words for it in ("--set", word)))
    # Without a larger lag Patroni would not promote a standby that is known to be behind.
    settings("synchronous_mode=false", "maximum_lag_on_failover=10485760")
    old, behind = primary(), standby()
    eventually("no commit waits for the standby", lambda: sql(old, "show synchronous_standby_names") == "")
    victim = container(old)
    disconnect(behind)
    time.sleep(2)
    docker("kill", "--signal", "KILL", victim)
    load.fault = time.monotonic()
    connect(behind)
    time.sleep(FAIL_OVER_SECONDS)
    docker("start", victim)
    settings("synchronous_mode=true", "maximum_lag_on_failover=0")


def disk_full(_):
    """Fills the disk of the primary with a file, and removes it."""
    victim = container(primary())
    execute = lambda *words: subprocess.run(["docker", "exec", victim, *words], text=True, capture_output=True)
    # Ends when nothing is left.
    filled = execute("dd", "if=/dev/zero", f"of={BALLAST}", "bs=1M")
    if "No space left" not in filled.stderr:
        sys.exit(f"the disk is not full: {filled.stderr}")
    time.sleep(20)
    eventually("the file is removed", lambda: execute("rm", "--force", BALLAST).returncode == 0)


def clock_wrong(_):
    """One machine has had a clock that is five minutes ahead since it started."""
    for service in ("replica-3", "worker-2"):
        ahead = int(docker("exec", container(service), "date", "+%s")) - time.time()
        if not 290 < ahead < 310:
            sys.exit(f"the clock of {service} is ahead by {ahead:.0f} s")
    time.sleep(30)


def poolers_restarted(_):
    """Every PgBouncer is stopped and started, one after another."""
    for n in (1, 2):
        compose("restart", f"pgbouncer-{n}")
        time.sleep(5)


@dataclasses.dataclass
class Scenario:
    """What is broken, how, and what is expected. `breaks` returns the number of orders that a part acknowledged which was
    cut off together with clients, or `None` without such a part."""

    what: str
    breaks: Callable[[Load], Optional[int]]
    # The file below deploy/compose/faults that the services need.
    override: Optional[str] = None
    # Clients must not see a failure.
    is_invisible: bool = False
    # Acknowledged orders may be lost.
    may_lose: bool = False


SCENARIOS = {
    "rolling_upgrade": Scenario("every replica replaced, one after another", replica_replaced, is_invisible=True),
    "replica_killed": Scenario("kill -9 of a replica", killed(lambda: "replica-1")),
    "replica_cut_off": Scenario("a replica without network", cut_off(lambda: "replica-2")),
    "worker_killed": Scenario("kill -9 of a worker", killed(lambda: "worker-1"), is_invisible=True),
    "valkey_killed": Scenario("kill -9 of Valkey", killed(lambda: "valkey"), is_invisible=True),
    "etcd_killed": Scenario("kill -9 of an etcd", killed(lambda: "etcd-1"), is_invisible=True),
    "primary_changed": Scenario("planned change of the primary", primary_changed),
    "primary_killed": Scenario("kill -9 of the primary", killed(primary, FAIL_OVER_SECONDS)),
    "primary_cut_off": Scenario("the primary without network", cut_off(primary, FAIL_OVER_SECONDS)),
    "split_brain": Scenario("the primary, a replica and its clients in a network of their own", split_brain),
    "standby_killed": Scenario("kill -9 of the synchronous standby", killed(standby, FAIL_OVER_SECONDS)),
    "standby_cut_off": Scenario("the synchronous standby without network", cut_off(standby, FAIL_OVER_SECONDS)),
    "asynchronous_standby": Scenario(
        "kill -9 of the primary, an **asynchronous** standby two seconds behind (loses orders, as expected)",
        asynchronous_standby,
        may_lose=True,
    ),
    "disk_full": Scenario("the disk of the primary full for 20 s", disk_full, override="small-disk"),
    "clock_wrong": Scenario("a machine whose clock is five minutes ahead", clock_wrong, override="wrong-clock", is_invisible=True),
    "poolers_restarted": Scenario("PgBouncer in front of PostgreSQL, restarted", poolers_restarted, override="pooler"),
}
