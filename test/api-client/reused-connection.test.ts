/** A server that closes a kept-alive connection while the next request is on its way. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { rejectionOf } from "../../harness/expected-errors.ts";
import { openTransport, type WritableTransport } from "../../src/api-client/transport.ts";

const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/** Answers a request, or does not; `count` is its number on its connection. */
type Serve = (socket: Socket, count: number) => void;

let folder: string;
let ca: string;
let certificate: Certificate;
let server: Server;
let transport: WritableTransport;
/** Requests, as `connection/number on it`. */
let seen: string[];
let metered: string[];

async function start(serve: Serve, scheme: "http" | "https" = "http"): Promise<void> {
  seen = [];
  metered = [];
  let connections = 0;
  const onConnection = (socket: Socket) => {
    connections += 1;
    const connection = connections;
    let count = 0;
    socket.on("error", () => {});
    socket.on("data", () => {
      count += 1;
      seen.push(`${connection}/${count}`);
      serve(socket, count);
    });
  };
  const cert = readFileSync(certificate.certificate, "utf8");
  const key = readFileSync(certificate.key, "utf8");
  server =
    scheme === "http" ? createServer(onConnection) : createTlsServer({ cert, key }, onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  transport = openTransport({
    server: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    identity: async () => ({ authorization: "", tls: { insecure: false, ca } }),
    credentialsRefused() {},
    meter: {
      answered: (method, _host, code) => metered.push(`${method} ${code}`),
      completed() {},
    },
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-reused-"));
  const authority = await makeAuthority(folder, "ca");
  ca = readFileSync(authority.certificate, "utf8");
  certificate = await makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1"]);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

afterEach(() => {
  transport.close();
  server.close();
});

function send(method: "GET" | "POST"): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let answered = 0;
  const handler = {
    onStart(status: number) {
      answered = status;
    },
    onData() {},
    onEnd: () => resolve(answered),
    onError: reject,
  };
  if (method === "GET") transport.get("/", "application/json", handler);
  else transport.send({ method, path: "/", contentType: "application/json", body: "{}" }, handler);
  return promise;
}

const ENDINGS: { readonly [name: string]: (socket: Socket) => void } = {
  "ends the connection": (socket) => socket.end(),
  "drops the connection": (socket) => socket.destroy(),
  "resets the connection": (socket) => socket.resetAndDestroy(),
};

describe.each(Object.entries(ENDINGS))("a server that %s without an answer", (_name, end) => {
  const secondEnds: Serve = (socket, count) => {
    if (count === 1) socket.write(ANSWER);
    else end(socket);
  };

  test.each(["http", "https"] as const)(
    "to a second GET gets it again at once, on a new connection (%s)",
    async (scheme) => {
      await start(secondEnds, scheme);
      for (let sent = 0; sent < 4; sent++) expect(await send("GET")).toBe(200);
      expect(seen).toEqual(["1/1", "1/2", "2/1", "2/2", "3/1", "3/2", "4/1"]);
      expect(transport.connections).toBe(4);
      expect(metered).toEqual(["GET 200", "GET 200", "GET 200", "GET 200"]);
    },
  );

  test("to a POST does not get it again, because it may have acted on it", async () => {
    await start(secondEnds);
    await send("POST");
    expect((await rejectionOf(send("POST"))).code).toBe("API_UNREACHABLE");
    expect(seen).toEqual(["1/1", "1/2"]);
    expect(await send("POST")).toBe(200);
  });

  test("to the first request of a connection does not get it again", async () => {
    await start((socket) => end(socket));
    expect((await rejectionOf(send("GET"))).code).toBe("API_UNREACHABLE");
    expect(seen).toEqual(["1/1"]);
    expect(metered).toEqual(["GET undefined"]);
  });

  test("to a request that is repeated does not get it a third time", async () => {
    let requests = 0;
    await start((socket) => {
      requests += 1;
      if (requests === 1) socket.write(ANSWER);
      else end(socket);
    });
    await send("GET");
    expect((await rejectionOf(send("GET"))).code).toBe("API_UNREACHABLE");
    expect(seen).toEqual(["1/1", "1/2", "2/1"]);
  });

  test("after the start of an answer does not get the request again", async () => {
    await start((socket, count) => {
      if (count === 1) socket.write(ANSWER);
      else socket.write(ANSWER.replace(": 2", ": 3"), () => end(socket));
    });
    await send("GET");
    expect((await rejectionOf(send("GET"))).code).toBe("API_UNREACHABLE");
    expect(seen).toEqual(["1/1", "1/2"]);
  });
});

test("a request that is closed with its transport is not sent again", async () => {
  await start((socket, count) => {
    if (count === 1) socket.write(ANSWER);
    else transport.close();
  });
  await send("GET");
  expect((await rejectionOf(send("GET"))).code).toBe("API_UNREACHABLE");
  expect(seen).toEqual(["1/1", "1/2"]);
});
