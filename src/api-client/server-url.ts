/** Reads the URL of the API server as client-go and Go's net/url do. */
import { SluiceError } from "../base/errors.ts";

export interface ServerUrl {
  /**
   * `https://host:port`, possibly with a path; never ends in a slash. The host is spelled as it was
   * given. There are no credentials in it.
   */
  readonly server: string;
  /** Value of the Authorization header for the credentials in the URL; "" for none. */
  readonly authorization: string;
}

/**
 * Follows client-go's DefaultServerURL. A text without a scheme must be `host` or `host:port`, and
 * becomes http: client-go does not look at the TLS settings of a kubeconfig then. Query and
 * fragment are dropped. Undefined if the text is not the URL of an HTTP server.
 */
export function parseServerUrl(text: string): ServerUrl | undefined {
  const [, given, full] = /^([a-z][a-z\d+.-]*):\/\/([^/?#].*)$/is.exec(text) ?? [];
  const scheme = (given ?? "http").toLowerCase();
  const rest = full ?? text;
  const url = URL.parse(`${scheme}://${rest}`);
  if (url === null || /[\s\\]/.test(rest) || !/^https?$/.test(scheme)) return undefined;
  if (given === undefined && url.pathname !== "/") return undefined;
  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? "";
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  const authorization = basicAuthorization(url);
  if (authorization === undefined) return undefined;
  return { server: `${scheme}://${host}${url.pathname.replace(/\/+$/, "")}`, authorization };
}

/**
 * Like `parseServerUrl`, for the flag --master.
 * @throws SluiceError CONFIG_INVALID if it is not a URL
 */
export function parseMasterUrl(master: string): ServerUrl {
  const url = parseServerUrl(master);
  if (url !== undefined) return url;
  throw new SluiceError(
    "CONFIG_INVALID",
    `--master: invalid value ${JSON.stringify(withoutCredentials(master))}: must be a URL`,
  );
}

/** Removes user name and password from a text that may be a URL, for messages. */
export function withoutCredentials(text: string): string {
  return text.replace(/^([^/?#]*\/\/)?[^/?#]*@/s, "$1");
}

/**
 * Builds the value of an Authorization header from the user name and password in a URL. "" if there
 * are none; undefined if their percent-encoding is invalid.
 */
export function basicAuthorization({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return "";
  try {
    const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return `Basic ${Buffer.from(login).toString("base64")}`;
  } catch {
    return undefined;
  }
}
