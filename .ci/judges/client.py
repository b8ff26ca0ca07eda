"""Places an order, reads it, and cancels it, with a client that a public generator has made of the document.

Usage: client.py URL API_KEY; the generated package is on PYTHONPATH.
"""

import sys
from uuid import uuid4

from lmn_partner_api_client import AuthenticatedClient
from lmn_partner_api_client.api.orders import cancel_order, create_order, list_orders
from lmn_partner_api_client.api.sandbox import get_clock
from lmn_partner_api_client.api.vehicles import list_vehicles
from lmn_partner_api_client.models import (
    CreateOrder,
    ErrorResponse,
    ListVehiclesAuctionStatusItem,
    ListVehiclesSourceItem,
    Order,
    PlacedOrder,
    VehicleSummaryList,
)

url, api_key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=api_key, prefix="", auth_header_name="x-api-key")


def open_lot():
    """Finds a lot that can still be ordered."""
    now = get_clock.sync(client=client).now
    source = [ListVehiclesSourceItem.GLOVIS, ListVehiclesSourceItem.SK]
    status = [ListVehiclesAuctionStatusItem.UPCOMING]
    lots = list_vehicles.sync(client=client, source=source, auction_status=status, limit=200)
    assert isinstance(lots, VehicleSummaryList), lots
    assert {lot.source for lot in lots.data} == {"glovis", "sk"}, "both sources are listed"
    ordered = {order.vehicle_id for order in list_orders.sync(client=client, limit=200).data}
    return next(lot for lot in lots.data if lot.order_cutoff_at > now and lot.id not in ordered)


lot = open_lot()
wish = CreateOrder(vehicle_id=lot.id, max_bid_amount_usd=lot.pricing.listing_usd)
key = str(uuid4())
first = create_order.sync_detailed(client=client, body=wish, idempotency_key=key)
assert first.status_code == 201 and isinstance(first.parsed, PlacedOrder), first
again = create_order.sync_detailed(client=client, body=wish, idempotency_key=key)
assert again.status_code == 200 and again.content == first.content, again
second = create_order.sync(client=client, body=wish, idempotency_key=str(uuid4()))
assert isinstance(second, ErrorResponse) and second.error.code == "duplicate_order", second
assert second.error.details.existing_order_id == first.parsed.id
cancelled = cancel_order.sync(first.parsed.id, client=client, idempotency_key=str(uuid4()))
assert isinstance(cancelled, Order) and cancelled.status == "cancelled", cancelled
print(f"a generated client placed {first.parsed.id} once, and cancelled it")
