import { afterAll, describe, expect, test } from "bun:test";
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Entry, tar } from "../../../build/image/tar.ts";
import { runAsync } from "../../../harness/commands.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const ENTRIES: readonly Entry[] = [
  { kind: "file", path: "usr/bin/program", bytes: bytes("x".repeat(600)), executable: true },
  { kind: "link", path: "bin", to: "usr/bin" },
  { kind: "file", path: "etc/empty", bytes: bytes("") },
  { kind: "directory", path: "run" },
];

describe("an archive", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-tar-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("unpacks with tar", async () => {
    await Bun.write(join(folder, "a.tar"), await tar(ENTRIES, 86_400));
    await runAsync(["tar", "xpf", join(folder, "a.tar"), "-C", folder]);
    const program = statSync(join(folder, "usr/bin/program"));
    expect([program.size, program.mode & 0o777, program.mtimeMs]).toEqual([600, 0o755, 86_400_000]);
    expect(readlinkSync(join(folder, "bin"))).toBe("usr/bin");
    expect(readFileSync(join(folder, "etc/empty"), "utf8")).toBe("");
    expect(lstatSync(join(folder, "run")).isDirectory()).toBe(true);
  });

  test("does not depend on the order of its entries", async () => {
    const hash = async (entries: readonly Entry[], mtime: number) =>
      Bun.hash(await tar(entries, mtime));
    expect(await hash(ENTRIES.toReversed(), 0)).toBe(await hash(ENTRIES, 0));
    expect(await hash(ENTRIES, 1)).not.toBe(await hash(ENTRIES, 0));
  });

  test("has no duplicate entries, and directories before their contents", async () => {
    await Bun.write(join(folder, "b.tar"), await tar([...ENTRIES, ...ENTRIES], 0));
    const names = (await runAsync(["tar", "tf", join(folder, "b.tar")])).trim().split("\n");
    expect(names).toEqual([
      "bin",
      "etc/",
      "etc/empty",
      "run/",
      "usr/",
      "usr/bin/",
      "usr/bin/program",
    ]);
  });

  test("refuses a name that does not fit the header", async () => {
    const path = "x".repeat(101);
    await expect(tar([{ kind: "directory", path }], 0)).rejects.toThrow("at most 100 bytes");
    await expect(tar([{ kind: "link", path: "a", to: path }], 0)).rejects.toThrow(
      "archive a: invalid name",
    );
  });
});
