"""The services of the profile `scale` of compose.yaml, by Docker Compose."""

import contextlib, http.client, json, pathlib, shutil, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent.parent.parent
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
FILES = ["compose.yaml"]
# Servers and workers.
PROCESSES = ["replica-1", "replica-2", "replica-3", "worker-1", "worker-2"]
NETWORK = "lmn-partner-api_scale"
GATEWAY = "172.30.77.1"
HEAL_SECONDS = 120


def use(override):
    """Adds a file below deploy/compose/faults to those that the next commands read; `None` is compose.yaml alone."""
    FILES[1:] = [f"deploy/compose/faults/{override}.yaml"] if override else []


def run(*words, **more):
    done = subprocess.run(words, cwd=HERE, text=True, capture_output=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def compose(*words, **more):
    files = [word for file in FILES for word in ("--file", file)]
    return run(*COMPOSE, *files, "--profile", "scale", *words, **more)


def down():
    compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def docker(*words):
    return run("docker", *words)


def container(service):
    return compose("ps", "--all", "--quiet", service).strip()


def lmn(*words, **more):
    return compose("exec", "-T", "replica-1", "lmn", *words, **more)


def eventually(what, check, seconds=HEAL_SECONDS):
    """Waits until the check returns something, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            if found := check():
                return found
        time.sleep(0.2)
    sys.exit(f"in {seconds} s it did not become true that {what}")


def connect(service, network=NETWORK):
    docker("network", "connect", "--alias", service, network, container(service))


def disconnect(service, network=NETWORK):
    docker("network", "disconnect", network, container(service))


def address(service, network):
    """Returns the IP address of a container, which this machine can reach."""
    return json.loads(docker("inspect", container(service)))[0]["NetworkSettings"]["Networks"][network]["IPAddress"]


def cluster():
    """Returns the members of the PostgreSQL cluster by Patroni's word, from the first server that answers."""
    for service in ("db-1", "db-2"):
        words = ["docker", "exec", container(service), "curl", "--silent", "--max-time", "2", "http://localhost:8008/cluster"]
        with contextlib.suppress(ValueError):
            answer = json.loads(subprocess.run(words, text=True, capture_output=True).stdout)
            if any(it["role"] == "leader" for it in answer.get("members", [])):
                return answer["members"]
    return []


def primary():
    return next(it["name"] for it in eventually("there is a primary", cluster) if it["role"] == "leader")


def standby():
    return next(it["name"] for it in eventually("there is a primary", cluster) if it["role"] != "leader")


def patronictl(*words):
    return docker("exec", container(primary()), "patronictl", "-c", "/etc/patroni/patroni.yaml", *words)


def sql(service, query):
    """Returns the answer of a database server as text. Raises ValueError if it does not answer."""
    words = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--command", query]
    done = subprocess.run(["docker", "exec", container(service), *words], text=True, capture_output=True)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout.strip()


def whole():
    """Returns whether there is a primary with a synchronous standby, and every process is healthy."""
    roles = sorted((it["role"], it["state"]) for it in cluster())
    return roles == [("leader", "running"), ("sync_standby", "streaming")] and all(
        json.loads(docker("inspect", "--format", "{{json .State.Health.Status}}", container(it))) == "healthy" for it in PROCESSES
    )
