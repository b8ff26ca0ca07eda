"""Walks through an auction day in the console with a headless Chromium, as an operator would who has a token and an address.

Usage: console.py URL API_KEY CONSOLE_URL TOKEN CHROMIUM SCREENSHOTS. Orders are placed through the partners' API, and the
partner's sandbox clock passes the days. A message on the browser's console fails the run, as does a page that is wider than a
phone, or that asks another origin for something.
"""

import csv
import datetime
import http.server
import io
import json
import pathlib
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

from playwright.sync_api import sync_playwright

url, api_key, console, token, chromium, screenshots = sys.argv[1:]
folder = pathlib.Path(screenshots)
folder.mkdir(parents=True, exist_ok=True)
DAY = 86_400
LOTS = 30
SHIPMENTS = 10
PAGES = ["/", "/bid-sheet", "/orders", "/shipping", "/partners", "/webhooks", "/requests", "/audit"]


def ask(method, path, body=None):
    """Asks the partners' API, and returns the status, the headers and the body."""
    headers = {"x-api-key": api_key, "content-type": "application/json"}
    if method in ("POST", "DELETE"):
        headers["idempotency-key"] = str(uuid.uuid4())
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


class Receiver(http.server.BaseHTTPRequestHandler):
    """The webhook endpoint of the partner, which answers what `status` says."""

    status = 410

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(Receiver.status)
        self.end_headers()

    def log_message(self, *_):
        pass


def place_orders():
    """Orders lots of one auction day, and returns them."""
    query = "/v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming&sort=auction_date_asc&limit=200"
    _, _, clock = ask("GET", "/v1/sandbox/clock")
    ordered = {order["vehicle_id"] for order in ask("GET", "/v1/orders?limit=200")[2]["data"]}
    days, path = {}, query
    while path:
        _, _, page = ask("GET", path)
        for lot in page["data"]:
            if lot["order_cutoff_at"] > clock["now"] and lot["id"] not in ordered:
                days.setdefault(lot["auction_date"][:10], []).append(lot)
        path = page["next_cursor"] and f"{query}&cursor={page['next_cursor']}"
    lots = max(days.values(), key=len)[:LOTS]
    for lot in lots:
        status, _, body = ask(
            "POST",
            "/v1/orders",
            {"vehicle_id": lot["id"], "max_bid_amount_usd": lot["pricing"]["listing_usd"] + 500},
        )
        assert status == 201, body
    return lots


def advance(seconds):
    """Advances the partner's clock."""
    status, _, body = ask("POST", "/v1/sandbox/clock", {"advance_seconds": int(seconds)})
    assert status == 200, body


def advance_to(instant):
    """Advances the partner's clock to a minute after a time."""
    _, _, clock = ask("GET", "/v1/sandbox/clock")
    now, then = (datetime.datetime.fromisoformat(it) for it in (clock["now"], instant))
    advance((then - now).total_seconds() + 60)


def shoot(page, name):
    page.screenshot(path=folder / f"console-{name}.png", full_page=True)


