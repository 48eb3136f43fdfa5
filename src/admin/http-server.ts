/**
 * Serves an app on a socket: HTTP of `node:http`, on connections that `ClientConnections` bounds.
 * Bun.serve cannot bound them.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createNetServer, type Socket } from "node:net";
import { messageOf, SluiceError } from "../base/errors.ts";
import { isUnspecified, parseAddress } from "../net/address.ts";
import type { ClientConnections } from "./client-connections.ts";

/** Answers a request, like the `fetch` of Hono. */
export type Answer = (request: Request) => Response | Promise<Response>;

/** A server that listens. */
export interface HttpServer {
  readonly port: number;
  /** Stops listening and aborts open requests. */
  close(): Promise<void>;
}

/** The longest body accepted here is a number. The handler does not see what follows this. */
const BODY_BYTES = 1024;
/** As in Go, the rest of a body up to this length is read, so that the connection can be reused. */
const DRAINED_BYTES = 256 << 10;

/**
 * Tries once to listen on one address, without sharing the port with another process. As in Go, a
 * wildcard of either family listens on every family that the kernel has.
 * @throws SluiceError LISTEN_FAILED naming the address
 */
export async function bindServer(
  hostname: string,
  port: number,
  answer: Answer,
  connections: ClientConnections,
): Promise<HttpServer> {
  try {
    return await bindFamilies(hostname, (address) => listenOn(address, port, answer, connections));
  } catch (error) {
    const address = printHostPort(hostname, port);
    const message = `listen ${address}: ${listenCause(error)}`;
    throw new SluiceError("LISTEN_FAILED", message, address, { cause: error });
  }
}

/**
 * Calls `bind` with the address to listen on. On a kernel without IPv6 there is no socket for `::`,
 * and the runtime throws an error without a code. If only sysctls turn IPv6 off, `::` works.
 */
export async function bindFamilies<Server>(
  hostname: string,
  bind: (hostname: string) => Promise<Server>,
): Promise<Server> {
  const address = parseAddress(hostname);
  if (address === undefined || !isUnspecified(address)) return bind(hostname);
  try {
    return await bind("::");
  } catch (error) {
    if (codeOf(error) !== undefined) throw error;
    return bind("0.0.0.0");
  }
}

function listenOn(
  hostname: string,
  port: number,
  answer: Answer,
  connections: ClientConnections,
): Promise<HttpServer> {
  const http = createServer({ requireHostHeader: false }, (incoming, outgoing) => {
    // It fails if the client ends the connection, or if the headers cannot be sent.
    respond(incoming, outgoing, answer, connections).catch(() => incoming.socket.destroy());
  });
  // ClientConnections has the timeouts.
  http.keepAliveTimeout = 0;
  const sockets = new Set<Socket>();
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    connections.add(socket);
    http.emit("connection", socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port, exclusive: true, ipv6Only: false }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve({
        port: typeof address === "object" ? (address?.port ?? port) : port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of sockets) socket.destroy();
          }),
      });
    });
  });
}

async function respond(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  answer: Answer,
  connections: ClientConnections,
): Promise<void> {
  const { socket } = incoming;
  const { body, complete } = await readBody(incoming);
  connections.requestReceived(socket);
  outgoing.once("close", () => connections.answerSent(socket));
  const response = await answerTo(incoming, body, answer);
  const bytes = Buffer.from(await response.arrayBuffer());
  for (const [name, value] of response.headers) outgoing.setHeader(name, value);
  outgoing.setHeader("Content-Length", bytes.length);
  if (!complete) outgoing.setHeader("Connection", "close");
  outgoing.writeHead(response.status);
  outgoing.end(incoming.method === "HEAD" ? undefined : bytes);
}

/** `complete` is false if a long body was not read to its end. */
async function readBody(
  incoming: IncomingMessage,
): Promise<{ readonly body: Buffer<ArrayBuffer>; readonly complete: boolean }> {
  const kept: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming) {
    if (length < BODY_BYTES) kept.push(chunk);
    length += chunk.length;
    if (length > DRAINED_BYTES) break;
  }
  const body = Buffer.concat(kept).subarray(0, BODY_BYTES);
  return { body, complete: length <= DRAINED_BYTES };
}

async function answerTo(
  incoming: IncomingMessage,
  body: Buffer<ArrayBuffer>,
  answer: Answer,
): Promise<Response> {
  const { url = "/", method = "GET" } = incoming;
  // Handlers see HEAD as GET, so that its answer has the same headers. HTTP/1.0 requests, such as
  // simple load balancer probes, have no Host header; no app here depends on the host.
  const seen = method === "HEAD" ? "GET" : method;
  const headers = new Headers();
  let request: Request;
  try {
    for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value));
    request = new Request(url.startsWith("/") ? `http://localhost${url}` : url, {
      method: seen,
      headers,
      ...(seen !== "GET" && body.length > 0 && { body }),
    });
  } catch {
    return new Response("400 Bad Request\n", { status: 400 });
  }
  return answer(request);
}

/** The usual causes, in Go's words. */
const LISTEN_CAUSES = new Map<unknown, string>([
  ["EADDRINUSE", "address already in use"],
  ["EADDRNOTAVAIL", "cannot assign requested address (this node does not have it)"],
  [undefined, "cannot create a socket (no IPv6 in the kernel, or no free file descriptor)"],
]);

function listenCause(error: unknown): string {
  return LISTEN_CAUSES.get(codeOf(error)) ?? messageOf(error);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** Prints a host and a port: `127.0.0.1:80`, `[::1]:80`. */
export function printHostPort(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
