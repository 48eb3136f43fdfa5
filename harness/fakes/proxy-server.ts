/**
 * Serves a forward proxy on 127.0.0.1: HTTP CONNECT and whole requests, with or without TLS, or
 * SOCKS5.
 */
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { until } from "../waiting.ts";

export interface FakeProxy {
  readonly port: number;
  /** The requests of clients: `CONNECT api.test:6443`, `GET http://…`, `SOCKS api.test:6443`. */
  readonly asked: string[];
  /** Value of the last Proxy-Authorization header, or `user:password` of SOCKS; "" for none. */
  login: string;
  /** Status of the answers to CONNECT; another than 200 refuses. */
  status: number;
  stop(): Promise<void>;
}

export interface FakeProxyOptions {
  readonly kind: "http" | "socks5";
  /** Serves TLS with this certificate and key, in PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Every connection leads to this port of 127.0.0.1, whatever the client asks for. */
  readonly target: number;
}

export async function startFakeProxy({ kind, tls, target }: FakeProxyOptions): Promise<FakeProxy> {
  const sockets = new Set<Socket>();
  const serve = (client: Socket) => {
    sockets.add(client);
    client.on("error", () => {});
    client.on("close", () => sockets.delete(client));
    const buffer = new Buffered(client);
    const served =
      kind === "http" ? serveHttp(buffer, proxy, target) : serveSocks(buffer, proxy, target);
    served.catch(() => client.destroy());
  };
  const server = tls === undefined ? createTcpServer(serve) : createTlsServer(tls, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: FakeProxy = {
    port: (server.address() as AddressInfo).port,
    asked: [],
    login: "",
    status: 200,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}

/** Collects the bytes of a client until they are forwarded. */
class Buffered {
  readonly client: Socket;
  #bytes = Buffer.alloc(0);
  readonly #collect = (chunk: Buffer) => {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
  };

  constructor(client: Socket) {
    this.client = client;
    client.on("data", this.#collect);
  }

  async take(bytes: number): Promise<Buffer> {
    await until("the client sends", () => this.#bytes.length >= bytes);
    const taken = this.#bytes.subarray(0, bytes);
    this.#bytes = this.#bytes.subarray(bytes);
    return taken;
  }

  async takeHead(): Promise<string> {
    await until("the client sends a request", () => this.#bytes.includes("\r\n\r\n"));
    return String(await this.take(this.#bytes.indexOf("\r\n\r\n") + 4));
  }

  forward(port: number, first = ""): void {
    const { client } = this;
    client.off("data", this.#collect);
    const server = connect(port, "127.0.0.1");
    server.on("error", () => client.destroy());
    server.on("close", () => client.destroy());
    client.on("close", () => server.destroy());
    server.write(first);
    server.write(this.#bytes);
    client.on("data", (chunk) => server.write(chunk));
    server.on("data", (chunk) => client.write(chunk));
  }
}

async function serveHttp(buffer: Buffered, proxy: FakeProxy, target: number): Promise<void> {
  const head = await buffer.takeHead();
  const [, method = "", url = ""] = /^(\S+) (\S+) HTTP/.exec(head) ?? [];
  proxy.asked.push(`${method} ${url}`);
  proxy.login = /^proxy-authorization: (.*)\r$/im.exec(head)?.[1] ?? "";
  if (method !== "CONNECT") {
    buffer.forward(target, head.replace(url, url.replace(/^http:\/\/[^/]*/, "")));
    return;
  }
  buffer.client.write(`HTTP/1.1 ${proxy.status} Test\r\n\r\n`);
  if (proxy.status === 200) buffer.forward(target);
  else buffer.client.end();
}

/** RFC 1928 and RFC 1929. Demands a login if the client offers one. */
async function serveSocks(buffer: Buffered, proxy: FakeProxy, target: number): Promise<void> {
  const { client } = buffer;
  const [, count = 0] = await buffer.take(2);
  const methods = await buffer.take(count);
  const withLogin = methods.includes(2);
  client.write(Uint8Array.of(5, withLogin ? 2 : 0));
  if (withLogin) {
    const text = async (): Promise<string> => {
      const [length = 0] = await buffer.take(1);
      return String(await buffer.take(length));
    };
    await buffer.take(1);
    const username = await text();
    proxy.login = `${username}:${await text()}`;
    client.write(Uint8Array.of(1, 0));
  }
  const [, , , type] = await buffer.take(4);
  const [length = 0] = type === 3 ? await buffer.take(1) : [type === 1 ? 4 : 16];
  const address = await buffer.take(length);
  const port = (await buffer.take(2)).readUInt16BE();
  const host = type === 3 ? String(address) : [...address].join(type === 1 ? "." : ":");
  proxy.asked.push(`SOCKS ${host}:${port}`);
  const refused = proxy.status !== 200;
  client.write(Uint8Array.of(5, refused ? 5 : 0, 0, 1, 0, 0, 0, 0, 0, 0));
  if (refused) client.end();
  else buffer.forward(target);
}
