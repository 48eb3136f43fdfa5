/** Prints the text of --help. */

import { NO_EFFECT_REASONS } from "./field.ts";
import { defaultText, fieldAt } from "./fields.ts";
import { FLAGS, type Flag, HELP_GROUPS, printFlagName, reasonOf } from "./flags.ts";

/** The heading of flags without effect. */
export const WITHOUT_EFFECT_TITLE = "Accepted for compatibility, no effect";

const WIDTH = 100;
/** Where the right column begins. */
const COLUMN = 44;

/** Returns all flags: first by topic, then those without effect by reason. */
export function printUsage(): string {
  const parts = Object.entries(HELP_GROUPS).map(([group, title]) => {
    const flags = FLAGS.filter((flag) => flag.group === group);
    return `${title}:\n${flags.map(entry).join("")}`;
  });
  return `Usage: sluice [flags]

Sluice is a drop-in replacement for kube-proxy. It accepts the configuration file and the flags of
kube-proxy; docs/configuration.md describes them. Together with --config, only
the commands and the flags marked * have an effect. They override the file.

${parts.join("\n")}
${WITHOUT_EFFECT_TITLE}:
${flagsWithoutEffect()}`;
}

function entry(flag: Flag): string {
  const value = flag.value ?? VALUES[flag.type];
  const marked = flag.withConfig && flag.group !== "instead" && flag.name !== "config";
  const left = `  ${marked ? "*" : " "} ${printFlagName(flag.name)}${value === "" ? "" : ` ${value}`}`;
  return columns(left, `${helpOf(flag)}${defaultOf(flag)}`);
}

/** Returns the description of a flag, one or two lines long. */
export function helpOf({ help, fields = [] }: Flag): string {
  const [first] = fields;
  return help ?? (first === undefined ? "" : (fieldAt(first).does ?? "").replaceAll("`", ""));
}

function defaultOf({ fields = [] }: Flag): string {
  const [first] = fields;
  const text = first === undefined ? "" : defaultText(first);
  return text === "" ? "" : ` (default: ${text})`;
}

/** Placeholders of values, by type, for flags that do not define one. */
const VALUES: { readonly [type in Flag["type"]]: string } = {
  string: "TEXT",
  boolean: "",
  integer: "NUMBER",
  number: "NUMBER",
  duration: "DURATION",
  "flush-period": "DURATION",
  quantity: "BYTES",
  strings: "LIST",
  gates: "LIST",
  vmodule: "LIST",
};

function flagsWithoutEffect(): string {
  const lines = Object.entries(NO_EFFECT_REASONS).map(([reason, text]) => {
    const flags = FLAGS.filter((flag) => reasonOf(flag) === reason);
    if (flags.length === 0) return "";
    const names = flags.map(({ name }) => printFlagName(name)).join(", ");
    return `${wrap(names, WIDTH - 4)
      .map((line) => `    ${line}\n`)
      .join("")}${wrap(text, WIDTH - 8)
      .map((line) => `        ${line}\n`)
      .join("")}`;
  });
  return lines.join("");
}

function columns(left: string, right: string): string {
  const lines = wrap(right, WIDTH - COLUMN);
  const head = left.length < COLUMN - 1 ? left.padEnd(COLUMN) + lines.shift() : left;
  return [head, ...lines.map((line) => " ".repeat(COLUMN) + line)]
    .map((line) => `${line}\n`)
    .join("");
}

/** Breaks text between words into lines of at most `width` characters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines;
}
