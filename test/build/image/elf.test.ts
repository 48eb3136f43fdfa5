import { describe, expect, test } from "bun:test";
import { closure, linkageOf } from "../../../build/image/elf.ts";
import { machineFor } from "../../../build/image.ts";
import { runAsync } from "../../../harness/commands.ts";

const { triplet } = machineFor(undefined);
const PROGRAMS = [
  "/usr/sbin/xtables-nft-multi",
  "/usr/sbin/xtables-legacy-multi",
  process.execPath,
];

describe("the libraries of a program", () => {
  test.each(PROGRAMS)("are the same as from ldd: %s", async (program) => {
    const found = [...closure([program], "/", triplet).keys()].map(nameOf).sort();
    const lines = (await runAsync(["ldd", program])).trim().split("\n");
    const listed = lines.map((line) => nameOf(line.trim().split(" ")[0] ?? ""));
    expect(found).toEqual(listed.filter((name) => !name.startsWith("linux-vdso")).sort());
  });

  test("are below usr/, as in the image", () => {
    for (const path of closure(PROGRAMS, "/", triplet).keys()) expect(path).toStartWith("usr/lib");
  });

  test("must exist", () => {
    const [program = ""] = PROGRAMS;
    expect(() => closure([program], import.meta.dir, triplet)).toThrow(
      /^collect libraries of .*: \S+: not found below /,
    );
  });

  test("are read only from programs", () => {
    expect(() => linkageOf(import.meta.path)).toThrow("not a 64-bit little-endian ELF file");
  });
});

function nameOf(path: string): string {
  return path.split("/").at(-1) ?? "";
}
