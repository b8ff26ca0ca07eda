"""A small, complete integration to copy: it browses, orders the cheapest lots, and receives the events of its orders.

    cargo run                                # in one terminal: the sandbox
    python3 examples/python/partner.py       # in another one

Arguments, all optional: the API's URL, the file of the API key, the file of the journal, and the number of orders.
It can be stopped at any time and started again: it finishes what was not finished, and orders nothing twice.
"""

import json
import os
import sys
import threading
import uuid

from lmn import CREDENTIALS, Client, Failure
from receiver import Receiver

# The query of the vehicles to order.
QUERY = "source=glovis&auction_status=upcoming&sort=price_asc&limit=2"
# The query of all orders and all events, in small pages.
PAGE = "limit=2"
# Difference between the bid and the listing price, in US dollars.
MARGIN_USD = 500


class Journal:
    """The journal of planned orders, each written before it is sent.

    A planned order keeps its Idempotency-Key, even over a crash of this program. A real partner keeps this in its
    database.
    """

    def __init__(self, path):
        self.path, self.orders = path, []
        if os.path.exists(path):
            with open(path) as file:
                self.orders = json.load(file)

    def plan(self, vehicle_id, max_bid_amount_usd):
        """Adds an order, before anything is sent."""
        planned = {"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid_amount_usd}
        self.orders.append({**planned, "key": str(uuid.uuid4()), "outcome": None})
        self.save()

    def record(self, planned, outcome):
        """Records the outcome of an order."""
        planned["outcome"] = outcome
        self.save()

    def save(self):
        """Replaces the file atomically."""
        with open(self.path + ".new", "w") as file:
            json.dump(self.orders, file, indent=2)
        os.replace(self.path + ".new", self.path)


def place_orders(client, journal, orders):
    """Plans orders up to a number, places those without an outcome, and counts all orders and events."""
    if len(journal.orders) < orders:
        for vehicle in client.vehicles(QUERY):
            if all(planned["vehicle_id"] != vehicle["id"] for planned in journal.orders):
                journal.plan(vehicle["id"], vehicle["pricing"]["listing_usd"] + MARGIN_USD)
            if len(journal.orders) >= orders:
                break
    for planned in journal.orders:
        if planned["outcome"] is not None:
            continue
        vehicle = planned["vehicle_id"]
        try:
            order = client.place(vehicle, planned["max_bid_amount_usd"], planned["key"])
        except Failure as failure:
            if failure.is_retryable:
                print(f"open      {vehicle}: {failure}; start this again to go on", flush=True)
            elif failure.code in CREDENTIALS:
                # The error is not about the order: stop, to go on with a valid key later.
                raise
            else:
                journal.record(planned, failure.code)
                print(f"refused   {vehicle}: {failure}", flush=True)
            continue
        journal.record(planned, order["id"])
        print(f"placed    {vehicle} order {order['id']}", flush=True)
    listed, events = sum(1 for _ in client.orders(PAGE)), sum(1 for _ in client.events(PAGE))
    print(f"listed    {listed} orders, {events} events", flush=True)
    print(f"done      {len(journal.orders)}", flush=True)


def main():
    arguments, defaults = sys.argv[1:], ["http://127.0.0.1:8080", ".lmn/api_key", "partner-journal.json", "3"]
    api, key_file, journal, orders = arguments + defaults[len(arguments) :]
    with open(key_file) as file:
        client = Client(api, file.read())
    receiver = Receiver()
    receiving = threading.Thread(target=receiver.serve_forever, daemon=True)
    receiving.start()
    receiver.secret = client.register_endpoint(receiver.url)
    print(f"Events of {api} are sent to {receiver.url}.", flush=True)
    place_orders(client, Journal(journal), int(orders))
    receiving.join()


if __name__ == "__main__":
    main()
