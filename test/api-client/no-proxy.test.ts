import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { proxyFromEnvironment } from "../../src/api-client/proxy-url.ts";
import { SluiceError } from "../../src/base/errors.ts";

interface Choice {
  readonly server: string;
  readonly httpsProxy: string;
  readonly noProxy: string;
  readonly proxy: string;
}

/** Made by Go's own code: test/fixtures/no-proxy/generate.go. */
const file = join(import.meta.dir, "../fixtures/no-proxy/choices.json");
const choices = JSON.parse(readFileSync(file, "utf8")) as Choice[];

/** The proxy for a server, without credentials; "" for none, and for a value that is refused. */
function chosen(server: string, environment: { readonly [name: string]: string }): string {
  try {
    return proxyFromEnvironment(server, environment)?.url ?? "";
  } catch (thrown) {
    if (thrown instanceof SluiceError) return "";
    throw thrown;
  }
}

/** Our form of Go's result: with a port, and "" for a URL that Go can never reach. */
function normalized(proxy: string): string {
  const { protocol, hostname, port } = new URL(proxy === "" ? "http://:0" : proxy);
  return `${protocol}//${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

/** Go makes of these a proxy that does not exist. Sluice refuses them at the start. */
const REFUSED = ["http://pro xy:3128", "http://proxy:port", ":3128"];

test("every choice is Go's (test/fixtures/no-proxy/generate.go)", () => {
  const wrong = choices.filter(({ server, httpsProxy, noProxy, proxy }) => {
    const ours = chosen(server, { HTTPS_PROXY: httpsProxy, NO_PROXY: noProxy });
    if (proxy === "" || REFUSED.includes(httpsProxy)) return ours !== "";
    return ours !== normalized(proxy);
  });
  expect(wrong).toEqual([]);
  expect(choices.filter(({ proxy }) => proxy !== "").length).toBeGreaterThan(300);
  expect(choices.filter(({ proxy }) => proxy === "").length).toBeGreaterThan(100);
});

describe("the environment", () => {
  const HTTPS = "https://10.0.0.1:6443";
  test.each([
    [HTTPS, { HTTPS_PROXY: "http://a:1" }, "http://a:1"],
    [HTTPS, { https_proxy: "http://b:1" }, "http://b:1"],
    [HTTPS, { HTTPS_PROXY: "http://a:1", https_proxy: "http://b:1" }, "http://a:1"],
    [HTTPS, { HTTPS_PROXY: "", https_proxy: "http://b:1" }, "http://b:1"],
    [HTTPS, { HTTP_PROXY: "http://a:1", ALL_PROXY: "http://b:1" }, ""],
    [HTTPS, { HTTPS_PROXY: "http://a:1", no_proxy: "10.0.0.0/8" }, ""],
    [HTTPS, { HTTPS_PROXY: "http://a:1", NO_PROXY: "x", no_proxy: "*" }, "http://a:1"],
    [HTTPS, { HTTPS_PROXY: "socks5h://a" }, "socks5://a:1080"],
    [HTTPS, { HTTPS_PROXY: "https://a" }, "https://a:443"],
    ["http://10.0.0.1:80", { HTTP_PROXY: "http://a:1" }, "http://a:1"],
    ["http://10.0.0.1:80", { HTTPS_PROXY: "http://a:1" }, ""],
  ])("for %s, %p chooses %p", (server, environment, proxy) => {
    expect(chosen(server, environment)).toBe(proxy);
  });

  test.each(["ftp://u:geheim@a:1", ...REFUSED, "http://u:geheim%zz@a:1"])(
    "with HTTPS_PROXY %p is refused without its secrets",
    (text) => {
      const open = () => proxyFromEnvironment(HTTPS, { HTTPS_PROXY: text });
      expect(open).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
      expect(open).toThrow(/^HTTPS_PROXY in the environment: (?!.*geheim)/);
    },
  );
});
