import { SluiceError } from "../base/errors.ts";

/** client-go's DefaultServerURL: without a scheme, https if anything about TLS is configured. */
export function serverUrl(text: string, tls: boolean): string {
  const withScheme = /^https?:\/\//.test(text) ? text : `${tls ? "https" : "http"}://${text}`;
  return withScheme.replace(/\/+$/, "");
}

/**
 * The same of the flag --master.
 * @throws SluiceError CONFIG_INVALID when it is no URL
 */
export function masterUrl(master: string, tls: boolean): string {
  const url = serverUrl(master, tls);
  if (URL.canParse(url)) return url;
  throw new SluiceError(
    "CONFIG_INVALID",
    `Cannot use flag --master: it must be a URL: current value is ${JSON.stringify(master)}`,
  );
}
