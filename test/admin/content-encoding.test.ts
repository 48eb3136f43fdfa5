import { expect, test } from "bun:test";
import { prefersGzip } from "../../src/admin/content-encoding.ts";

// The choices of NegotiateContentEncoding in client_golang (prometheus/promhttp/internal).
test.each<[string | undefined, boolean]>([
  [undefined, false],
  ["", false],
  ["gzip", true],
  ["GZIP", true],
  ["gzip;q=0.5", true],
  ["gzip; q=0.5", true],
  ["deflate, gzip;q=1.0, *;q=0.5", true],
  ["identity;q=0, gzip", true],
  ["gzip;q=0", false],
  ["gzip;q=x", false],
  ["gzip, identity", false],
  ["gzip;q=0.1, identity", false],
  ["*", false],
  ["*;q=0", false],
  ["x-gzip", false],
  ["br", false],
])("%p", (header, expected) => {
  expect(prefersGzip(header)).toBe(expected);
});
