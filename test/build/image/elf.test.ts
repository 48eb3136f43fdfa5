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

describe("what a program is linked with", () => {
  test.each(PROGRAMS)("is what ldd says: %s", async (program) => {
    const found = [...closure([program], "/", triplet).keys()].map(nameOf).sort();
    const lines = (await runAsync(["ldd", program])).trim().split("\n");
    const listed = lines.map((line) => nameOf(line.trim().split(" ")[0] ?? ""));
    expect(found).toEqual(listed.filter((name) => !name.startsWith("linux-vdso")).sort());
  });

  test("is below usr/, where the image has it", () => {
    for (const path of closure(PROGRAMS, "/", triplet).keys()) expect(path).toStartWith("usr/lib");
  });

  test("must be there", () => {
    const [program = ""] = PROGRAMS;
    expect(() => closure([program], import.meta.dir, triplet)).toThrow(
      /Cannot collect what .* needs: \S+ must be below/,
    );
  });

  test("is asked of programs only", () => {
    expect(() => linkageOf(import.meta.path)).toThrow("must be a 64-bit little-endian ELF file");
  });
});

function nameOf(path: string): string {
  return path.split("/").at(-1) ?? "";
}
