import { expect, test } from "bun:test";
import { sourcesIn, textOf } from "../../harness/repository.ts";
import { TABLES } from "../../src/model/tables.ts";

const document = textOf("docs/troubleshooting.md");

function chapter(heading: string): string {
  return document.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
}

/** The codes of a chapter's list, one for each item. */
function codesUnder(heading: string): string[] {
  return chapter(heading).match(/(?<=^- \*\*`)[A-Z_]+(?=`\*\*)/gm) ?? [];
}

/** The members of ErrorCode, a type, which does not exist at run time. */
function allCodes(): string[] {
  const declared = /export type ErrorCode =(.*?);/s.exec(
    textOf("src/base/errors.ts").replaceAll(/\/\/.*$/gm, ""),
  );
  return declared?.[1]?.match(/(?<=")\w+(?=")/g) ?? [];
}

test("every code of an error has one item, which says what it means and what to do", () => {
  const codes = allCodes();
  expect(codes.length).toBeGreaterThan(20);
  const documented = [...codesUnder("Problem codes"), ...codesUnder("Fatal error codes")];
  expect(documented.toSorted()).toEqual(codes.toSorted());
});

test("a code that becomes a problem somewhere is among the problems", () => {
  const used = [
    "src/admin/health-check-node-ports.ts",
    "src/admin/serve.ts",
    "src/takeover/other-proxies.ts",
    "src/config/reload-config.ts",
    "src/core/problem-records.ts",
    "src/host/host-settings.ts",
    "src/observe/full-frontends.ts",
    "src/state/claims.ts",
    "src/manifests/parse-manifest.ts",
  ].flatMap((path) => textOf(path).match(/(?<=\b(?:code: |CODE = )")[A-Z_]+(?=")/g) ?? []);
  expect(new Set(used).size).toBeGreaterThan(5);
  const items = codesUnder("Problem codes");
  expect(used.filter((code) => !items.includes(code))).toEqual([]);
});

test("the program logs the lines of a healthy start", () => {
  const quoted = chapter("Read the log").match(/(?<=^\d\. `)[^`]+/gm) ?? [];
  expect(quoted.length).toBeGreaterThan(1);
  const sources = sourcesIn("src").map(textOf).join("\n");
  expect(quoted.filter((line) => !sources.includes(`.info("${line}"`))).toEqual([]);
});

test("every map of the trace through nftables exists", () => {
  const named = chapter("Trace a Service through nftables").match(/[a-z-]+(?=4\b(?!-))/g) ?? [];
  const known = [...TABLES.map(({ name }) => name), "choices"];
  expect(new Set(named).size).toBeGreaterThan(5);
  expect(named.filter((name) => !known.includes(name))).toEqual([]);
});
