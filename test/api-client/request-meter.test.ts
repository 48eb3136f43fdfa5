import { afterEach, beforeEach, expect, test } from "bun:test";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { RequestMeter } from "../../src/api-client/request-meter.ts";
import { openTransport, type WritableTransport } from "../../src/api-client/transport.ts";
import { SluiceError } from "../../src/base/errors.ts";

let server: Server;
let host: string;
let transport: WritableTransport;
let counted: string[];

const meter: RequestMeter = {
  answered: (method, at, code) => counted.push(`${method} ${at === host ? "" : at}${code}`),
  completed(method, at, ms) {
    expect(ms).toBeGreaterThanOrEqual(0);
    counted.push(`${method} ${at === host ? "" : at}complete`);
  },
};

beforeEach(async () => {
  counted = [];
  server = createServer((request, response) => answer(request.url ?? "", response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  transport = openTransport(accessTo(`http://user:secret@${host}/api`));
});

afterEach(() => {
  transport.close();
  server.closeAllConnections();
  server.close();
});

function accessTo(url: string) {
  const identity = async () => ({ authorization: "", tls: { insecure: false } });
  return { server: url, identity, credentialsRefused() {}, meter };
}

function answer(path: string, response: ServerResponse): void {
  if (path.includes("broken")) response.destroy();
  else if (path.includes("halfway")) {
    response.writeHead(200, { "Content-Length": "10" });
    response.write("half", () => response.destroy());
  } else {
    response.writeHead(path.includes("absent") ? 404 : 200);
    response.end("{}");
  }
}

function ended(begin: (handler: Parameters<WritableTransport["get"]>[2]) => unknown) {
  return new Promise<void>((resolve) => {
    begin({ onStart() {}, onData() {}, onEnd: resolve, onError: () => resolve() });
  });
}

test.each([
  ["/services", ["GET 200", "GET complete"]],
  ["/absent", ["GET 404", "GET complete"]],
  ["/services?resourceVersion=1&watch=true", ["GET 200"]],
  ["/services?watch=1", ["GET 200"]],
  ["/broken", ["GET undefined"]],
  ["/halfway", ["GET 200"]],
])("GET of %s is counted as %p", async (path, expected) => {
  await ended((handler) => transport.get(path, "application/json", handler));
  expect(counted).toEqual(expected);
});

test("writes are counted too", async () => {
  const request = {
    method: "POST",
    path: "/events",
    contentType: "text/plain",
    body: "x",
  } as const;
  await ended((handler) => transport.send(request, handler));
  expect(counted).toEqual(["POST 200", "POST complete"]);
});

test("a request that is aborted before its answer counts once, as failed", async () => {
  const reason = new SluiceError("API_UNREACHABLE", "given up");
  await ended((handler) => transport.get("/services", "", handler)(reason));
  expect(counted).toEqual(["GET undefined"]);
});

test("the host is as in the URL, with a default port", async () => {
  const other = openTransport(accessTo("https://127.0.0.1:443"));
  const reason = new SluiceError("API_UNREACHABLE", "given up");
  await ended((handler) => other.get("/services", "", handler)(reason));
  other.close();
  expect(counted).toEqual(["GET 127.0.0.1:443undefined"]);
});
