"""A small, complete integration to copy: it browses, orders the cheapest lots, and takes the events of its orders.

    cargo run                                # in one terminal: the sandbox
    python3 examples/python/partner.py       # in another one

Arguments, all optional: the API's URL, the file of the key, the file of the journal, how many orders there shall be.
Stop it whenever you like, and start it again: what was not finished is finished, and nothing is ordered twice.
"""

import json
import os
import sys
import threading
import uuid

from lmn import CREDENTIALS, Client, Failure
from receiver import Receiver

# Which cars are of interest.
QUERY = "source=glovis&auction_status=upcoming&sort=price_asc&limit=2"
# How much above the listing price a bid may go, in dollars.
MARGIN_USD = 500


class Journal:
    """What the partner wants, written down before it is asked for.

    An order that was meant once has one Idempotency-Key for ever, also over a crash of this program. A real partner keeps
    this in its database.
    """

    def __init__(self, path):
        self.path, self.intentions = path, []
        if os.path.exists(path):
            with open(path) as file:
                self.intentions = json.load(file)

    def mean(self, vehicle_id, max_bid_amount_usd):
        """Writes down an order before anything is sent."""
        wish = {"vehicle_id": vehicle_id, "max_bid_amount_usd": max_bid_amount_usd}
        self.intentions.append({**wish, "key": str(uuid.uuid4()), "outcome": None})
        self.save()

    def settle(self, wish, outcome):
        """Writes down what came of an order."""
        wish["outcome"] = outcome
        self.save()

    def save(self):
        """Writes the whole file, or leaves the old one."""
        with open(self.path + ".new", "w") as file:
            json.dump(self.intentions, file, indent=2)
        os.replace(self.path + ".new", self.path)


def shop(client, journal, orders):
    """Means as many orders as there shall be, and places those whose end is not known."""
    if len(journal.intentions) < orders:
        for car in client.cars(QUERY):
            if all(wish["vehicle_id"] != car["id"] for wish in journal.intentions):
                journal.mean(car["id"], car["pricing"]["listing_usd"] + MARGIN_USD)
            if len(journal.intentions) >= orders:
                break
    for wish in journal.intentions:
        if wish["outcome"] is not None:
            continue
        car = wish["vehicle_id"]
        try:
            order = client.place(car, wish["max_bid_amount_usd"], wish["key"])
        except Failure as failure:
            if failure.may_pass:
                print(f"open      {car}: {failure}; start this again to go on", flush=True)
            elif failure.code in CREDENTIALS:
                # Nothing was said of the order: stop, and go on with a good key.
                raise
            else:
                journal.settle(wish, failure.code)
                print(f"refused   {car}: {failure}", flush=True)
            continue
        journal.settle(wish, order["id"])
        print(f"placed    {car} order {order['id']}", flush=True)
    print(f"done      {len(journal.intentions)}", flush=True)


def main():
    given, defaults = sys.argv[1:], ["http://127.0.0.1:8080", ".lmn/api_key", "partner-journal.json", "3"]
    api, key_file, journal, orders = given + defaults[len(given) :]
    with open(key_file) as file:
        client = Client(api, file.read())
    receiver = Receiver()
    receiving = threading.Thread(target=receiver.serve_forever, daemon=True)
    receiving.start()
    receiver.secret = client.introduce(receiver.url)
    print(f"Events of {api} are sent to {receiver.url}.", flush=True)
    shop(client, Journal(journal), int(orders))
    receiving.join()


if __name__ == "__main__":
    main()
