"""A client of LMN that loses no order and places none twice. Python 3.9 and its standard library."""

import contextlib
import http.client
import json
import os
import random
import re
import socket
import threading
import time
import urllib.parse
import uuid

# Number of retries after `internal_error`.
INTERNAL_ERRORS_MAX = 3
# Largest number of rotations to get a secret whose response was lost.
ROTATIONS_MAX = 5
# Codes of the class `fix_credentials`: the API key or the address is refused, whatever the request.
CREDENTIALS = ("missing_api_key", "invalid_api_key", "ip_not_allowed")


class Failure(Exception):
    """A request that has not succeeded. `is_retryable`: the same request with the same key can succeed later."""

    is_retryable = True
    code = ""
    retry_after = None


class Lost(Failure):
    """No complete response. The request may have been executed; with the same key it is safe to send it again."""


class Refused(Failure):
    """An error response, of LMN or of a proxy in between; the latter has no code and does not concern the request."""

    def __init__(self, status, headers, body):
        try:
            error = json.loads(body)["error"]
            self.code, self.message, self.details = error["code"], error["message"], error.get("details", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            self.code, self.message, self.details = "", "not LMN's", {}
        self.status = status
        # Every error of LMN carries this header; an error response that is cut short may lack it.
        self.is_retryable = not self.code or headers.get("LMN-Should-Retry", "true") == "true"
        seconds = headers.get("Retry-After", "")
        self.retry_after = int(seconds) if seconds.isdecimal() else None
        super().__init__(f"{status} {self.code}: {self.message} {self.details}")


class RetryPolicy:
    """The retry policy, with times in seconds; environment variables override them, in milliseconds."""

    def __init__(self):
        self.attempt = int(os.environ.get("PARTNER_ATTEMPT_MS", 15_000)) / 1000
        self.total = int(os.environ.get("PARTNER_TOTAL_MS", 120_000)) / 1000
        self.first_pause = int(os.environ.get("PARTNER_FIRST_PAUSE_MS", 500)) / 1000
        self.longest_pause = 20.0

    def pause(self, failure, nth, spent):
        """Returns the pause after the nth failure, or None if there must be no further attempt."""
        if not failure.is_retryable or (failure.code == "internal_error" and nth > INTERNAL_ERRORS_MAX):
            return None
        if failure.retry_after is not None:
            # Adds jitter, so that clients with the same Retry-After do not return at the same moment.
            pause = failure.retry_after + self.first_pause * random.random()
        else:
            pause = min(self.longest_pause, self.first_pause * 2 ** min(nth - 1, 16)) * random.random()
        return pause if spent + pause < self.total else None


def exchange(method, url, data, headers, seconds):
    """Sends a request and returns status, headers and body, all within a number of seconds.

    The timeout of a socket applies to each operation, and a response that arrives byte by byte never reaches it. So a
    timer shuts the connection down when the time is over.
    """
    url, end = urllib.parse.urlsplit(url), time.monotonic() + seconds
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.netloc, timeout=max(seconds, 0.001))
    with contextlib.closing(connection):
        connection.connect()
        timer = threading.Timer(end - time.monotonic(), shut, [connection.sock])
        timer.start()
        try:
            connection.request(method, url._replace(scheme="", netloc="").geturl(), data, headers)
            with connection.getresponse() as answer:
                return answer.status, answer.headers, answer.read()
        finally:
            timer.cancel()


def shut(connected):
    """Shuts a connection down, if it is still open."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def order_of(vehicle_id, answer):
    """Returns a response if it is the planned order."""
    if not isinstance(answer.get("id"), str) or answer.get("vehicle_id") != vehicle_id:
        raise Lost("no answer: it is not this order")
    return answer


class Client:
    """A client of LMN's API."""

    def __init__(self, api, key, policy=None):
        self.api, self.key, self.policy = api.rstrip("/"), key.strip(), policy or RetryPolicy()

    def ask(self, method, path, body=None, key=None):
        """Sends a request until its response is final or no time is left. Every attempt has the same key."""
        begun, nth = time.monotonic(), 0
        while True:
            try:
                # An attempt takes at most what is left of the total time.
                left = self.policy.total - (time.monotonic() - begun)
                return self._attempt(method, path, body, key, min(self.policy.attempt, left))
            except Failure as failure:
                nth += 1
                pause = self.policy.pause(failure, nth, time.monotonic() - begun)
                if pause is None:
                    raise
            time.sleep(pause)

    def _attempt(self, method, path, body, key, seconds):
        """Sends one attempt, without following redirects: LMN never redirects, and the key must not reach others."""
        headers = {"x-api-key": self.key}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        try:
            status, headers, text = exchange(method, self.api + path, data, headers, seconds)
        except (OSError, http.client.HTTPException) as error:
            raise Lost(f"no answer: {error!r}") from error
        if status >= 400:
            raise Refused(status, headers, text)
        # A proxy in between may send a response or a redirect of its own; LMN's responses have a request id.
        is_lmns = re.fullmatch("req_[0-9a-f]{24}", headers.get("X-Request-Id", ""))
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status >= 300 or not is_lmns or not isinstance(answer, dict):
            raise Lost(f"no answer: a {status} that is not LMN's")
        return answer

    def vehicles(self, query):
        """Yields the vehicles that match a query."""
        return self._rows("/v1/vehicles", query)

    def orders(self, query):
        """Yields the orders that match a query."""
        return self._rows("/v1/orders", query)

    def events(self, query):
        """Yields events: newest first, or with `after=evt_...` in the query those after an event, oldest first."""
        return self._rows("/v1/events", query)

    def _rows(self, path, query):
        """Yields the rows of a list, page by page, each once."""
        cursor, seen = None, set()
        while True:
            more = "" if cursor is None else "&cursor=" + urllib.parse.quote(cursor, safe="")
            try:
                page = self.ask("GET", f"{path}?{query}{more}")
            except Refused as refused:
                # The class `restart_pagination`: starts at the first page again, without yielding a row twice.
                if refused.code != "invalid_cursor" or cursor is None:
                    raise
                cursor = None
                continue
            for row in page["data"]:
                if row["id"] not in seen:
                    seen.add(row["id"])
                    yield row
            # A page may be short or empty: only a null cursor marks the last one.
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def place(self, vehicle_id, max_bid_amount_usd, key):
        """Places an order. If no final response came in time, looks up the order by its idempotency key."""
        body = {"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid_amount_usd}
        try:
            return order_of(vehicle_id, self.ask("POST", "/v1/orders", body, key))
        except Failure as failure:
            if not failure.is_retryable:
                raise
            print(f"unclear   {vehicle_id}: {failure}; looking it up", flush=True)
            found = self.ask("GET", f"/v1/orders?idempotency_key={key}")["data"]
            if found:
                return order_of(vehicle_id, found[0])
            # The order may still be placed by a request on its way. Send it again later, with the same key.
            raise

    def register_endpoint(self, url):
        """Makes `url` the webhook endpoint; returns the secret that signs its events.

        A real partner stores the secret; this example rotates it at every start. The secret is shown once: if that
        response was lost, the replay hides the secret, and only another rotation shows one.
        """
        path = "/v1/webhook_endpoint"
        endpoint = self.ask("PUT", path, {"url": url})
        for _ in range(ROTATIONS_MAX):
            if endpoint["secret"] is not None:
                return endpoint["secret"]
            endpoint = self.ask("POST", f"{path}/rotate_secret", {}, str(uuid.uuid4()))
        raise Lost("no response showed a secret")
