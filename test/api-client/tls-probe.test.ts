/**
 * Under Bun, the bare `undici` is a stub that drops TLS options. A bundler could reintroduce it
 * silently.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { type FakeApi, startFakeApi } from "../../harness/fakes/fake-api-server.ts";

let folder: string;
let authority: Certificate;
let other: Certificate;
let client: Certificate;
let api: FakeApi;
let program: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-probe-"));
  authority = await makeAuthority(folder, "ca");
  other = await makeAuthority(folder, "other");
  client = await makeCertificate(authority, folder, "client", "/CN=the-node");
  api = await startFakeApi({
    certificate: await makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1"]),
    clientAuthority: readFileSync(authority.certificate, "utf8"),
  });
  program = join(folder, "tls-probe");
  const built = Bun.spawn(
    [
      ...[process.execPath, "build", "--compile", "--minify", "--bytecode", "--format=cjs"],
      ...[join(import.meta.dir, "children/tls-probe.ts"), "--outfile", program],
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  if ((await built.exited) !== 0) throw new Error(await new Response(built.stderr).text());
}, 120_000);

afterAll(async () => {
  await api.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function probe(ca: Certificate): Promise<unknown> {
  const kubeconfig = join(folder, "kubeconfig");
  const cluster = {
    server: `https://127.0.0.1:${api.port}`,
    "certificate-authority": ca.certificate,
  };
  const user = { "client-certificate": client.certificate, "client-key": client.key };
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{ name: "c", cluster }],
      users: [{ name: "u", user }],
    }),
  );
  const child = Bun.spawn([program, kubeconfig], { stdout: "pipe", stderr: "inherit" });
  return JSON.parse(await new Response(child.stdout).text());
}

test("a compiled program shows its client certificate", async () => {
  expect(await probe(authority)).toEqual({ status: 200 });
  expect(api.seen.at(-1)?.client).toBe("the-node");
});

test("a compiled program refuses a server of another authority", async () => {
  const before = api.seen.length;
  expect(await probe(other)).toMatchObject({
    code: "API_UNREACHABLE",
    message: expect.stringContaining("TLS handshake failed"),
  });
  expect(api.seen).toHaveLength(before);
});
