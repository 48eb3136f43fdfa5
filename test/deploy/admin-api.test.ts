import { expect, test } from "bun:test";
import { textOf } from "../../harness/repository.ts";
import { SLUICE_ROUTES } from "../../src/admin/sluice-api.ts";

const document = textOf("docs/admin-api.md");

/** The first cells of the rows of a chapter's table. */
function codesUnder(heading: string): string[] {
  const chapter = document.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
  return chapter.match(/(?<=^\| `)[A-Z_]+(?=` \|)/gm) ?? [];
}

/** The members of ErrorCode: a type, of which nothing is left at run time. */
function allCodes(): string[] {
  const declared = /export type ErrorCode =(.*?);/s.exec(
    textOf("src/base/errors.ts").replaceAll(/\/\/.*$/gm, ""),
  );
  return declared?.[1]?.match(/(?<=")\w+(?=")/g) ?? [];
}

test("every code of an error has one row, which says what it means and what to do", () => {
  const codes = allCodes();
  expect(codes.length).toBeGreaterThan(20);
  const documented = [...codesUnder("Problems: what to do"), ...codesUnder("Other codes")];
  expect(documented.toSorted()).toEqual(codes.toSorted());
});

test("a code that somewhere becomes a problem is among the problems", () => {
  const told = [
    "src/admin/health-check-node-ports.ts",
    "src/admin/serve.ts",
    "src/takeover/other-proxies.ts",
    "src/config/reload-config.ts",
    "src/core/problem-records.ts",
    "src/host/host-settings.ts",
    "src/state/claims.ts",
    "src/sync/purge-timing.ts",
    "src/manifests/parse-manifest.ts",
  ].flatMap((path) => textOf(path).match(/(?<=\b(?:code: |CODE = )")[A-Z_]+(?=")/g) ?? []);
  expect(new Set(told).size).toBeGreaterThan(5);
  const rows = codesUnder("Problems: what to do");
  expect(told.filter((code) => !rows.includes(code))).toEqual([]);
});

test("every path has a chapter", () => {
  const chapters = document.match(/(?<=^## )\/sluice.*$/gm) ?? [];
  const named = SLUICE_ROUTES.map((route) =>
    route.replace("{namespace}", "NAMESPACE").replace("{name}", "NAME"),
  );
  expect([...chapters]).toEqual(named);
});

test("the examples are JSON", () => {
  const examples = [...document.matchAll(/^```json\n(.*?)^```$/gms)].map(([, text = ""]) => text);
  expect(examples).toHaveLength(4);
  for (const example of examples) expect(() => JSON.parse(example)).not.toThrow();
});
