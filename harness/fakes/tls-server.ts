/**
 * Serves HTTP/1.1 over TLS for requests without a body. It does not use node:https: under Bun its
 * sockets do not show the client's certificate, and it cannot cut a connection at any time.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";

export interface Request {
  readonly url: URL;
  readonly headers: Headers;
  /** Common name of the client's verified certificate, "" without one. */
  readonly client: string;
}

export interface Reply {
  start(status: number, headers: { readonly [name: string]: string }): void;
  /** One chunk. */
  write(text: string): void;
  end(): void;
  onClose(run: () => void): void;
}

export interface TlsServerOptions {
  readonly cert: string;
  readonly key: string;
  /** Asks clients for a certificate of this authority. */
  readonly clientAuthority?: string;
  /** The address that it listens on; 127.0.0.1 by default. */
  readonly address?: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly answer: (request: Request, reply: Reply) => void;
}

export interface TlsServer {
  readonly port: number;
  /** Resolves when a client rejects our certificate. */
  readonly refused: Promise<unknown>;
  /** Cuts all connections. */
  disconnect(): void;
  stop(): Promise<void>;
}

export async function serveTls(options: TlsServerOptions): Promise<TlsServer> {
  const { cert, key, clientAuthority, address = "127.0.0.1" } = options;
  const sockets = new Set<TLSSocket>();
  const client =
    clientAuthority === undefined
      ? {}
      : { ca: clientAuthority, requestCert: true, rejectUnauthorized: false };
  const server = createServer({ cert, key, ...client }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let head = "";
    socket.on("data", (bytes) => {
      head += bytes.toString("latin1");
      if (!head.endsWith("\r\n\r\n")) return;
      const request = parse(head, socket);
      head = "";
      options.answer(request, reply(socket));
    });
  });
  const refused = once(server, "tlsClientError");
  await new Promise<void>((resolve) => server.listen(options.port, address, resolve));
  const disconnect = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    refused,
    disconnect,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      disconnect();
      await closed;
    },
  };
}

function parse(head: string, socket: TLSSocket): Request {
  const [first = "", ...lines] = head.trim().split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const name = socket.authorized ? socket.getPeerCertificate().subject?.CN : "";
  return {
    url: new URL(first.split(" ")[1] ?? "/", "https://api.test"),
    headers,
    client: typeof name === "string" ? name : "",
  };
}

function reply(socket: TLSSocket): Reply {
  return {
    start(status, headers) {
      const all = { ...headers, "transfer-encoding": "chunked" };
      const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 ${status} Test\r\n${lines.join("")}\r\n`);
    },
    write: (text) => void socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`),
    end: () => void socket.write("0\r\n\r\n"),
    onClose: (run) => void socket.on("close", run),
  };
}
