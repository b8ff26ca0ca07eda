"""The receiver with a library for Standard Webhooks in place of a verification of its own.

    pip install standardwebhooks
    cargo run                                       # in one terminal: the sandbox
    python3 examples/python/receiver_stock.py       # in another one

Arguments, all optional: the API's URL, and the file of the API key.
"""

import sys
import threading

from lmn import Client
from receiver import Delivery, Receiver
from standardwebhooks import Webhook, WebhookVerificationError


class StockDelivery(Delivery):
    """The handler of one delivery, verified by the library."""

    def is_verified(self, secret, body):
        try:
            Webhook(secret).verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            # A signature that is not base64, or a body that is not UTF-8, is a ValueError.
            return False
        return True


def main():
    arguments, defaults = sys.argv[1:], ["http://127.0.0.1:8080", ".lmn/api_key"]
    api, key_file = arguments + defaults[len(arguments) :]
    with open(key_file) as file:
        client = Client(api, file.read())
    receiver = Receiver(handler=StockDelivery)
    receiving = threading.Thread(target=receiver.serve_forever, daemon=True)
    receiving.start()
    receiver.secret = client.register_endpoint(receiver.url)
    print(f"Events of {api} are sent to {receiver.url}.", flush=True)
    receiving.join()


if __name__ == "__main__":
    main()
