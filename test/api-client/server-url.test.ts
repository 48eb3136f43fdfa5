import { expect, test } from "bun:test";
import { parseServerUrl, withoutCredentials } from "../../src/api-client/server-url.ts";

test.each([
  ["https://10.0.0.1:6443", "https://10.0.0.1:6443"],
  ["HTTPS://api.test:6443", "https://api.test:6443"],
  ["Http://api.test", "http://api.test"],
  ["https://API.test.:6443/", "https://API.test.:6443"],
  ["https://api.test/k8s/clusters/c-1//", "https://api.test/k8s/clusters/c-1"],
  ["https://api.test:6443/base?a=b#c", "https://api.test:6443/base"],
  ["https://api.test?a=b", "https://api.test"],
  ["https://[fd00::1]:6443", "https://[fd00::1]:6443"],
  ["api.test:6443", "http://api.test:6443"],
  ["localhost:8080", "http://localhost:8080"],
  ["[fd00::1]:6443/", "http://[fd00::1]:6443"],
  ["10.0.0.1", "http://10.0.0.1"],
])("the server %s is %s", (text, server) => {
  expect(parseServerUrl(text)).toEqual({ server, authorization: "" });
});

test.each([
  "",
  "https://",
  "https:///path",
  "https://:x",
  "https://api.test:port",
  "https://[::",
  "ftp://api.test",
  "unix:///run/api.sock",
  "api.test:6443/path",
  "https://api test",
  " https://api.test",
  "https://api.test\\path",
  "https://u:%zz@api.test",
])("%p is not the URL of a server", (text) => {
  expect(parseServerUrl(text)).toBeUndefined();
});

test("a login in the URL is used, and not shown", () => {
  expect(parseServerUrl("HTTPS://me:p%40ss@api.test:6443/x")).toEqual({
    server: "https://api.test:6443/x",
    authorization: `Basic ${btoa("me:p@ss")}`,
  });
});

test.each([
  ["https://me:secret@[::", "https://[::"],
  ["me:secret@host:port", "host:port"],
  ["https://host/a@b", "https://host/a@b"],
])("withoutCredentials(%p) is %p", (text, shown) => {
  expect(withoutCredentials(text)).toBe(shown);
});
