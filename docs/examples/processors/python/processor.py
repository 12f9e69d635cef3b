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

    def __init__(self, part, value, id):
        nulls = part("null").split(",")
        self.key = None if "key" in nulls else unquote_to_bytes(part("key"))
        self.value = None if "value" in nulls else value
        self.headers = [self._header(pair) for pair in part("headers").split("&") if pair]
        self.attempt = int(part("attempt"))
        self.id = id  # the same for every attempt at this record, for ever

    @classmethod
    def of_request(cls, headers, body):
        return cls(lambda name: headers.get(f"Penstock-{name}", ""), body, headers["Idempotency-Key"])

    @classmethod
    def of_event(cls, event):
        value = base64.b64decode(event.get("data_base64", ""))
        return cls(lambda name: event.get(f"penstock{name}", ""), value, event["idempotencykey"])

    @staticmethod
    def _header(pair):
        name, equals, value = pair.partition("=")
        return unquote_to_bytes(name), unquote_to_bytes(value) if equals else None


def process(record):
    """The verdict, and with it the order or the reason."""
    if record.value is None:
        return "ack", None  # a tombstone: done, and nothing for the output topic
    try:
        cents = int(Decimal(json.loads(record.value)["amount"]) * 100)
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return "reject", "not an order with an amount"  # it never will succeed: to the dead-letter topic, with this reason
    return "ack", {
        "cents": cents,
        "key": None if record.key is None else record.key.hex(),
        "headers": [[name.hex(), None if value is None else value.hex()] for name, value in record.headers],
    }


def batch(events):
    """An item for each record. One that is left out would be tried again."""
    items, stopped = [], set()
    for number, event in enumerate(events):
        key = event["penstocktopic"], event["penstockpartition"], event.get("penstockkey")
        if key in stopped:
            continue  # with batch.sameLane: behind a failed one of its key, so not its turn yet
        verdict, result = process(Record.of_event(event))
        item = {"item": number, "verdict": verdict}
        if verdict != "ack":
            item["reason"] = result
            if "penstockkey" in event:
                stopped.add(key)
        elif result is not None:
            item["output"] = [{"data": result, "datacontenttype": "application/json"}]
        items.append(item)
    return items


class Processor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections: Penstock has one for each call in progress
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "Penstock-Records" not in self.headers:
            record = Record.of_request(self.headers, body)
        else:  # records in the body: a batch, or one that has very long headers
            event = json.loads(body)
            if isinstance(event, list):
                return self.answer(200, json.dumps({"items": batch(event)}).encode())
            record = Record.of_event(event)
        verdict, result = process(record)
        if verdict == "reject":
            return self.answer(422, reason=result)
        if result is None:
            return self.answer(204)
        # 200: done. With an output topic this is the new record's value; its key stays the same.
        self.answer(200, json.dumps(result).encode())

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
