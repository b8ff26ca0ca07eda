"""Opens /docs/reference in a headless Chromium, enters the key once, places an order and sends it again, as a partner would.
Then it presses Execute of every operation with the values that its form shows.

Usage: page.py URL API_KEY CHROMIUM SCREENSHOT. Whatever the page asks of another origin fails the run, as do errors on its
console: it must work without a network.
"""

import json
import sys
import urllib.request

from playwright.sync_api import sync_playwright

url, api_key, chromium, screenshot = sys.argv[1:]
LOTS = "/v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming&sort=price_asc&limit=20"


def fetch(path):
    """Asks the API past the page."""
    request = urllib.request.Request(url + path, headers={"x-api-key": api_key})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def open_lot():
    """Finds a lot that can still be ordered, and its price."""
    now = fetch("/v1/sandbox/clock")["now"]
    ordered = {order["vehicle_id"] for order in fetch("/v1/orders?limit=200")["data"]}
    lots = fetch(LOTS)["data"]
    lot = next(lot for lot in lots if lot["order_cutoff_at"] > now and lot["id"] not in ordered)
    return lot["id"], lot["pricing"]["listing_usd"]


def execute(page, operation):
    """Presses Execute, and returns the status that the page shows."""
    with page.expect_response(lambda it: it.request.method != "GET") as answer:
        page.click(f"{operation} .execute")
    page.wait_for_selector(f"{operation} .live-responses-table .response-col_status")
    shown = page.locator(f"{operation} .live-responses-table tbody .response-col_status").first
    status = answer.value.status
    assert str(status) in shown.inner_text(), shown.inner_text()
    return status, answer.value.headers


def try_calls(page):
    """Enters the key, places an order, sends the form once more, and comes back later."""
    page.goto(url + "/docs/reference")
    page.click(".btn.authorize")
    page.fill(".auth-container input", api_key)
    page.click(".auth-btn-wrapper .authorize")
    page.click(".auth-btn-wrapper .btn-done")
    operation = "#operations-orders-create_order"
    page.click(f"{operation} .opblock-summary-control")
    vehicle, price = open_lot()
    body = json.dumps({"vehicle_id": vehicle, "max_bid_amount_usd": price})
    page.fill(f"{operation} textarea.body-param__text", body)
    page.screenshot(path=screenshot, full_page=True)
    status, headers = execute(page, operation)
    assert (status, headers["idempotency-status"]) == (201, "bound"), (status, headers)
    # The same form again is a new request, with a fresh key.
    status, _ = execute(page, operation)
    assert status == 409, status
    # The key is kept over a reload: it is entered once.
    page.reload()
    with page.expect_response("**/v1/webhook_endpoint") as answer:
        page.click("#operations-webhooks-get_webhook_endpoint .opblock-summary-control")
        page.click("#operations-webhooks-get_webhook_endpoint .execute")
    assert answer.value.status == 404, answer.value.status
    page.screenshot(path=screenshot)


def try_every_operation(page):
    """Presses every Execute, with the values that the forms show; returns how many succeeded."""
    page.goto(url + "/docs/reference")
    page.wait_for_selector(".opblock")
    refused, succeeded = [], 0
    for item in fetch("/v1/openapi.json")["paths"].values():
        for operation in item.values():
            block = f"#operations-{operation['tags'][0]}-{operation['operationId']}"
            page.click(f"{block} .opblock-summary-control")
            page.click(f"{block} .execute")
            shown = page.locator(f"{block} .live-responses-table tbody .response-col_status").first
            shown.wait_for()
            if shown.inner_text().startswith("2"):
                succeeded += 1
            else:
                refused.append((operation["operationId"], shown.inner_text()))
            page.click(f"{block} .opblock-summary-control")
    assert not refused, refused
    return succeeded


with sync_playwright() as playwright:
    # Nothing resolves but loopback, as without a network.
    rules = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", rules])
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda it: it.url.startswith((url, "data:")) or complaints.append(f"asks for {it.url}"),
    )
    # What the API refuses is on the console as well, and is no fault of the page.
    page.on(
        "console",
        lambda it: it.type == "error"
        and "status of 40" not in it.text
        and complaints.append(it.text),
    )
    try_calls(page)
    executed = try_every_operation(page)
    browser.close()
assert not complaints, complaints
print(f"the reference page places an order, offline, and all {executed} forms can be sent as they are")
