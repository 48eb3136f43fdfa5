import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { makeAuthority, makeCertificate } from "../../harness/cluster/certificates.ts";
import { startFakeApi } from "../../harness/fakes/fake-api-server.ts";
import type { ClusterAccess } from "../../src/api-client/access.ts";
import { systemRoots } from "../../src/api-client/system-roots.ts";
import { openTransport } from "../../src/api-client/transport.ts";
import { messageOf } from "../../src/base/errors.ts";

let folder: string;
/** PEM texts by name. */
const roots: { [name: string]: string } = {};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-roots-"));
  for (const name of ["a", "b", "c"]) {
    roots[name] = readFileSync((await makeAuthority(folder, name)).certificate, "utf8");
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Files by path: names of authorities, a link as `->target`, or other text. */
type Files = { readonly [path: string]: string };

function install(files: Files): string {
  const root = mkdtempSync(join(folder, "root-"));
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    if (content.startsWith("->")) symlinkSync(content.slice(2), file);
    else writeFileSync(file, /^[abc]+$/.test(content) ? textOf(content) : content);
  }
  return root;
}

const textOf = (names: string) => [...names].map((name) => roots[name]).join("");

function find(files: Files, environment: { readonly [name: string]: string } = {}): string {
  const found = systemRoots(environment, install(files)) ?? "";
  return Object.keys(roots)
    .filter((name) => found.includes(roots[name] ?? "?"))
    .join("");
}

const DEBIAN = "etc/ssl/certs/ca-certificates.crt";
const FEDORA = "etc/pki/tls/certs/ca-bundle.crt";
const SUSE = "etc/ssl/ca-bundle.pem";
const RHEL = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";
const ALPINE = "etc/ssl/cert.pem";

describe("the authorities of the system are found in", () => {
  test.each<[Files, { readonly [name: string]: string }, string]>([
    [{ [DEBIAN]: "a" }, {}, "a"],
    [{ [FEDORA]: "a" }, {}, "a"],
    [{ [SUSE]: "a" }, {}, "a"],
    [{ "etc/pki/tls/cacert.pem": "a" }, {}, "a"],
    [{ [RHEL]: "a" }, {}, "a"],
    [{ [ALPINE]: "a" }, {}, "a"],
    // The first file, and all directories.
    [{ [SUSE]: "a", [ALPINE]: "b" }, {}, "a"],
    [{ [DEBIAN]: "a", [FEDORA]: "b", [RHEL]: "c" }, {}, "ab"],
    [{ "etc/ssl/certs/one.pem": "a", "etc/pki/tls/certs/two.0": "b", [ALPINE]: "c" }, {}, "abc"],
    [{ "etc/ssl/certs/one.pem": "ab", "etc/ssl/certs/readme": "text" }, {}, "ab"],
    [{ "etc/ssl/certs/one.pem": "->../one.pem", "etc/ssl/one.pem": "a" }, {}, "a"],
    [{ "etc/ssl/certs/1.0": "->../certs/one.pem", "etc/ssl/certs/one.pem": "a" }, {}, "a"],
    [{ "etc/ssl/certs/folder/one.pem": "a", [ALPINE]: "b" }, {}, "b"],
    // A file without certificates is the first file, too.
    [{ [SUSE]: "none", [ALPINE]: "b", "etc/ssl/certs/one.pem": "c" }, {}, "c"],
    // Variables.
    [{ own: "a", [DEBIAN]: "b" }, { SSL_CERT_FILE: "/own" }, "ab"],
    [{ own: "a", [SUSE]: "b" }, { SSL_CERT_FILE: "/own" }, "a"],
    [{ "own/x": "a", [SUSE]: "b", "etc/ssl/certs/one.pem": "c" }, { SSL_CERT_DIR: "/own" }, "ab"],
    [{ "x/1": "a", "y/1": "b" }, { SSL_CERT_DIR: "/x:/y" }, "ab"],
    [{ "x/1": "a", own: "b" }, { SSL_CERT_DIR: "/none:/x", SSL_CERT_FILE: "/own" }, "ab"],
    [{ [SUSE]: "a" }, { SSL_CERT_DIR: "", SSL_CERT_FILE: "" }, "a"],
    [{}, {}, ""],
  ])("%j with %j: %s", (files, environment, names) => {
    expect(find(files, environment)).toBe(names);
  });

  test.each<[Files, { readonly [name: string]: string }, string]>([
    [{ [SUSE]: "none" }, {}, ": /etc/ssl/ca-bundle.pem: invalid PEM: must contain"],
    [{}, { SSL_CERT_FILE: "/own" }, " (SSL_CERT_FILE): /own: no such file or directory (ENOENT)"],
    [{ own: "\ufeff" }, { SSL_CERT_FILE: "/own" }, "(the text starts with a byte order mark)"],
    [{ "own/x": "none" }, { SSL_CERT_DIR: "/own" }, " (SSL_CERT_DIR): "],
    [{}, { SSL_CERT_DIR: "/own" }, " (SSL_CERT_DIR): "],
  ])("no file of %j with %j", (files, environment, message) => {
    let thrown: unknown;
    try {
      systemRoots(environment, install(files));
    } catch (error) {
      thrown = error;
    }
    expect(messageOf(thrown)).toContain(message);
    expect(messageOf(thrown)).toStartWith("read certificate authorities of the system");
  });
});

test("a server that only the system trusts is reached", async () => {
  const authority = await makeAuthority(folder, "system");
  const certificate = await makeCertificate(authority, folder, "server", "/CN=s", ["127.0.0.1"]);
  const bundle = join(folder, "bundle.pem");
  writeFileSync(bundle, textOf("ab") + readFileSync(authority.certificate, "utf8"));
  const api = await startFakeApi({ certificate });
  const answer = (environment: { readonly [name: string]: string }) => {
    const access: ClusterAccess = {
      server: `https://127.0.0.1:${api.port}`,
      environment,
      identity: async () => ({ authorization: "", tls: { insecure: false } }),
      credentialsRefused() {},
    };
    const transport = openTransport(access);
    const { promise, resolve } = Promise.withResolvers<string>();
    transport.get("/api/v1/services", "application/json", {
      onStart: (status) => resolve(String(status)),
      onData() {},
      onEnd() {},
      onError: ({ message }) => resolve(message),
    });
    return promise.finally(() => transport.close());
  };
  expect(await answer({ SSL_CERT_FILE: bundle, SSL_CERT_DIR: "/nonexistent" })).toBe("200");
  expect(await answer({ SSL_CERT_FILE: join(folder, "a.crt") })).toContain("TLS handshake failed");
  expect(await answer({ SSL_CERT_FILE: "/nonexistent", SSL_CERT_DIR: "/nonexistent" })).toContain(
    "read certificate authorities of the system (SSL_CERT_FILE, SSL_CERT_DIR): /nonexistent: ",
  );
  await api.stop();
});
