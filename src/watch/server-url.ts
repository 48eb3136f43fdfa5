/** client-go's DefaultServerURL: without a scheme, https if anything about TLS is configured. */
export function serverUrl(text: string, tls: boolean): string {
  const withScheme = /^https?:\/\//.test(text) ? text : `${tls ? "https" : "http"}://${text}`;
  return withScheme.replace(/\/+$/, "");
}
