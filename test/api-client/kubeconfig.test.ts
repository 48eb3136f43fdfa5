import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { rejectionOf } from "../../harness/expected-errors.ts";
import { inClusterAccess, openAccess } from "../../src/api-client/open-access.ts";
import type { JsonObject } from "../../src/base/json.ts";

let folder: string;
let authority: Certificate;
let client: Certificate;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-kubeconfig-"));
  authority = await makeAuthority(folder, "ca");
  client = await makeCertificate(authority, folder, "client", "/CN=node");
  writeFileSync(join(folder, "token"), "from-file\n");
  writeFileSync(join(folder, "empty"), "\n");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SERVER = { server: "https://10.0.0.1:6443" };

/** Writes a kubeconfig with one cluster and one user. */
function write(cluster: JsonObject = SERVER, user: JsonObject = {}, more: JsonObject = {}): string {
  const path = join(folder, "kubeconfig");
  writeFileSync(
    path,
    stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "k", user: "u" } }],
      clusters: [{ name: "k", cluster }],
      users: [{ name: "u", user }],
      ...more,
    }),
  );
  return path;
}

const open = (path: string, master = "") =>
  openAccess({ kubeconfig: path, master, environment: {} });

const identity = async (cluster?: JsonObject, user?: JsonObject) =>
  (await open(write(cluster, user))).identity();

const text = (path: string) => readFileSync(path, "utf8");
const base64 = (path: string) => readFileSync(path).toString("base64");

describe("a kubeconfig", () => {
  test("gives the server of its current context", async () => {
    expect((await open(write())).server).toBe("https://10.0.0.1:6443");
  });

  test.each([
    ["https://other:1/", "https://other:1"],
    ["https://other:1/base/", "https://other:1/base"],
    ["other:1", "http://other:1"],
  ])("gives way to --master %s", async (master, server) => {
    expect((await open(write(), master)).server).toBe(server);
  });

  test("loses its tls-server-name to --master, as in client-go", async () => {
    const path = write({ ...SERVER, "tls-server-name": "api.test" });
    expect((await (await open(path)).identity()).tls.serverName).toBe("api.test");
    expect((await (await open(path, "https://other:1")).identity()).tls.serverName).toBeUndefined();
  });

  test("may have a login in the server's URL, which takes precedence as in Go", async () => {
    const access = await open(write({ server: "https://me:secret@api.test" }, { token: "abc" }));
    expect(access.server).toBe("https://api.test");
    expect((await access.identity()).authorization).toBe(`Basic ${btoa("me:secret")}`);
  });

  test("names a proxy, which takes precedence over the environment's", async () => {
    const environment = { HTTPS_PROXY: "http://environment:1" };
    const proxyOf = async (cluster: JsonObject) =>
      (await openAccess({ kubeconfig: write(cluster), master: "", environment })).proxy?.url;
    expect(await proxyOf({ ...SERVER, "proxy-url": "socks5://p" })).toBe("socks5://p:1080");
    expect(await proxyOf(SERVER)).toBe("http://environment:1");
  });

  test("sends no credentials to a server without TLS", async () => {
    const cluster = { server: "http://10.0.0.1:8080", "certificate-authority": "ca.crt" };
    const expected = { authorization: "", tls: { insecure: false } };
    expect(await identity(cluster, { token: "abc" })).toEqual(expected);
  });

  test("may be JSON", async () => {
    const path = join(folder, "json");
    writeFileSync(
      path,
      JSON.stringify({
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "k" } }],
        clusters: [{ name: "k", cluster: SERVER }],
      }),
    );
    const access = await open(path);
    expect(access.server).toBe(SERVER.server);
    expect(await access.identity()).toEqual({ authorization: "", tls: { insecure: false } });
  });

  test.each([
    ["token", { token: "abc" }, "Bearer abc"],
    ["tokenFile before token", { token: "abc", tokenFile: "token" }, "Bearer from-file"],
    ["a password", { username: "me", password: "secret" }, `Basic ${btoa("me:secret")}`],
    ["nothing", {}, ""],
  ])("logs in by %s", async (_what, user, authorization) => {
    expect((await identity(SERVER, user)).authorization).toBe(authorization);
  });

  test("reads certificates from files next to it, or from its own data", async () => {
    const expected = {
      insecure: false,
      serverName: "api.test",
      ca: text(authority.certificate),
      cert: text(client.certificate),
      key: text(client.key),
    };
    const named = await identity(
      { ...SERVER, "certificate-authority": "ca.crt", "tls-server-name": "api.test" },
      { "client-certificate": "client.crt", "client-key": client.key },
    );
    expect(named.tls).toEqual(expected);
    const inline = await identity(
      {
        ...SERVER,
        "certificate-authority-data": base64(authority.certificate),
        "tls-server-name": "api.test",
      },
      {
        "client-certificate-data": base64(client.certificate),
        "client-key-data": base64(client.key),
      },
    );
    expect(inline.tls).toEqual(expected);
  });

  test("reads a file again each time, because it may be rotated", async () => {
    const file = join(folder, "rotated");
    writeFileSync(file, "one");
    const access = await open(write(SERVER, { tokenFile: file }));
    expect((await access.identity()).authorization).toBe("Bearer one");
    writeFileSync(file, "two");
    expect((await access.identity()).authorization).toBe("Bearer two");
  });
});

