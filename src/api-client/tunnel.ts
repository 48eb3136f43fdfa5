/** Asks a proxy to forward a connection. */
import type { Socket } from "node:net";
import Client from "undici/lib/dispatcher/client.js";
import type { ProxyServer } from "./proxy-url.ts";

export interface Target {
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Returns a socket to `target` through the proxy at the other end of `socket`. The proxy looks up
 * names, as in Go.
 */
export function openTunnel(socket: Socket, proxy: ProxyServer, target: Target): Promise<Socket> {
  return proxy.scheme === "socks5"
    ? openSocksTunnel(socket, proxy, target)
    : openHttpTunnel(socket, proxy, target);
}

function openHttpTunnel(
  socket: Socket,
  proxy: ProxyServer,
  { host, port }: Target,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const headers = {
    host: authority,
    ...(proxy.authorization === "" ? {} : { "proxy-authorization": proxy.authorization }),
  };
  const client = new Client(`http://${authority}`, {
    allowH2: false,
    // undici expects the callback later, and hangs otherwise.
    connect: (_options, callback) => queueMicrotask(() => callback(null, socket)),
  });
  client.dispatch(
    { method: "CONNECT", path: authority, headers },
    {
      onRequestStart() {},
      // undici ends every answer to CONNECT here, with the socket back in our hands.
      onRequestUpgrade(_controller, status) {
        if (status === 200) resolve(socket);
        else reject(new Error(`CONNECT ${authority}: the proxy answered with status ${status}`));
      },
      onResponseError: (_controller, error) => reject(error),
    },
  );
  return promise;
}

async function openSocksTunnel(
  existing_socket: Socket,
  proxy: ProxyServer,
  destination: Target,
): Promise<Socket> {
  // Loaded only for such a proxy.
  const { SocksClient } = await import("socks");
  const { socket } = await SocksClient.createConnection({
    existing_socket,
    command: "connect",
    destination,
    proxy: {
      host: proxy.host,
      port: proxy.port,
      type: 5,
      ...(proxy.login && { userId: proxy.login.username, password: proxy.login.password }),
    },
  });
  return socket;
}
