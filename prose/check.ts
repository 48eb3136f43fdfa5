/** Checks the prose of one file with textlint's kernel. */
import { TextlintKernel } from "@textlint/kernel";
import markdown from "@textlint/textlint-plugin-markdown";
import { EXEMPTIONS, type Exemption } from "./exemptions.ts";
import { extractProse } from "./extract.ts";
import type { Fragment } from "./fragment.ts";
import { BEFORE_SENTENCE, RULES } from "./rules.ts";

export interface Finding {
  readonly line: number;
  readonly rule: string;
  readonly message: string;
  readonly sentence: string;
}

export interface Report {
  readonly findings: readonly Finding[];
  /** The exemptions that something needed. */
  readonly used: ReadonlySet<Exemption>;
}

const kernel = new TextlintKernel();
const PLUGIN = [{ pluginId: "markdown", plugin: markdown }];

/** Returns undefined for a file without prose that we check. */
export async function checkProse(
  path: string,
  text: string,
  exemptions: readonly Exemption[] = EXEMPTIONS,
): Promise<Report | undefined> {
  const fragments = extractProse(path, text);
  if (fragments === undefined) return undefined;
  const { document, lines } = joinFragments(fragments);
  const { messages } = await kernel.lintText(document, {
    ext: ".md",
    plugins: PLUGIN,
    rules: RULES,
  });
  const used = new Set<Exemption>();
  const findings = messages.flatMap(({ ruleId, message, loc }): Finding[] => {
    const cut = message.indexOf(BEFORE_SENTENCE);
    const sentence = message.slice(cut + BEFORE_SENTENCE.length);
    const exemption = exemptions.find((one) => one.path === path && sentence.includes(one.text));
    if (exemption !== undefined) {
      used.add(exemption);
      return [];
    }
    const line = lines[loc.start.line - 1] ?? 1;
    return [{ line, rule: ruleId, message: message.slice(0, cut), sentence }];
  });
  return { findings, used };
}

/** Makes one document of all fragments, so that textlint starts once for each file. */
function joinFragments(fragments: readonly Fragment[]): { document: string; lines: number[] } {
  const lines: number[] = [];
  const texts = fragments.map(({ line, text, wraps }) => {
    const separated = `${text}\n\n`;
    separated
      .split("\n")
      .slice(1)
      .forEach((_, index) => {
        lines.push(wraps ? line + index : line);
      });
    return separated;
  });
  return { document: texts.join(""), lines };
}
