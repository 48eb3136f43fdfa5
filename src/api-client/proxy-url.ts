/** Chooses the proxy for the API server, as client-go does. */
import { SluiceError } from "../base/errors.ts";
import { bypassesProxy } from "./no-proxy.ts";
import { basicAuthorization } from "./server-url.ts";

export interface ProxyServer {
  /** `scheme://host:port`, without credentials; used in messages. */
  readonly url: string;
  readonly scheme: "http" | "https" | "socks5";
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of the Proxy-Authorization header; "" for none. */
  readonly authorization: string;
  /** Undefined if the URL has no credentials. */
  readonly login?: { readonly username: string; readonly password: string };
}

export type Environment = { readonly [name: string]: string | undefined };

const DEFAULT_PORTS: { readonly [scheme: string]: number } = { http: 80, https: 443, socks5: 1080 };

/** The result of parsing a proxy's URL: a proxy, or the violated rule. It contains no secret. */
export type ParsedProxy = { readonly proxy: ProxyServer } | { readonly fault: string };

/** Parses an absolute URL such as `http://user:password@proxy:3128`. */
export function parseProxyUrl(text: string): ParsedProxy {
  const url = /\s/.test(text) ? null : URL.parse(text);
  if (url === null) return { fault: "must be a URL" };
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== "http" && scheme !== "https" && scheme !== "socks5") {
    return { fault: `unsupported scheme ${JSON.stringify(scheme)}: must be http, https or socks5` };
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const authorization = basicAuthorization(url);
  if (host === "" || authorization === undefined) return { fault: "must be a URL with a host" };
  const port = url.port === "" ? (DEFAULT_PORTS[scheme] ?? 0) : Number(url.port);
  const proxy = {
    url: `${scheme}://${url.hostname}:${port}`,
    scheme,
    host,
    port,
    authorization,
  } as const;
  if (authorization === "") return { proxy };
  const username = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  return { proxy: { ...proxy, login: { username, password } } };
}

/**
 * Returns the proxy that the environment names for a server, as Go's http.ProxyFromEnvironment
 * does; undefined for none.
 * @throws SluiceError CONFIG_INVALID if it is not the URL of a proxy; Go would never connect then
 */
export function proxyFromEnvironment(
  server: string,
  environment: Environment,
): ProxyServer | undefined {
  const url = new URL(server);
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const text = variable(environment, name);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? String(DEFAULT_PORTS[url.protocol.slice(0, -1)]) : url.port;
  if (text === "" || bypassesProxy(host, port, variable(environment, "NO_PROXY"))) return undefined;
  const absolute = /^[a-z][a-z\d+.-]*:\/\/[^/?#]/i.test(text) ? text : `http://${text}`;
  // In net/http, socks5h is another name of socks5: both leave lookups to the proxy.
  const parsed = parseProxyUrl(absolute.replace(/^socks5h:/i, "socks5:"));
  if ("proxy" in parsed) return parsed.proxy;
  // The value may contain a password.
  throw new SluiceError("CONFIG_INVALID", `${name} in the environment: ${parsed.fault}`, name);
}

/** The name in capitals takes precedence over the one in small letters. */
function variable(environment: Environment, name: string): string {
  return environment[name] || environment[name.toLowerCase()] || "";
}
