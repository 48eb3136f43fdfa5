/** Prints the text of --help. */

import { REASONS } from "./field.ts";
import { defaultText, fieldAt } from "./fields.ts";
import { FLAGS, type Flag, GROUPS, reasonOf } from "./flags.ts";

const WIDTH = 100;
/** Where the right column begins. */
const COLUMN = 44;

/** Returns all flags: first by topic, then those without effect by reason. */
export function usage(): string {
  const parts = Object.entries(GROUPS).map(([group, title]) => {
    const flags = FLAGS.filter((flag) => flag.group === group);
    return `${title}:\n${flags.map(entry).join("")}`;
  });
  return `Usage: sluice [flags]

Sluice is a kube-proxy: it makes Service addresses lead to pods. It takes kube-proxy's configuration
file and flags. Every setting is described in docs/configuration.md.

${parts.join("\n")}
Accepted for kube-proxy's sake (no effect):
${flagsWithoutEffect()}`;
}

function entry(flag: Flag): string {
  const dashes = flag.name === "v" ? "-v" : `--${flag.name}`;
  const value = flag.value ?? VALUES[flag.type];
  const beside = flag.besideConfig && flag.group !== "instead" && flag.name !== "config";
  const left = `  ${beside ? "*" : " "} ${dashes}${value === "" ? "" : ` ${value}`}`;
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
  const lines = Object.entries(REASONS).map(([reason, text]) => {
    const flags = FLAGS.filter((flag) => reasonOf(flag) === reason);
    if (flags.length === 0) return "";
    const names = flags.map(({ name }) => `--${name}`).join(", ");
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
