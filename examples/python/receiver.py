"""A receiver of events: it verifies deliveries, answers at once, takes every event once, and checks their sequence."""

import hashlib
import hmac
import http.server
import json
import threading
import time


def is_from_lmn(secret: str, signature: str, body: bytes, now: float) -> bool:
    """`signature` is X-LMN-Signature, `body` the raw body, `now` is time.time()."""
    parts = [part.partition("=")[::2] for part in signature.split(",")]
    name, time = parts[0]
    if name != "t" or not time.isdecimal() or len(time) > 12 or abs(now - int(time)) > 300:
        return False
    message = time.encode() + b"." + body
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest().encode()
    return any(name == "v1" and hmac.compare_digest(value.encode(), expected) for name, value in parts[1:])


class Receiver(http.server.ThreadingHTTPServer):
    """Takes deliveries at /lmn. A real receiver stores the events that it has taken in its database."""

    daemon_threads = True

    def __init__(self, address=("127.0.0.1", 0), handler=None):
        super().__init__(address, handler or Delivery)
        self.secret = None
        self.lock, self.events, self.last = threading.Lock(), set(), {}

    @property
    def url(self):
        return "http://{}:{}/lmn".format(*self.server_address)

    def take(self, event):
        """Takes an event. Long processing belongs after the response, not before it."""
        with self.lock:
            if event["id"] in self.events:
                print("again    ", event["id"], flush=True)
                return
            self.events.add(event["id"])
            sequence, order = event["sequence"], event["data"]["order"]
            if sequence is None:
                print("verified ", event["id"], "", event["type"], flush=True)
                return
            last = self.last.get(order["id"], 0)
            self.last[order["id"]] = max(last, sequence)
        if sequence == last + 1:
            place = "in order"
        elif sequence <= last:
            place = "late: older than the last one"
        else:
            place = "earlier ones preceded this receiver"
        text = f"order {order['id']} #{sequence} ({place}): {order['status']}"
        print(f"verified  {event['id']}  {event['type']}  {text}", flush=True)


class Delivery(http.server.BaseHTTPRequestHandler):
    """The handler of one delivery."""

    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if self.path != "/lmn" or not length.isdecimal() or int(length) > 1_000_000:
            return self.answer(400)
        body = self.rfile.read(int(length))
        secret = self.server.secret
        if secret is None:
            # This delivery comes before the secret is known; it will be sent again.
            return self.answer(503)
        if not self.is_verified(secret, body):
            print("refused: not from LMN", flush=True)
            return self.answer(401)
        self.server.take(json.loads(body))
        return self.answer(204)

    def is_verified(self, secret, body):
        """Returns whether LMN has signed this delivery."""
        return is_from_lmn(secret, self.headers.get("X-LMN-Signature", ""), body, time.time())

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Suppresses the log of requests."""