describe("an unusable kubeconfig is refused with file and field:", () => {
  const certificateOnly = { "client-certificate": "client.crt" };
  const cases: [string, JsonObject | undefined, JsonObject | undefined, JsonObject, string][] = [
    [
      "no context",
      undefined,
      undefined,
      { "current-context": "" },
      "current-context: required value: must name",
    ],
    ["an unknown context", undefined, undefined, { "current-context": "x" }, 'named "x"'],
    [
      "an unknown cluster",
      undefined,
      undefined,
      { clusters: [] },
      'clusters: no entry is named "k"',
    ],
    [
      "two clusters with one name",
      undefined,
      undefined,
      { clusters: [{ name: "k" }, { name: "k" }] },
      'clusters[1].name: duplicate name "k"',
    ],
    [
      "lists that are none",
      undefined,
      undefined,
      { users: "x" },
      "users: invalid value (a string): must be a list",
    ],
    ["no server", {}, undefined, {}, "clusters[0].cluster.server: required value: must be a URL"],
    ["a server that is no URL", { server: "https://:x" }, undefined, {}, "must be a URL"],
    ["a server with a path, without a scheme", { server: "api/x" }, undefined, {}, "must be a URL"],
    [
      "a proxy of an unknown kind",
      { ...SERVER, "proxy-url": "ftp://p" },
      undefined,
      {},
      'clusters[0].cluster.proxy-url: invalid value: unsupported scheme "ftp": must be http',
    ],
    [
      "a proxy that is no URL",
      { ...SERVER, "proxy-url": "p" },
      undefined,
      {},
      "proxy-url: invalid",
    ],
    [
      "impersonation",
      undefined,
      { as: "x" },
      {},
      "users[0].user.as: impersonation is not supported",
    ],
    [
      "a token that is no text",
      undefined,
      { token: 12_345 },
      {},
      "users[0].user.token: invalid value (a number): must be a string",
    ],
    [
      "a certificate without its key",
      undefined,
      certificateOnly,
      {},
      "users[0].user.client-key: required value",
    ],
    [
      "an authority together with insecure",
      { ...SERVER, "certificate-authority": "ca.crt", "insecure-skip-tls-verify": true },
      undefined,
      {},
      "insecure-skip-tls-verify: invalid value true: must not be set",
    ],
    [
      "data that is no PEM",
      { ...SERVER, "certificate-authority-data": "AAAA" },
      undefined,
      {},
      "certificate-authority-data: invalid PEM: must contain a CERTIFICATE block",
    ],
    [
      "an authority's file that is absent",
      { ...SERVER, "certificate-authority": "absent" },
      undefined,
      {},
      "clusters[0].cluster.certificate-authority of",
    ],
    [
      "an authority's file that is none",
      { ...SERVER, "certificate-authority": "token" },
      undefined,
      {},
      "invalid PEM: must contain a CERTIFICATE block",
    ],
    ["an absent token file", undefined, { tokenFile: "absent" }, {}, "users[0].user.tokenFile of"],
    ["an empty token file", undefined, { tokenFile: "empty" }, {}, "the file is empty"],
  ];
  test.each(cases)("%s", async (_what, cluster, user, more, message) => {
    const path = write(cluster, user, more);
    const error = await rejectionOf(open(path).then((access) => access.identity()));
    expect(error.code).toBe("KUBECONFIG_INVALID");
    expect(error.message).toContain(message);
    expect(error.message).toContain(path);
  });

  test.each([
    { server: "https://me:geheim@[::" },
    { ...SERVER, "proxy-url": "ftp://me:geheim@p" },
    { ...SERVER, "proxy-url": "http://me:geheim@" },
  ])("a login in a URL is not printed: %p", async (cluster) => {
    const { message } = await rejectionOf(open(write(cluster)));
    expect(message).toContain("clusters[0].cluster.");
    expect(message).not.toContain("geheim");
  });

  test("secrets are not printed", async () => {
    const path = write(SERVER, { token: ["c2VjcmV0"] });
    const { message } = await rejectionOf(open(path));
    expect(message).toContain("a list");
    expect(message).not.toContain("c2VjcmV0");
  });

  test.each([
    ["absent", undefined, ": no such file or directory (ENOENT)"],
    ["no YAML", "a: [", " at line 1, column 5"],
    ["no mapping", "- a\n", ": content: invalid value (a list): must be a mapping"],
  ])("a file that is %s", async (_what, content, message) => {
    const path = join(folder, "broken");
    rmSync(path, { force: true });
    if (content !== undefined) writeFileSync(path, content);
    const error = await rejectionOf(open(path));
    expect(error.code).toBe("KUBECONFIG_INVALID");
    expect(error.subject).toBe(path);
    expect(error.message).toContain(message);
  });
});

