/** The name that a TLS handshake sends, and for which the server's certificate is verified. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority, makeCertificate } from "../../harness/cluster/certificates.ts";
import { rejectionOf } from "../../harness/expected-errors.ts";
import { listenForHellos } from "../../harness/fakes/client-hello.ts";
import { type FakeApi, startFakeApi } from "../../harness/fakes/fake-api-server.ts";
import { type FakeProxy, startFakeProxy } from "../../harness/fakes/proxy-server.ts";
import type { ClusterAccess, TlsMaterial } from "../../src/api-client/access.ts";
import { parseProxyUrl } from "../../src/api-client/proxy-url.ts";
import { openTransport } from "../../src/api-client/transport.ts";

let folder: string;
let ca: string;
let api: FakeApi;
let proxy: FakeProxy;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-names-"));
  const authority = await makeAuthority(folder, "ca");
  ca = readFileSync(authority.certificate, "utf8");
  const names = ["10.0.0.1", "fd00::1", "api.test", "*.wild.test"];
  api = await startFakeApi({
    certificate: await makeCertificate(authority, folder, "server", "/CN=server", names),
  });
  // Makes every name and address lead to the server.
  proxy = await startFakeProxy({ kind: "http", target: api.port });
});

afterAll(async () => {
  await proxy.stop();
  await api.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function get(server: string, tls: Partial<TlsMaterial>, port?: number): Promise<number> {
  const parsed = parseProxyUrl(`http://127.0.0.1:${port ?? 0}`);
  const access: ClusterAccess = {
    server,
    proxy: port !== undefined && "proxy" in parsed ? parsed.proxy : undefined,
    identity: async () => ({ authorization: "", tls: { insecure: false, ...tls } }),
    credentialsRefused() {},
  };
  const transport = openTransport(access);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  transport.get("/api/v1/services", "application/json", {
    onStart: resolve,
    onData() {},
    onEnd() {},
    onError: reject,
  });
  return promise.finally(() => transport.close());
}

test.each([
  ["127.0.0.1", {}, ""],
  ["[::1]", {}, ""],
  ["localhost", {}, "localhost"],
  ["LOCALHOST", {}, "localhost"],
  ["localhost.", {}, "localhost"],
  ["127.0.0.1", { serverName: "api.test" }, "api.test"],
  ["127.0.0.1", { serverName: "api.test." }, "api.test"],
  ["localhost", { serverName: "10.0.0.1" }, ""],
  ["localhost", { serverName: "fd00::1" }, ""],
  ["127.0.0.1", { insecure: true }, ""],
  ["localhost.", { insecure: true }, "localhost"],
])("%s with %p sends the name %p", async (host, tls, name) => {
  const listener = await listenForHellos(host === "[::1]" ? "::1" : "127.0.0.1");
  await rejectionOf(get(`https://${host}:${listener.port}`, tls));
  expect(listener.names).toEqual([name]);
  await listener.stop();
});

describe("the certificate", () => {
  test.each([
    ["api.test", {}],
    ["api.test.", {}],
    ["API.Test", {}],
    ["10.0.0.1", {}],
    ["[fd00::1]", {}],
    ["one.wild.test.", {}],
    ["elsewhere.test", { serverName: "api.test" }],
    ["elsewhere.test", { serverName: "api.test." }],
    ["elsewhere.test", { serverName: "10.0.0.1" }],
    ["elsewhere.test", { serverName: "fd00::1" }],
  ])("is right for %s with %p", async (host, tls) => {
    expect(await get(`https://${host}:6443`, { ca, ...tls }, proxy.port)).toBe(200);
  });

  test.each([
    ["elsewhere.test", {}],
    ["10.0.0.2", {}],
    ["[fd00::2]", {}],
    ["wild.test", {}],
    ["api.test", { serverName: "elsewhere.test" }],
    ["api.test", { serverName: "10.0.0.2" }],
  ])("is wrong for %s with %p", async (host, tls) => {
    const error = await rejectionOf(get(`https://${host}:6443`, { ca, ...tls }, proxy.port));
    expect(error.code).toBe("API_UNREACHABLE");
    expect(error.message).toContain(": TLS handshake failed: ");
  });
});
