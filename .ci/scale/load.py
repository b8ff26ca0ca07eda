"""Partners, who place orders until they are acknowledged, and the receiver of their webhooks."""

import http.client, http.server, json, math, sys, threading, time, uuid

from .cluster import GATEWAY, eventually, lmn

CLIENTS, ORDERS_PER_SECOND = 8, 30
ATTEMPT_SECONDS = 15
PROXY = ("127.0.0.1", 8081)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Receives the webhooks of all partners."""

    protocol_version = "HTTP/1.1"
    events = set()

    @classmethod
    def start(cls):
        """Returns the URL at which containers reach it."""
        server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), cls)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{GATEWAY}:{server.server_port}/"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.events.add(json.loads(body)["id"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Partner:
    """A partner with its key, and its acknowledged orders by Idempotency-Key."""

    def __init__(self, name, receiver):
        lmn("partner", "add", name)
        self.key = json.loads(lmn("key", "issue", name, "--json"))["api_key"]
        for policy in ("read", "write"):
            lmn("partner", "limits", name, "--policy", policy, "--limit", "1000000", "--window", "60", "--burst", "100000")
        self.acknowledged = {}
        status, _ = call(self.key, "PUT", "/v1/webhook_endpoint", {"url": receiver})
        assert status in (200, 201), status

    def rows(self, path):
        """Returns all rows of a list."""
        rows, cursor = [], ""
        while cursor is not None:
            status, page = eventually("a list is answered", lambda: (it := call(self.key, "GET", f"{path}?limit=100{cursor}"))[0] == 200 and it)
            rows += page["data"]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        return rows


def call(key, method, path, body=None, idempotency_key=None, connection=None):
    """Sends a request once, and returns its status and body. Raises OSError or HTTPException without an answer."""
    own = connection or http.client.HTTPConnection(*PROXY, timeout=ATTEMPT_SECONDS)
    headers = {"x-api-key": key, "content-type": "application/json"}
    if idempotency_key:
        headers["idempotency-key"] = idempotency_key
    try:
        own.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = own.getresponse()
        text = response.read()
    finally:
        if not connection:
            own.close()
    return response.status, json.loads(text) if response.headers.get("content-type", "").startswith("application/json") else None


class Load:
    """Places orders until it is stopped; every request is repeated until it is acknowledged, unless the script fails.

    `address` may be changed meanwhile: clients whose connection fails connect to the new one. `fault` is the time of the
    fault, which a scenario sets again if it needs preparations.
    """

    def __init__(self, partners, work, address=PROXY, clients=CLIENTS):
        self.partners, self.work, self.address = partners, work, address
        self.attempts, self.fault = [], math.inf
        self.stopping, self.abandoning = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.place) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, error, *_):
        if error:
            self.abandoning.set()
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def connect(self):
        return http.client.HTTPConnection(*self.address, timeout=ATTEMPT_SECONDS)

    def place(self):
        connection = self.connect()
        while not self.stopping.is_set():
            partner, vehicle, amount = self.work.pop()
            key, body = str(uuid.uuid4()), {"vehicle_id": vehicle, "max_bid_amount_usd": amount}
            begin = time.monotonic()
            while not self.abandoning.is_set():
                status, answer, start = 0, None, time.monotonic()
                try:
                    status, answer = call(partner.key, "POST", "/v1/orders", body, key, connection)
                except (OSError, http.client.HTTPException):
                    connection.close()
                    connection = self.connect()
                self.attempts.append((start, time.monotonic(), status))
                if status in (200, 201):
                    partner.acknowledged[key] = answer["id"]
                    break
                if 400 <= status < 500 and status not in (408, 409, 429):
                    print(f"refused: {status} {answer}", file=sys.stderr)
                    break
                time.sleep(0.1)
            time.sleep(max(0, CLIENTS / ORDERS_PER_SECOND - (time.monotonic() - begin)))

    def acknowledged(self, since=0):
        """Returns the attempts that began after a time and were acknowledged."""
        return [it for it in self.attempts if it[2] in (200, 201) and it[0] >= since]

    def failed(self):
        return [it for it in self.attempts if it[2] not in (200, 201)]

    def pause_seconds(self):
        """Returns the longest time after the fault in which no order was acknowledged."""
        times = [self.fault, *sorted(end for _, end, _ in self.acknowledged() if end > self.fault)]
        return max([after - before for before, after in zip(times, times[1:])], default=math.inf)

    def heal_seconds(self):
        """Returns how long after the fault the last request failed."""
        return max([end - self.fault for _, end, _ in self.failed() if end > self.fault], default=0)
