import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBinary, version } from "../../build.ts";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { writeKubeconfig } from "../../harness/cluster/kubeconfig.ts";
import { runAsync } from "../../harness/commands.ts";
import { type RecordingServer, startRecordingServer } from "./recording-server.ts";

describe("a binary from our build", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-build-"));
  const probe = join(folder, "probe");
  let server: RecordingServer;
  let authority: Certificate;
  let client: Certificate;
  beforeAll(async () => {
    authority = await makeAuthority(folder);
    client = await makeCertificate(authority, folder, "client", "/CN=the-client");
    const own = await makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1"]);
    server = await startRecordingServer("127.0.0.1", own, authority);
    await buildBinary({ entry: join(import.meta.dir, "children/probe.ts"), outfile: probe });
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("sends the client certificate of a kubeconfig through client-node", async () => {
    const path = join(folder, "right.kubeconfig");
    writeKubeconfig(path, server.url, authority, { certificate: client });
    const [seen, output] = await Promise.all([server.nextClient(), runAsync([probe, path])]);
    expect(output).toBe('"answered"\n');
    expect(seen).toBe("the-client");
  });

  test("refuses a server that the kubeconfig's authority did not sign", async () => {
    const path = join(folder, "wrong.kubeconfig");
    const other = await makeAuthority(folder, "other");
    writeKubeconfig(path, server.url, other, { certificate: client });
    const before = server.clients.length;
    const output = await runAsync([probe, path]);
    expect(output).toMatch(/certificate/);
    expect(server.clients).toHaveLength(before);
  });

  test("knows its version, keeps the names of its classes, and ignores its working directory", async () => {
    const elsewhere = mkdtempSync(join(folder, "elsewhere-"));
    writeFileSync(join(elsewhere, ".env"), "PROBE_DOTENV=taken\n");
    writeFileSync(join(elsewhere, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(elsewhere, "preload.ts"), 'console.log("taken");\n');
    const child = Bun.spawn([probe], { cwd: elsewhere, stdout: "pipe" });
    expect(await new Response(child.stdout).json()).toEqual({
      version: version(),
      name: "ProbeError",
    });
  });

  test("keeps source positions: a stack trace names our lines", async () => {
    const entry = join(folder, "fails.ts");
    const outfile = join(folder, "fails");
    writeFileSync(
      entry,
      'export function fail(): void {\n  throw new Error("here");\n}\nfail();\n',
    );
    await buildBinary({ entry, outfile });
    const child = Bun.spawn([outfile], { stderr: "pipe" });
    expect(await new Response(child.stderr).text()).toMatch(/fails\.ts:2:/);
  });
});
