"""Certifies the example integration, with the receiver whose deliveries a stock library verifies.

    certify.py LMN URL KEY
"""

import pathlib
import subprocess
import sys
import tempfile
import urllib.request
import uuid

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"


def start(program, arguments, until):
    """Starts an example, and waits for a line of its output."""
    command = [sys.executable, "-B", EXAMPLES / program, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith(until):
            return process
    sys.exit(f"{program} has ended before `{until}`")


def forget_endpoint(url, key):
    """Deletes the endpoint, so that the next judge creates its own and is shown its secret."""
    headers = {"x-api-key": key, "idempotency-key": str(uuid.uuid4())}
    request = urllib.request.Request(f"{url}/v1/webhook_endpoint", method="DELETE", headers=headers)
    urllib.request.urlopen(request).close()


def main():
    lmn, url, key = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        key_file = pathlib.Path(folder) / "key"
        key_file.write_text(key)
        partner = start("partner.py", [url, key_file, f"{folder}/journal.json", "1"], until="done")
        partner.kill()
        partner.wait()
        receiver = start("receiver_stock.py", [url, key_file], until="Events")
        try:
            command = [lmn, "certify", "--url", url, "--key", key_file, "--advance"]
            if subprocess.run(command).returncode != 0:
                sys.exit("the example integration is not certified")
        finally:
            receiver.kill()
            receiver.wait()
        forget_endpoint(url, key)


if __name__ == "__main__":
    main()
