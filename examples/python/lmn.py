"""A client of LMN that loses nothing and does nothing twice. Python 3.9 and its standard library."""

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

# How many attempts `internal_error` is worth: one, and three more.
INTERNAL_ERRORS_MAX = 3
# How often a secret is asked for anew whose showing was lost.
SECRETS_MAX = 5
# What an error says when the API key or the address is refused, and so whatever is asked: the class `fix_credentials`.
CREDENTIALS = ("missing_api_key", "invalid_api_key", "ip_not_allowed")


class Failure(Exception):
    """There is no answer that is a success. `may_pass`: the same request, under the same key, can end otherwise."""

    may_pass = True
    code = ""
    retry_after = None


class Lost(Failure):
    """No whole answer. Whether it was done is not known, only that the same key makes it safe to ask again."""


class Refused(Failure):
    """An error: LMN's, or that of something in between, which has no code and says nothing of the request."""

    def __init__(self, status, headers, body):
        try:
            error = json.loads(body)["error"]
            self.code, self.message, self.details = error["code"], error["message"], error.get("details", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            self.code, self.message, self.details = "", "not LMN's", {}
        self.status = status
        # LMN says on every error whether a retry can help; an error that is cut short says nothing.
        self.may_pass = not self.code or headers.get("LMN-Should-Retry", "true") == "true"
        seconds = headers.get("Retry-After", "")
        self.retry_after = int(seconds) if seconds.isdecimal() else None
        super().__init__(f"{status} {self.code}: {self.message} {self.details}")


class Patience:
    """How long to go on, in seconds; the environment can say otherwise, in milliseconds."""

    def __init__(self):
        self.attempt = int(os.environ.get("PARTNER_ATTEMPT_MS", 15_000)) / 1000
        self.total = int(os.environ.get("PARTNER_TOTAL_MS", 120_000)) / 1000
        self.first_pause = int(os.environ.get("PARTNER_FIRST_PAUSE_MS", 500)) / 1000
        self.longest_pause = 20.0

    def pause(self, failure, nth, spent):
        """Returns how long to wait after the nth failure; None if another attempt is not worth it."""
        if not failure.may_pass or (failure.code == "internal_error" and nth > INTERNAL_ERRORS_MAX):
            return None
        if failure.retry_after is not None:
            # Not all who were told the same time come back in the same moment.
            pause = failure.retry_after + self.first_pause * random.random()
        else:
            pause = min(self.longest_pause, self.first_pause * 2 ** min(nth - 1, 16)) * random.random()
        return pause if spent + pause < self.total else None


def exchange(method, url, data, headers, seconds):
    """Sends a request and returns status, headers and body, all of it within some seconds.

    The timeout of a socket is that of a single operation, which an answer that comes byte by byte never reaches. So the
    connection is cut when the time is over.
    """
    url, over = urllib.parse.urlsplit(url), time.monotonic() + seconds
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.netloc, timeout=max(seconds, 0.001))
    with contextlib.closing(connection):
        connection.connect()
        cut = threading.Timer(over - time.monotonic(), shut, [connection.sock])
        cut.start()
        try:
            connection.request(method, url._replace(scheme="", netloc="").geturl(), data, headers)
            with connection.getresponse() as answer:
                return answer.status, answer.headers, answer.read()
        finally:
            cut.cancel()


def shut(connected):
    """Ends a connection, if it has not ended by itself."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def order_of(vehicle_id, answer):
    """Takes an answer for the order that was meant only if it is that."""
    if not isinstance(answer.get("id"), str) or answer.get("vehicle_id") != vehicle_id:
        raise Lost("no answer: it is not this order")
    return answer


class Client:
    """LMN, as a partner calls it."""

    def __init__(self, api, key, patience=None):
        self.api, self.key, self.patience = api.rstrip("/"), key.strip(), patience or Patience()

    def ask(self, method, path, body=None, key=None):
        """Asks until there is an answer that will not change, or no time is left. Every attempt has the same key."""
        begun, nth = time.monotonic(), 0
        while True:
            try:
                # An attempt has what is left of all the time, at most.
                left = self.patience.total - (time.monotonic() - begun)
                return self._attempt(method, path, body, key, min(self.patience.attempt, left))
            except Failure as failure:
                nth += 1
                pause = self.patience.pause(failure, nth, time.monotonic() - begun)
                if pause is None:
                    raise
            time.sleep(pause)

    def _attempt(self, method, path, body, key, seconds):
        """Asks once, goes where it is told and nowhere else: LMN never redirects, and the key is for nobody else."""
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
        # Whoever stands between may give an answer of its own, or send us elsewhere; LMN's names its request.
        is_lmns = re.fullmatch("req_[0-9a-f]{24}", headers.get("X-Request-Id", ""))
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status >= 300 or not is_lmns or not isinstance(answer, dict):
            raise Lost(f"no answer: a {status} that is not LMN's")
        return answer

    def cars(self, query):
        """Yields the cars that fit a query, page by page, each once."""
        cursor, given = None, set()
        while True:
            more = "" if cursor is None else "&cursor=" + urllib.parse.quote(cursor, safe="")
            try:
                page = self.ask("GET", f"/v1/vehicles?{query}{more}")
            except Refused as refused:
                # The class `restart_pagination`: from the first page, and what was given is not given again.
                if refused.code != "invalid_cursor" or cursor is None:
                    raise
                cursor = None
                continue
            for car in page["data"]:
                if car["id"] not in given:
                    given.add(car["id"])
                    yield car
            # A page may be short, even empty: only a cursor that is null says that it is the last.
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def place(self, vehicle_id, max_bid_amount_usd, key):
        """Places an order. If no answer came in all that time, what the key did is looked up."""
        body = {"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid_amount_usd}
        try:
            return order_of(vehicle_id, self.ask("POST", "/v1/orders", body, key))
        except Failure as failure:
            if not failure.may_pass:
                raise
            print(f"unclear   {vehicle_id}: {failure}; looking it up", flush=True)
            found = self.ask("GET", f"/v1/orders?idempotency_key={key}")["data"]
            if found:
                return order_of(vehicle_id, found[0])
            # None yet is not never: the request may still be on its way. Send it again later, under the same key.
            raise

    def introduce(self, url):
        """Makes `url` the endpoint that events are sent to, and returns the secret that signs them.

        A real partner keeps the secret; this one lets another take its place at every start. It is shown once: where
        that answer was lost, the replay hides it, and only a new one helps.
        """
        path = "/v1/webhook_endpoint"
        endpoint = self.ask("PUT", path, {"url": url})
        for _ in range(SECRETS_MAX):
            if endpoint["secret"] is not None:
                return endpoint["secret"]
            endpoint = self.ask("POST", f"{path}/rotate_secret", {}, str(uuid.uuid4()))
        raise Lost("no secret was ever shown")
