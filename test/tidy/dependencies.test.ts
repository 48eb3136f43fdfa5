import { describe, expect, test } from "bun:test";
import { repositoryFiles, sourcesIn, textOf } from "../../harness/repository.ts";
import manifest from "../../package.json" with { type: "json" };

const runtime = Object.keys(manifest.dependencies);
const all = [...runtime, ...Object.keys(manifest.devDependencies)];

describe("dependencies", () => {
  test("each is named with its reason in ARCHITECTURE.md", () => {
    expect(repositoryFiles()).toContain("ARCHITECTURE.md");
    const text = textOf("ARCHITECTURE.md");
    expect(all.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  test("each runtime dependency is imported by the program", () => {
    const sources = sourcesIn("src").map(textOf).join("\n");
    expect(runtime.filter((name) => !sources.includes(`"${name}`))).toEqual([]);
  });

  test("each has one exact version", () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});
