import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, missingBinaryOrRoot } from "../../harness/binary.ts";
import { createNamespace, type Namespace } from "../../harness/cluster/cabled-netns.ts";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { writeKubeconfig } from "../../harness/cluster/kubeconfig.ts";
import { runAsync } from "../../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../../harness/daemon.ts";
import { type RecordingServer, startRecordingServer } from "./recording-server.ts";

/** In bytes. Bun itself takes 107 MB. */
const SIZE_MAX = 130e6;

const reason = missingBinaryOrRoot();
if (reason !== undefined) console.log(`skip: the binary: ${reason}`);

describe.skipIf(reason !== undefined)("dist/sluice", () => {
  let folder: string;
  let authority: Certificate;
  let client: Certificate;
  let server: RecordingServer;
  let node: Namespace;
  const daemons: Daemon[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sluice-binary-"));
    node = createNamespace();
    authority = await makeAuthority(folder);
    client = await makeCertificate(authority, folder, "client", "/CN=system:kube-proxy");
    const own = await makeCertificate(authority, folder, "server", "/CN=server", [node.outside]);
    server = await startRecordingServer(node.outside, own, authority);
  });
  afterAll(async () => {
    for (const daemon of daemons) await daemon.stop("SIGKILL");
    await server?.stop();
    node?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Starts it with a kubeconfig that trusts this authority. */
  function start(name: string, trusted: Certificate): Daemon {
    const path = join(folder, `${name}.kubeconfig`);
    writeKubeconfig(path, server.url, trusted, { certificate: client });
    const daemon = startDaemon(
      node.name,
      [BINARY, `--kubeconfig=${path}`, "--hostname-override=here"],
      join(folder, `${name}.log`),
    );
    daemons.push(daemon);
    return daemon;
  }

  test("prints its version", async () => {
    expect(await runAsync([BINARY, "--version"])).toMatch(/^Sluice \d+\.\d+\.\d+/);
  });

  test("prints the code of an error that prevents its start", async () => {
    const child = Bun.spawn([BINARY, "--config=/nowhere"], { stderr: "pipe" });
    expect(await child.stderr.text()).toBe(
      "sluice: read /nowhere: no such file or directory (ENOENT) (code CONFIG_UNREADABLE)\n",
    );
    expect(await child.exited).toBe(1);
  });

  test("starts in a working directory that was deleted", async () => {
    const gone = mkdtempSync(join(tmpdir(), "sluice-gone-"));
    const script = 'cd "$1"; rmdir "$1"; exec "$2" --version';
    expect(await runAsync(["sh", "-ec", script, "sh", gone, BINARY])).toStartWith("Sluice ");
  });

  test.each([
    ["BUN_OPTIONS", (script: string) => `--preload=${script}`],
    ["BUN_OPTIONS", () => "--unknown"],
    ["BUN_INSPECT_PRELOAD", (script: string) => script],
    ["BUN_INSPECT", () => "ws://127.0.0.1:1/never"],
  ])("ignores %s", async (name, valueFor) => {
    const script = join(folder, "preload.js");
    writeFileSync(script, 'console.log("preloaded")');
    const set = `${name}=${valueFor(script)}`;
    expect(await runAsync(["env", set, BINARY, "--version"])).toMatch(/^Sluice \S+\n$/);
  });

  test("loads no C library from the working directory", async () => {
    writeFileSync(join(folder, "libc.so.6"), "not a library");
    const script = 'cd "$1"; shift; exec "$@"';
    const cleanup = [...inNamespace(node.name), BINARY, "--cleanup"];
    expect(await runAsync(["sh", "-ec", script, "sh", folder, ...cleanup])).not.toContain(
      "library",
    );
  });

  test("does not exceed its size limit", () => {
    expect(statSync(BINARY).size).toBeLessThan(SIZE_MAX);
  });

  test("shows its client certificate to the API server", async () => {
    const seen = server.nextClient();
    const daemon = start("right", authority);
    expect(await seen).toBe("system:kube-proxy");
    await daemon.stop();
  });

  test("sends nothing to a server that its authority did not sign", async () => {
    const before = server.clients.length;
    const daemon = start("wrong", await makeAuthority(folder, "other"));
    await server.refused;
    expect(server.clients).toHaveLength(before);
    await daemon.stop();
  });
});
