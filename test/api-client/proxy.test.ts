/** Sends requests through proxies of every kind to a server with TLS. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { rejectionOf } from "../../harness/expected-errors.ts";
import { type FakeApi, startFakeApi } from "../../harness/fakes/fake-api-server.ts";
import { type FakeProxy, startFakeProxy } from "../../harness/fakes/proxy-server.ts";
import { openAccess } from "../../src/api-client/open-access.ts";
import { openTransport } from "../../src/api-client/transport.ts";
import type { JsonObject } from "../../src/base/json.ts";

let folder: string;
let authority: Certificate;
let client: Certificate;
let api: FakeApi;
let proxies: { readonly [kind: string]: FakeProxy };

const read = (path: string) => readFileSync(path, "utf8");

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-proxy-"));
  authority = await makeAuthority(folder, "ca");
  const names = ["127.0.0.1", "api.test"];
  const server = await makeCertificate(authority, folder, "server", "/CN=server", names);
  client = await makeCertificate(authority, folder, "client", "/CN=the-node");
  api = await startFakeApi({ certificate: server, clientAuthority: read(authority.certificate) });
  const target = api.port;
  const tls = { cert: read(server.certificate), key: read(server.key) };
  proxies = {
    http: await startFakeProxy({ kind: "http", target }),
    https: await startFakeProxy({ kind: "http", tls, target }),
    socks5: await startFakeProxy({ kind: "socks5", target }),
  };
});

afterAll(async () => {
  await Promise.all(Object.values(proxies).map((proxy) => proxy.stop()));
  await api.stop();
  rmSync(folder, { recursive: true, force: true });
});

function proxyOf(kind: string): FakeProxy {
  const proxy = proxies[kind];
  if (proxy === undefined) throw new Error(`no proxy ${kind}`);
  return proxy;
}

const urlOf = (kind: string, login = "") => `${kind}://${login}127.0.0.1:${proxyOf(kind).port}`;

/** Lists Services; returns the status, or throws the error. */
async function list(
  cluster: JsonObject,
  environment: { readonly [name: string]: string } = {},
  requests = 1,
): Promise<number[]> {
  const kubeconfig = join(folder, "kubeconfig");
  const user = { "client-certificate": client.certificate, "client-key": client.key };
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [
        { name: "c", cluster: { "certificate-authority": authority.certificate, ...cluster } },
      ],
      users: [{ name: "u", user }],
    }),
  );
  const access = await openAccess({ kubeconfig, master: "", environment });
  const transport = openTransport(access);
  const statuses: number[] = [];
  try {
    for (let sent = 0; sent < requests; sent++) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      transport.get("/api/v1/services", "application/json", {
        onStart: (status) => statuses.push(status),
        onData() {},
        onEnd: resolve,
        onError: reject,
      });
      await promise;
    }
    expect(transport.connections).toBe(1);
    return statuses;
  } finally {
    transport.close();
  }
}

/** A server that only the proxies can reach. */
const REMOTE = { server: "https://api.test:6443" };

