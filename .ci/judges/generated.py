"""Lists, places, repeats, cancels and sets an endpoint, with the Python client of openapi-generator.

Usage: generated.py URL API_KEY; the generated package is on PYTHONPATH.
"""

import sys
from uuid import uuid4

from openapi_client import (
    ApiClient,
    Configuration,
    CreateOrder,
    OrdersApi,
    PlacedOrder,
    PutEndpoint,
    VehiclesApi,
    WebhooksApi,
)
from openapi_client.exceptions import ConflictException

url, api_key = sys.argv[1:]
client = ApiClient(Configuration(host=url, api_key={"api_key": api_key}))
vehicles, orders, webhooks = VehiclesApi(client), OrdersApi(client), WebhooksApi(client)


def open_lot():
    """Finds a lot of two sources that can be ordered, and that has not been ordered yet."""
    ordered = {order.vehicle_id for order in orders.list_orders(limit=200).data}
    found = vehicles.list_vehicles(source=["glovis", "sk"], auction_status=["upcoming"], orderable="true", limit=200)
    assert {lot.source for lot in found.data} == {"glovis", "sk"}, "both sources are listed"
    return next(lot for lot in found.data if lot.id not in ordered)


lot = open_lot()
wish = CreateOrder(vehicle_id=lot.id, max_bid_amount_usd=lot.pricing.listing_usd)
trial = orders.create_order(str(uuid4()), wish, dry_run=True)
assert isinstance(trial, PlacedOrder) and trial.id is None, trial
key = str(uuid4())
first = orders.create_order_with_http_info(key, wish)
assert first.status_code == 201 and first.data.status == "proceed", first
again = orders.create_order_with_http_info(key, wish)
assert again.status_code == 200 and again.raw_data == first.raw_data, again
try:
    orders.create_order(str(uuid4()), wish)
    sys.exit("a second order for the vehicle is not refused")
except ConflictException as refused:
    assert refused.data.error.code == "duplicate_order", refused
    assert refused.data.error.details.existing_order_id == first.data.id, refused
cancelled = orders.cancel_order(first.data.id, str(uuid4()))
assert cancelled.status == "cancelled" and cancelled.cancellation_reason == "partner_cancelled", cancelled
endpoint = webhooks.put_webhook_endpoint(PutEndpoint(url="http://127.0.0.1:9/lmn", event_types=["webhook.test"]))
assert endpoint.enabled and endpoint.event_types == ["webhook.test"], endpoint
webhooks.delete_webhook_endpoint(str(uuid4()))
print(f"openapi-generator's Python client placed {first.data.id} once, and cancelled it")
