// A Penstock processor in Node.js, no packages. The contract: docs/processor-contract.md.
//
// It turns orders such as {"amount": "12.50"} into {"cents": 1250, …} and refuses what is no order.
// Run it with `node processor.js [PORT]`.

"use strict";
const http = require("node:http");

// Percent-encoding stands for bytes, which need not be UTF-8: decodeURIComponent would refuse them.
const bytes = (text) => Buffer.from(text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1");

// A Kafka record as Penstock sends it. key and value are Buffers or null; headers a list of [Buffer, Buffer or null].
function record(request, body) {
  let part = (name) => request.headers[`penstock-${name}`] ?? "";
  // A record with very long headers travels in the body, as a CloudEvent in JSON; everything else is the same.
  if (request.headers["content-type"] === "application/cloudevents+json") {
    const event = JSON.parse(body);
    part = (name) => event[`penstock${name}`] ?? "";
    body = Buffer.from(event.data_base64 ?? "", "base64");
  }
  const nulls = part("null").split(",");
  const header = (pair) => {
    const equals = pair.indexOf("=");
    return equals < 0 ? [bytes(pair), null] : [bytes(pair.slice(0, equals)), bytes(pair.slice(equals + 1))];
  };
  return {
    key: nulls.includes("key") ? null : bytes(part("key")),
    value: nulls.includes("value") ? null : body,
    headers: part("headers").split("&").filter(Boolean).map(header),
    attempt: Number(request.headers["penstock-attempt"]),
    id: request.headers["idempotency-key"], // the same for every attempt at this record, for ever
  };
}

// What to answer: [status, headers, body].
function answer({ key, value, headers }) {
  if (value === null) return [204, {}, ""]; // a tombstone: done, and nothing for the output topic
  let amount;
  try {
    amount = JSON.parse(value).amount;
  } catch {
    amount = undefined;
  }
  if (typeof amount !== "string" || !/^-?[0-9]+(\.[0-9]{1,2})?$/.test(amount)) {
    // 422: this record never will succeed. It goes to the dead-letter topic with this reason.
    return [422, { "Penstock-Reason": "not an order with an amount" }, ""];
  }
  const hex = (buffer) => (buffer === null ? null : buffer.toString("hex"));
  const order = {
    cents: Math.round(Number(amount) * 100),
    key: hex(key),
    headers: headers.map(([name, value]) => [hex(name), hex(value)]),
  };
  // 200: done. With an output topic this is the new record's value; its key stays the same.
  return [200, { "Content-Type": "application/json" }, JSON.stringify(order)];
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const [status, headers, body] = answer(record(request, Buffer.concat(chunks)));
    if (status !== 204) headers["Content-Length"] = Buffer.byteLength(body);
    response.writeHead(status, headers).end(body);
  });
});
server.keepAliveTimeout = 0; // Penstock keeps one connection for each call in progress
server.listen(Number(process.argv[2] ?? 8080));