describe.each(["http", "https", "socks5"])("a proxy of kind %s", (kind) => {
  const verb = kind === "socks5" ? "SOCKS" : "CONNECT";

  test("forwards the connection; the client's certificate reaches the server", async () => {
    const proxy = proxyOf(kind);
    proxy.asked.length = 0;
    expect(await list({ ...REMOTE, "proxy-url": urlOf(kind) }, {}, 3)).toEqual([200, 200, 200]);
    expect(proxy.asked).toEqual([`${verb} api.test:6443`]);
    expect(proxy.login).toBe("");
    expect(api.seen.at(-1)?.client).toBe("the-node");
  });

  test("may be named by HTTPS_PROXY, unless NO_PROXY names the server", async () => {
    const proxy = proxyOf(kind);
    proxy.asked.length = 0;
    const environment = { HTTPS_PROXY: urlOf(kind) };
    expect(await list(REMOTE, environment)).toEqual([200]);
    expect(proxy.asked).toEqual([`${verb} api.test:6443`]);
    const error = await rejectionOf(list(REMOTE, { ...environment, NO_PROXY: ".test" }));
    expect(error.message).toContain("lookup api.test: ");
    const direct = { server: `https://127.0.0.1:${api.port}` };
    expect(await list(direct, environment)).toEqual([200]);
    expect(proxy.asked).toHaveLength(1);
  });

  test("receives the login of its URL", async () => {
    const proxy = proxyOf(kind);
    await list({ ...REMOTE, "proxy-url": urlOf(kind, "me:p%40ss@") });
    expect(proxy.login).toBe(kind === "socks5" ? "me:p@ss" : `Basic ${btoa("me:p@ss")}`);
    proxy.login = "";
  });

  test("is asked for an IP address too, and the server is verified for it", async () => {
    const proxy = proxyOf(kind);
    proxy.asked.length = 0;
    const cluster = { "proxy-url": urlOf(kind) };
    expect(await list({ ...cluster, server: "https://127.0.0.1" })).toEqual([200]);
    expect(proxy.asked).toEqual([`${verb} 127.0.0.1:443`]);
    const error = await rejectionOf(list({ ...cluster, server: "https://10.0.0.1:6443" }));
    expect(error.message).toMatch(
      /^request to https:\/\/10\.0\.0\.1:6443: TLS handshake failed: .*10\.0\.0\.1/,
    );
  });

  test("that refuses is named, without its login", async () => {
    const proxy = proxyOf(kind);
    proxy.status = 407;
    const error = await rejectionOf(list({ ...REMOTE, "proxy-url": urlOf(kind, "me:geheim@") }));
    proxy.status = 200;
    proxy.login = "";
    expect(error.code).toBe("API_UNREACHABLE");
    expect(error.message).toStartWith(
      `request to https://api.test:6443: proxy ${kind}://127.0.0.1:${proxy.port}: `,
    );
    expect(error.message).not.toContain("geheim");
    if (kind !== "socks5") expect(error.message).toEndWith("the proxy answered with status 407");
  });

  test("that does not exist is named", async () => {
    const error = await rejectionOf(list({ ...REMOTE, "proxy-url": `${kind}://127.0.0.1:1` }));
    expect(error.message).toBe(
      `request to https://api.test:6443: proxy ${kind}://127.0.0.1:1: connection refused (ECONNREFUSED)`,
    );
  });
});

test("a proxy with TLS must have a certificate of the cluster's authority, as in Go", async () => {
  const other = await makeAuthority(folder, "other");
  const error = await rejectionOf(
    list({
      ...REMOTE,
      "proxy-url": urlOf("https"),
      "certificate-authority": other.certificate,
    }),
  );
  expect(error.message).toContain(": proxy https://127.0.0.1:");
  expect(error.message).toContain(": TLS handshake failed: ");
});

test("a kubeconfig's proxy-url takes precedence over the environment and NO_PROXY", async () => {
  const proxy = proxyOf("http");
  proxy.asked.length = 0;
  const environment = { HTTPS_PROXY: "http://127.0.0.1:1", NO_PROXY: "*" };
  expect(await list({ ...REMOTE, "proxy-url": urlOf("http") }, environment)).toEqual([200]);
  expect(proxy.asked).toHaveLength(1);
});

test("a proxy receives whole requests for a server without TLS", async () => {
  const hosts: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    hosts.push(request.headers.host);
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = await startFakeProxy({ kind: "http", target: port });
  const environment = { HTTP_PROXY: `http://me:secret@127.0.0.1:${proxy.port}` };
  expect(await list({ server: "http://api.test:8080/base" }, environment)).toEqual([200]);
  expect(proxy.asked).toEqual(["GET http://api.test:8080/base/api/v1/services"]);
  expect(proxy.login).toBe(`Basic ${btoa("me:secret")}`);
  expect(hosts).toEqual(["api.test:8080"]);
  await proxy.stop();
  server.close();
});
