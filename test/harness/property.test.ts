/** Properties that a child program checks, with a corpus of their own. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FuzzOptions } from "../../harness/property.ts";

const CHILD = join(import.meta.dir, "children/planted.ts");
const ID = "plain";

let corpus: string;
beforeEach(() => {
  corpus = mkdtempSync(join(tmpdir(), "sluice-corpus-"));
});
afterEach(() => rmSync(corpus, { recursive: true }));

function check(options?: Partial<FuzzOptions>, env: Readonly<Record<string, string>> = {}) {
  const fuzz = options && JSON.stringify({ ids: [ID], seconds: 10, seed: 1, ...options });
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, CHILD], {
    env: { ...process.env, ...env, SLUICE_CORPUS: corpus, SLUICE_FUZZ: fuzz ?? "" },
  });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

function stored(id: string): { values?: unknown; shown?: string; seed: number; path: string }[] {
  return JSON.parse(readFileSync(join(corpus, `${id}.json`), "utf8"));
}

describe("a fuzz", () => {
  test.each(["plain", "bytes", "later"])("finds the bug of %s, which tests repeat", (id) => {
    const found = check({ ids: [id] });
    expect(found.exitCode).toBe(1);
    const [first] = stored(id);
    const { seed = 0, path = "" } = first ?? {};
    expect(found.stdout).toContain(`fuzz: ${id}: seed ${seed}, path ${path}, stored in `);
    expect(found.stdout).toContain(
      `fuzz: ${id}: replay: npm run fuzz -- ${id} --seed=${seed} --path=${path}\n`,
    );
    if (id === "bytes") expect(first?.shown).toMatch(/^\[\{"bytes":Uint8Array.*4321\}\]$/);
    else expect(JSON.stringify(first?.values)).toMatch(/4321\}?\]$/);

    // The same value again: not stored a second time.
    const replayed = check({ ids: [id], seed, path });
    expect(replayed.exitCode).toBe(1);
    expect(replayed.stdout).toStartWith(`fuzz: ${id}: 1 values, counterexample\n`);
    expect(stored(id)).toEqual([first as NonNullable<typeof first>]);

    const tested = check();
    expect(tested.exitCode).toBe(1);
    expect(tested.stderr).toMatch(/Property failed after 1 tests/);
    expect(check(undefined, { FIXED: "1" })).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(check({ ids: [id], seed, path }, { FIXED: "1" }).exitCode).toBe(0);
  });

  test("ends after its number of values", () => {
    const { exitCode, stdout } = check({ runs: 50 }, { FIXED: "1" });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "fuzz: plain: 50 values\n" });
    expect(readdirSync(corpus)).toEqual([]);
  });

  test("prints the variant of a property", () => {
    const { stdout } = check({ ids: ["variant"], runs: 5 });
    expect(stdout).toBe("fuzz: variant (debug): 5 values\n");
  });

  test("ends after its time, and then says how many values there were", () => {
    const begun = performance.now();
    const { exitCode, stdout } = check({ ids: ["plain", "later"], seconds: 1 }, { FIXED: "1" });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^fuzz: plain: [1-9]\d* values\nfuzz: later: [1-9]\d* values\n$/);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});

test("tests without a corpus check random values alone, and store nothing", () => {
  expect(check(undefined, { FIXED: "1" }).exitCode).toBe(0);
  expect(existsSync(join(corpus, "plain.json"))).toBe(false);
});
