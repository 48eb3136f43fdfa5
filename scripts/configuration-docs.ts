/**
 * Writes the tables of docs/configuration.md from the data that the program itself uses:
 *
 *     npx bun scripts/configuration-docs.ts
 *
 * A test checks that the file is current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REASONS } from "../src/config/field.ts";
import { defaultText, type FieldPath, fieldAt, fieldPaths } from "../src/config/fields.ts";
import { FLAGS, type Flag, GROUPS, reasonOf } from "../src/config/flags.ts";
import { helpOf } from "../src/config/usage.ts";

export const FILE = join(import.meta.dir, "../docs/configuration.md");

/**
 * Replaces every table between its marks.
 * @throws if a mark is missing.
 */
export function withTables(text: string): string {
  let next = text;
  for (const [name, table] of [
    ["fields", fieldTable("upstream")],
    ["own fields", fieldTable("own")],
    ["flags", flagTables()],
  ] as const) {
    const [begin, end] = [`<!-- begin ${name} -->\n`, `<!-- end ${name} -->\n`];
    const from = next.indexOf(begin);
    const to = next.indexOf(end);
    if (from < 0 || to < from) throw new Error(`no marks of ${name}`);
    next = next.slice(0, from + begin.length) + table + next.slice(to);
  }
  return next;
}

function fieldTable(whose: "upstream" | "own"): string {
  const rows = fieldPaths(whose).map((path) => {
    const { does, idle, live } = fieldAt(path);
    const shown = defaultText(path);
    const what = idle === undefined ? (does ?? "") : `no effect: ${REASONS[idle]}`;
    return [
      code(path),
      shown === "" ? "" : shown,
      flagsOf(path),
      what,
      idle ? "" : (live ?? "yes"),
    ];
  });
  return table(["field", "default", "flags", "what it does here", "live"], rows);
}

function flagsOf(path: FieldPath): string {
  const flags = FLAGS.filter(({ fields }) => fields?.includes(path));
  return flags.map((flag) => code(dashed(flag))).join(", ");
}

function flagTables(): string {
  const groups = Object.entries(GROUPS).map(([group, title]) => ({
    title: title as string,
    flags: FLAGS.filter((flag) => flag.group === group),
  }));
  const idle = FLAGS.filter((flag) => reasonOf(flag) !== undefined);
  groups.push({ title: "Accepted for kube-proxy's sake (no effect)", flags: idle });
  const parts = groups.map(({ title, flags }) => {
    const rows = flags.map((flag) => {
      const fields = (flag.fields ?? []).map(code).join(", ");
      const reason = reasonOf(flag);
      const what = reason === undefined ? helpOf(flag) : `no effect: ${REASONS[reason]}`;
      return [code(dashed(flag)), fields, flag.besideConfig ? "yes" : "", what];
    });
    return `### ${title}\n\n${table(["flag", "fields", "beside a file", "what it does here"], rows)}`;
  });
  return parts.join("\n");
}

function dashed({ name }: Flag): string {
  return name === "v" ? "-v" : `--${name}`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}

if (import.meta.main) writeFileSync(FILE, withTables(readFileSync(FILE, "utf8")));
