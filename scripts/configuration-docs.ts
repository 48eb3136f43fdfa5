/**
 * Writes the tables of docs/configuration.md from the data that the program itself uses:
 *
 *     npx bun scripts/configuration-docs.ts
 *
 * A test checks that the file is current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NO_EFFECT_REASONS, type NoEffectReason } from "../src/config/field.ts";
import { defaultText, type FieldPath, fieldAt, fieldPaths } from "../src/config/fields.ts";
import { FLAGS, type Flag, HELP_GROUPS, printFlagName, reasonOf } from "../src/config/flags.ts";
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
    ["idle fields", idleTable()],
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

function fieldTable(owner: "upstream" | "own"): string {
  const rows = fieldPaths(owner).flatMap((path) => {
    const { does, live = "yes" } = fieldAt(path);
    return does === undefined ? [] : [[code(path), defaultText(path), flagsOf(path), does, live]];
  });
  return table(["field", "default", "flags", "description", "live"], rows);
}

/** Lists the fields and flags without effect by reason. */
function idleTable(): string {
  const paths = [...fieldPaths("upstream"), ...fieldPaths("own")];
  const rows = (Object.keys(NO_EFFECT_REASONS) as NoEffectReason[]).map((reason) => {
    const fields = paths.filter((path) => fieldAt(path).idle === reason);
    const flags = FLAGS.filter((flag) => reasonOf(flag) === reason);
    return [fields.map(code).join(", "), flags.map(flagCode).join(", "), NO_EFFECT_REASONS[reason]];
  });
  return table(["fields", "flags", "why"], rows);
}

function flagsOf(path: FieldPath): string {
  const flags = FLAGS.filter(({ fields }) => fields?.includes(path));
  return flags.map(flagCode).join(", ");
}

function flagTables(): string {
  const parts = Object.entries(HELP_GROUPS).map(([group, title]) => {
    const rows = FLAGS.filter((flag) => flag.group === group).map((flag) => {
      const fields = (flag.fields ?? []).map(code).join(", ");
      return [flagCode(flag), fields, flag.withConfig ? "yes" : "", helpOf(flag)];
    });
    return `### ${title}\n\n${table(["flag", "fields", "with `--config`", "description"], rows)}`;
  });
  return parts.join("\n");
}

function flagCode({ name }: Flag): string {
  return code(printFlagName(name));
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