def table(header, rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([header, *rows])
    return text.getvalue()


def counts(page):
    """Returns how many rows were done, unchanged and refused."""
    return [int(it) for it in page.locator(".counts strong").all_inner_texts()]


def walk(page):
    """Signs in, buys, ships, finds what is late and what fails, and looks a request up."""
    page.goto(console + "/")
    shoot(page, "sign-in")
    page.fill("input[name=token]", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")

    lots = place_orders()
    day = lots[0]["auction_date"][:10]
    sheet = f"{console}/bid-sheet?date={day}"
    page.goto(sheet)
    rows = page.locator("main tbody tr").count()
    assert rows >= len(lots), (rows, len(lots))
    shoot(page, "bid-sheet")

    # Within a day after the auctions: later, orders that were not acquired fail.
    advance_to(max(lot["auction_date"] for lot in lots))
    page.goto(sheet)
    page.click("form[action='/bid-sheet/acquire'] button")
    page.wait_for_selector(".counts")
    assert counts(page)[0] >= len(lots), counts(page)
    page.goto(sheet)
    header = ["vehicle_id", "result", "price_usd", "fee_usd"]
    results = [[lot["id"], "won", lot["pricing"]["listing_usd"] + 100, 150] for lot in lots]
    for row in results[len(results) * 2 // 3 :]:
        row[1:] = ["outbid", "", ""]
    results[-1] = [results[-1][0], "sold", "", ""]
    page.fill("textarea[name=csv]", table(header, results))
    page.dblclick("form[action='/auction-results'] button")
    page.wait_for_selector(".counts")
    assert counts(page)[2] == 1 and sum(counts(page)) == len(lots), counts(page)
    shoot(page, "results")

    _, _, secured = ask("GET", "/v1/orders?status=secured&limit=200")
    orders = [order["id"] for order in secured["data"]][:SHIPMENTS]
    page.goto(console + "/shipping")
    shoot(page, "shipping-due")
    header = ["order_id", "vessel_name", "bl_number", "port_of_loading", "port_of_discharge"]
    shipments = [[it, "Glovis Star", f"BL{n:04}", "Incheon", "Batumi"] for n, it in enumerate(orders)]
    page.fill("textarea[name=csv]", table(header, shipments))
    page.click("form[action='/shipments'] button")
    page.wait_for_selector(".counts")
    assert counts(page) == [len(orders), 0, 0], counts(page)
    page.goto(f"{console}/orders/{orders[0]}")
    assert "Glovis Star" in page.inner_text("main")
    shoot(page, "order")

    advance(91 * DAY)
    page.goto(console + "/shipping#late")
    assert orders[0] in page.inner_text("#late")
    shoot(page, "late")


def mend_webhook(page):
    """Finds an endpoint that LMN disabled and an event that was not delivered, and sends it again."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = {"url": f"http://127.0.0.1:{server.server_port}/lmn", "enabled": True}
    assert ask("PUT", "/v1/webhook_endpoint", endpoint)[0] in (200, 201)
    ask("POST", "/v1/webhook_endpoint/test", {})
    until(lambda: not ask("GET", "/v1/webhook_endpoint")[2]["enabled"])
    page.goto(console + "/webhooks")
    assert page.locator("tr.bad").count() == 1
    shoot(page, "webhooks")
    Receiver.status = 200
    assert ask("PUT", "/v1/webhook_endpoint", endpoint)[0] == 200
    delivered = "/v1/events?delivery_status=delivered&limit=1"
    until(lambda: ask("GET", delivered)[2]["data"])
    event = ask("GET", delivered)[2]["data"][0]
    page.goto(console + "/webhooks")
    page.click("main tbody a")
    shoot(page, "deliveries")
    with page.expect_navigation():
        page.click(f"form[action='/events/{event['id']}/replay'] button")
    assert page.locator(".notice").count() == 1
    until(lambda: ask("GET", f"/v1/events/{event['id']}")[2]["attempts"] > event["attempts"])
    server.shutdown()


def until(is_so):
    """Waits until something is so, half a minute at most."""
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.2)


def look_up(page):
    """Answers a partner's question about a request that was refused."""
    _, headers, _ = ask("POST", "/v1/orders", {"vehicle_id": "glovis_none", "max_bid_amount_usd": 1})
    request_id = headers["x-request-id"]

    def is_found():
        page.goto(console + "/requests")
        page.fill("input[name=id]", request_id)
        page.keyboard.press("Enter")
        page.wait_for_load_state()
        return "vehicle_not_found" in page.inner_text("main")

    until(is_found)
    shoot(page, "request")


def look_at_all(browser, state):
    """Opens every page on a phone, in the dark and in Korean, and moves through one by the keyboard."""
    phone = {"width": 390, "height": 844}
    context = browser.new_context(viewport=phone, storage_state=state, color_scheme="dark")
    page = context.new_page()
    watch(page)
    page.goto(console + "/language?to=ko&then=/")
    for path in PAGES:
        page.goto(console + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= phone["width"], (path, width)
        assert page.get_attribute("html", "lang") == "ko"
        shoot(page, "phone-" + (path.strip("/") or "today"))
    page.goto(console + "/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null"), "the first link skips to the content"
    context.close()


complaints = []


def watch(page):
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda it: it.url.startswith(console) or complaints.append(f"asks for {it.url}"))
    page.on("console", lambda it: it.type == "error" and complaints.append(it.text))


with sync_playwright() as playwright:
    # Nothing resolves but loopback, as without a network.
    rules = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", rules])
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    watch(page)
    walk(page)
    mend_webhook(page)
    look_up(page)
    page.goto(console + "/")
    shoot(page, "today")
    look_at_all(browser, context.storage_state())
    page.goto(console + "/")
    page.click("form[action='/sign-out'] button")
    page.wait_for_selector("input[name=token]")
    browser.close()
# What comes next finds the present time again.
assert ask("DELETE", "/v1/sandbox/clock")[0] == 200
assert not complaints, complaints
print("the console gets through an auction day, also on a phone and in Korean")
