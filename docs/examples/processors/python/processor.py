"""A Penstock processor in Python, standard library only. The contract: docs/processor-contract.md.

It turns orders such as {"amount": "12.50"} into {"cents": 1250, …} and refuses what is no order.
Run it with `python3 processor.py [PORT]`.
"""

import base64
import json
import sys
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes


class Record:
    """A Kafka record as Penstock sends it. key and value are bytes or None; headers a list of (bytes, bytes or None)."""

    def __init__(self, request_headers, body):
        # A record with very long headers travels in the body, as a CloudEvent in JSON; everything else is the same.
        if request_headers.get("Content-Type") == "application/cloudevents+json":
            event = json.loads(body)
            body = base64.b64decode(event.get("data_base64", ""))
            key, null, headers = (event.get(f"penstock{name}", "") for name in ("key", "null", "headers"))
        else:
            key, null, headers = (request_headers.get(f"Penstock-{name}", "") for name in ("Key", "Null", "Headers"))
        nulls = null.split(",")
        self.key = None if "key" in nulls else unquote_to_bytes(key)
        self.value = None if "value" in nulls else body
        self.headers = [self._header(pair) for pair in headers.split("&") if pair]
        self.attempt = int(request_headers["Penstock-Attempt"])
        self.id = request_headers["Idempotency-Key"]  # the same for every attempt at this record, for ever

    @staticmethod
    def _header(pair):
        name, equals, value = pair.partition("=")
        return unquote_to_bytes(name), unquote_to_bytes(value) if equals else None


class Processor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections: Penstock has one for each call in progress
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        record = Record(self.headers, body)
        if record.value is None:
            return self.answer(204)  # a tombstone: done, and nothing for the output topic
        try:
            cents = int(Decimal(json.loads(record.value)["amount"]) * 100)
        except (ValueError, KeyError, TypeError, InvalidOperation):
            # 422: this record never will succeed. It goes to the dead-letter topic with this reason.
            return self.answer(422, reason="not an order with an amount")
        order = {
            "cents": cents,
            "key": None if record.key is None else record.key.hex(),
            "headers": [[name.hex(), None if value is None else value.hex()] for name, value in record.headers],
        }
        # 200: done. With an output topic this is the new record's value; its key stays the same.
        self.answer(200, json.dumps(order).encode())

    def answer(self, status, body=b"", reason=None):
        self.send_response(status)
        if reason:
            self.send_header("Penstock-Reason", reason)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """A line a record would be too much."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # all of Penstock's connections may come at once; Python's own 5 would leave some hanging

    def handle_error(self, request, client_address):
        """A connection that breaks is Penstock's to make again."""


if __name__ == "__main__":
    Server(("", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Processor).serve_forever()
