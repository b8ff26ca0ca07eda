"""What every client of this API does and a generator of requests does not know by itself.

A new request has a fresh Idempotency-Key (one that was used for something else is 422, rightly), and a whole number is
written without a fraction (JSON Schema takes 82246.0 for an integer; this API does not). And it orders
vehicles that there are, at prices that they cost.
"""

import json
import os
import random
import urllib.request
import uuid

import schemathesis

KEY = "Idempotency-Key"
UPCOMING = "/v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming&limit=200"


def lots():
    """Returns lots of the sandbox, and their prices."""
    headers = {"x-api-key": os.environ["LMN_API_KEY"]}
    request = urllib.request.Request(os.environ["LMN_URL"] + UPCOMING, headers=headers)
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)["data"]
    return [(lot["id"], lot["pricing"]["listing_usd"]) for lot in found]


LOTS = lots()


def whole(value):
    """Writes numbers without a fraction as the integers that they are, as far as they are exact."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return value


def is_key(text):
    """Says whether a text is a UUID v4 in its 36-character form."""
    try:
        return len(text) == 36 and uuid.UUID(text).version == 4
    except (AttributeError, TypeError, ValueError):
        return False


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a right request one that a client could mean; wrong ones stay as they are."""
    for name in list(case.headers or {}):
        if name.lower() == KEY.lower() and is_key(case.headers[name]):
            case.headers[name] = str(uuid.uuid4())
        # What it asks for is refused as it asks, which is no operation's own.
        if name.lower() == "x-sandbox-force":
            del case.headers[name]
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.body = whole(case.body)
    if case.operation.label == "PUT /v1/webhook_endpoint" and isinstance(case.body, dict):
        # A sandbox of `lmn dev` sends to this machine, too; no name resolves to an address that is open.
        case.body["url"] = "http://127.0.0.1:9/lmn"
    if case.operation.label == "POST /v1/orders" and isinstance(case.body, dict) and random.random() < 0.8:
        vehicle, price = random.choice(LOTS)
        case.body |= {"vehicle_id": vehicle, "max_bid_amount_usd": price + random.randrange(500)}
