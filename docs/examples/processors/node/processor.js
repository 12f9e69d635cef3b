// A Penstock processor in Node.js, no packages. The contract: docs/processor-contract.md.
//
// It turns orders such as {"amount": "12.50"} into {"cents": 1250, …} and refuses what is no order.
// Run it with `node processor.js [PORT or SOCKET]`.

"use strict";
const fs = require("node:fs");
const http = require("node:http");

// Percent-encoding stands for bytes, which need not be UTF-8: decodeURIComponent would refuse them.
const bytes = (text) => Buffer.from(text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1");

// A Kafka record as Penstock sends it. key and value are Buffers or null; headers a list of [Buffer, Buffer or null].
function record(part, value, id) {
  const nulls = part("null").split(",");
  const header = (pair) => {
    const equals = pair.indexOf("=");
    return equals < 0 ? [bytes(pair), null] : [bytes(pair.slice(0, equals)), bytes(pair.slice(equals + 1))];
  };
  return {
    key: nulls.includes("key") ? null : bytes(part("key")),
    value: nulls.includes("value") ? null : value,
    headers: part("headers").split("&").filter(Boolean).map(header),
    attempt: Number(part("attempt")),
    id, // the same for every attempt at this record, for ever
  };
}

const ofRequest = (headers, body) => record((name) => headers[`penstock-${name}`] ?? "", body, headers["idempotency-key"]);
const ofEvent = (event) =>
  record((name) => event[`penstock${name}`] ?? "", Buffer.from(event.data_base64 ?? "", "base64"), event.idempotencykey);

// The verdict, and with it the order or the reason.
function handle({ key, value, headers }) {
  if (value === null) return ["ack", null]; // a tombstone: done, and nothing for the output topic
  let amount;
  try {
    amount = JSON.parse(value).amount;
  } catch {
    amount = undefined;
  }
  if (typeof amount !== "string" || !/^-?[0-9]+(\.[0-9]{1,2})?$/.test(amount)) {
    return ["reject", "not an order with an amount"]; // it never will succeed: to the dead-letter topic, with this reason
  }
  const hex = (buffer) => (buffer === null ? null : buffer.toString("hex"));
  const order = {
    cents: Math.round(Number(amount) * 100),
    key: hex(key),
    headers: headers.map(([name, value]) => [hex(name), hex(value)]),
  };
  return ["ack", order];
}

// An item for each record. One that is left out would be tried again.
function batch(events) {
  const items = [];
  const stopped = new Set();
  events.forEach((event, item) => {
    const key = JSON.stringify([event.penstocktopic, event.penstockpartition, event.penstockkey]);
    if (stopped.has(key)) return; // with batch.sameLane: behind a failed one of its key, so not its turn yet
    const [verdict, result] = handle(ofEvent(event));
    if (verdict !== "ack") {
      if (event.penstockkey !== undefined) stopped.add(key);
      items.push({ item, verdict, reason: result });
    } else {
      items.push({ item, verdict, output: result ? [{ data: result, datacontenttype: "application/json" }] : [] });
    }
  });
  return items;
}

// What to answer: [status, headers, body].
function answer(headers, body) {
  let one;
  if (headers["penstock-records"] === undefined) {
    one = ofRequest(headers, body);
  } else {
    // Records in the body: a batch, or one that has very long headers.
    const event = JSON.parse(body);
    if (Array.isArray(event)) return [200, { "Content-Type": "application/json" }, JSON.stringify({ items: batch(event) })];
    one = ofEvent(event);
  }
  const [verdict, result] = handle(one);
  if (verdict === "reject") return [422, { "Penstock-Reason": result }, ""];
  if (result === null) return [204, {}, ""];
  // 200: done. With an output topic this is the new record's value; its key stays the same.
  return [200, { "Content-Type": "application/json" }, JSON.stringify(result)];
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const [status, headers, body] = answer(request.headers, Buffer.concat(chunks));
    if (status !== 204) headers["Content-Length"] = Buffer.byteLength(body);
    response.writeHead(status, headers).end(body);
  });
});
server.keepAliveTimeout = 0; // Penstock keeps one connection for each call in progress
const place = process.argv[2] ?? "8080";
if (place.includes("/")) fs.rmSync(place, { force: true }); // what one that ended before has left
server.listen(place);
