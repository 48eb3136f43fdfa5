import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  findTool,
  findUnqualifiedTool,
  readVersion,
  searchedFolders,
} from "../../../src/iptables/tools/find-tools.ts";
import { FakeTools } from "./fake-tools.ts";

const LEGACY = "iptables v1.8.9 (legacy)";
const NFT = "iptables v1.8.9 (nf_tables)";

describe("a tool", () => {
  test("of this machine is found without a PATH", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = "";
    try {
      expect(searchedFolders({})).toContain("/usr/sbin");
      const found = await findTool(6, "nft");
      expect(found).toMatchObject({ family: 6, variant: "nft" });
      expect(found?.path).toMatch(/^\/.*sbin\/ip6tables(-nft)?$/);
      expect(found?.version).toMatch(/^\d+\.\d+/);
    } finally {
      process.env["PATH"] = path;
    }
  });

  test("with the variant in its name precedes the plain one", async () => {
    using tools = new FakeTools();
    tools.set("iptables", LEGACY).set("iptables-legacy", LEGACY).set("iptables-nft", NFT);
    const path = (name: string) => join(tools.folder, name);
    expect((await findTool(4, "legacy", tools.options))?.path).toBe(path("iptables-legacy"));
    expect((await findTool(4, "nft", tools.options))?.path).toBe(path("iptables-nft"));
    expect(await findUnqualifiedTool(4, tools.options)).toEqual({
      family: 4,
      variant: "legacy",
      path: path("iptables"),
      version: "1.8.9",
    });
    expect(await findTool(6, "legacy", tools.options)).toBeUndefined();
  });

  test("is recognized by its version, under any name", async () => {
    using tools = new FakeTools();
    tools.set("iptables", NFT).set("iptables-legacy", NFT).set("ip6tables", "ip6tables v1.4.21");
    expect(await findTool(4, "legacy", tools.options)).toBeUndefined();
    expect(await findTool(4, "nft", tools.options)).toMatchObject({
      path: join(tools.folder, "iptables"),
    });
    expect(await findTool(6, "legacy", tools.options)).toMatchObject({ version: "1.4.21" });
  });

  test("without its save and restore tools is an error only if no other one exists", async () => {
    using tools = new FakeTools();
    tools.script("iptables-nft", `echo '${NFT}'`).script("iptables-nft-save", "exit 0");
    await expect(findTool(4, "nft", tools.options)).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining("no iptables-nft-restore in the same directory"),
    });
    tools.set("iptables", NFT);
    expect((await findTool(4, "nft", tools.options))?.path).toBe(join(tools.folder, "iptables"));
  });

  test("that does not run is an error only if no other one exists", async () => {
    using tools = new FakeTools();
    const empty = mkdtempSync(join(tmpdir(), "no-tools-"));
    const folders = [empty, tools.folder];
    tools.set("iptables-nft", NFT).script("iptables-nft", "kill -9 $$");
    await expect(findTool(4, "nft", { folders })).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining("iptables-nft --version"),
    });
    tools.set("iptables", NFT);
    expect(await findTool(4, "nft", { folders })).toMatchObject({ variant: "nft" });
    rmSync(empty, { recursive: true });
  });
});

test.each([
  ["iptables v1.8.9 (nf_tables)\n", "nft", "1.8.9"],
  ["iptables v1.8.11 (legacy)\n", "legacy", "1.8.11"],
  ["iptables v1.8 (legacy)\n", "legacy", "1.8"],
  ["iptables v1.6.1\n", "legacy", "1.6.1"],
  ["", "legacy", ""],
] as const)("the version in %p is read", (printed, variant, version) => {
  expect(readVersion(printed)).toEqual({ variant, version });
});
