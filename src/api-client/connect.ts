/**
 * Opens connections to the API server for undici. Under Bun, undici's own connector sends
 * an IP address as server name. It knows neither names that end in a dot nor SOCKS.
 */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { type ConnectionOptions, checkServerIdentity, connect as connectTls } from "node:tls";
import type buildConnector from "undici/types/connector";
import { systemClock } from "../base/clock.ts";
import { CONNECT_TIMEOUT_MS, KEEPALIVE_DELAY_MS } from "../base/limits.ts";
import type { TlsMaterial } from "./access.ts";
import { resolveRootedName } from "./hosts-file.ts";
import type { ProxyServer } from "./proxy-url.ts";
import { openTunnel, type Target } from "./tunnel.ts";

/** A failure between this process and the API server's own connection. */
export class ProxyError extends Error {
  constructor(proxy: ProxyServer, cause: unknown) {
    super(`proxy ${proxy.url}`, { cause });
  }
}

/** The connection was not ready within CONNECT_TIMEOUT_MS. */
class ConnectTimeout extends Error {
  readonly code = "ETIMEDOUT";
}

/** Creates the connector of an undici Client. It verifies the server's certificate by `tls`. */
export function createConnector(
  tls: TlsMaterial,
  proxy: ProxyServer | undefined,
): buildConnector.connector {
  return ({ hostname, port, protocol }, callback) => {
    const secure = protocol === "https:";
    const target = { host: hostname, port: Number(port) || (secure ? 443 : 80) };
    const opened =
      proxy === undefined
        ? open(target, secure ? tls : undefined)
        : openVia(proxy, target, secure, tls);
    // undici destroys the first socket if nothing waits for the connection.
    const { first } = opened;
    const cancelTimeout = systemClock.after(CONNECT_TIMEOUT_MS, () => {
      first.destroy(new ConnectTimeout("connection timed out"));
    });
    opened.ready.then(
      (socket) => {
        cancelTimeout();
        callback(null, socket);
      },
      (thrown: unknown) => {
        cancelTimeout();
        first.destroy();
        callback(thrown instanceof Error ? thrown : new Error(String(thrown)), null);
      },
    );
    return first;
  };
}

interface Opening {
  readonly first: Socket;
  readonly ready: Promise<Socket>;
}

/** @param tls undefined for a connection without TLS */
function open(target: Target, tls: TlsMaterial | undefined): Opening {
  const { port } = target;
  const host = resolveRootedName(target.host);
  const first =
    tls === undefined
      ? connectTcp({ host, port })
      : connectTls({ host, port, ...tlsOptions(tls, target.host) });
  first.setNoDelay(true).setKeepAlive(true, KEEPALIVE_DELAY_MS);
  return { first, ready: eventOf(first, tls === undefined ? "connect" : "secureConnect") };
}

/** As in Go, a proxy with TLS is verified with the settings for the API server. */
function openVia(proxy: ProxyServer, target: Target, secure: boolean, tls: TlsMaterial): Opening {
  const { first, ready } = open(proxy, proxy.scheme === "https" ? tls : undefined);
  const connected = async (): Promise<Socket> => {
    try {
      const socket = await ready;
      return forwardsRequests(proxy, secure) ? socket : await openTunnel(socket, proxy, target);
    } catch (thrown) {
      throw new ProxyError(proxy, thrown);
    }
  };
  const secured = async (): Promise<Socket> => {
    const socket = await connected();
    if (!secure) return socket;
    return eventOf(connectTls({ socket, ...tlsOptions(tls, target.host) }), "secureConnect");
  };
  return { first, ready: secured() };
}

/**
 * Reports whether the proxy receives whole requests for the server, instead of a connection to
 * forward. As in Go, this is so if neither TLS nor SOCKS hides the requests.
 */
export function forwardsRequests(proxy: ProxyServer, secure: boolean): boolean {
  return !secure && proxy.scheme !== "socks5";
}

/**
 * As Go's crypto/tls does, verifies the certificate for the server's name, without the dot that may
 * end it. Sends the name unless it is an IP address.
 */
function tlsOptions(tls: TlsMaterial, host: string): ConnectionOptions {
  const name = (tls.serverName ?? host).replace(/\.$/, "");
  return {
    servername: isIP(name) === 0 ? name : "",
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    rejectUnauthorized: !tls.insecure,
    ALPNProtocols: ["http/1.1"],
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  };
}

/** Resolves with the socket at the event, and rejects if the socket fails or closes before. */
function eventOf<S extends Socket>(socket: S, event: "connect" | "secureConnect"): Promise<S> {
  const { promise, resolve, reject } = Promise.withResolvers<S>();
  socket.once(event, () => resolve(socket));
  // Under Bun, the end of a stream may follow its error, and undici would then report the end.
  socket.on("error", (error) => {
    socket.destroy(error);
    reject(error);
  });
  socket.once("close", () => reject(new Error("connection closed")));
  return promise;
}
