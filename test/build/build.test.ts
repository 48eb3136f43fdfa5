import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBinary, version } from "../../build.ts";

describe("a binary from our build", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-build-"));
  const probe = join(folder, "probe");
  beforeAll(async () => {
    await buildBinary({ entry: join(import.meta.dir, "children/probe.ts"), outfile: probe });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