describe("inside a cluster", () => {
  const environment = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };

  test("variables and the service account's files are enough", async () => {
    const account = join(folder, "account");
    mkdirSync(account);
    writeFileSync(join(account, "token"), "pod\n");
    writeFileSync(join(account, "ca.crt"), text(authority.certificate));
    const access = inClusterAccess(environment, account);
    expect(access.server).toBe("https://10.96.0.1:443");
    expect(await access.identity()).toEqual({
      authorization: "Bearer pod",
      tls: { insecure: false, ca: text(authority.certificate) },
    });
  });

  test("an IPv6 host gets its brackets", () => {
    const access = inClusterAccess({ ...environment, KUBERNETES_SERVICE_HOST: "fd00::1" });
    expect(access.server).toBe("https://[fd00::1]:443");
  });

  test("a name may end in a dot", () => {
    const access = inClusterAccess({ ...environment, KUBERNETES_SERVICE_HOST: "api.test." });
    expect(access.server).toBe("https://api.test.:443");
  });

  test("the environment may name a proxy", () => {
    const proxied = { ...environment, HTTPS_PROXY: "http://p:1" };
    expect(inClusterAccess(proxied).proxy?.url).toBe("http://p:1");
    expect(inClusterAccess({ ...proxied, NO_PROXY: "10.96.0.0/12" }).proxy).toBeUndefined();
  });

  test("a host that is none is refused", async () => {
    const wrong = { ...environment, KUBERNETES_SERVICE_HOST: "a b" };
    expect(() => inClusterAccess(wrong)).toThrow(/KUBERNETES_SERVICE_HOST/);
  });

  test("no variables mean no cluster", async () => {
    const error = await rejectionOf(openAccess({ kubeconfig: "", master: "", environment: {} }));
    expect(error.code).toBe("KUBECONFIG_INVALID");
    expect(error.message).toContain("KUBERNETES_SERVICE_HOST");
  });
});

test.each(["together with a kubeconfig", "alone"])(
  "an invalid --master %s is named",
  async (how) => {
    const error = await rejectionOf(open(how === "alone" ? "" : write(), "https://[::"));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toBe('--master: invalid value "https://[::": must be a URL');
  },
);

test("a --master alone is reached without a login", async () => {
  const access = await openAccess({ kubeconfig: "", master: "localhost:8080", environment: {} });
  expect(access.server).toBe("http://localhost:8080");
  expect(await access.identity()).toEqual({ authorization: "", tls: { insecure: false } });
});
