/** The rules of the prose linter, as textlint rules. */
import type { TextlintKernelRule, TextlintRuleModule } from "@textlint/kernel";
import { countWords, type Node, type Sentence, sentencesOf, withoutQuotes } from "./sentences.ts";
import { BANS } from "./words.ts";

/** Words in a sentence, at most. A list item and a table cell are sentences of their own. */
export const MAX_WORDS = 25;

/** Separates the message from the sentence. */
export const BEFORE_SENTENCE = " | ";

interface Complaint {
  readonly message: string;
  /** Offset in the sentence. */
  readonly index: number;
}

type Judge = (sentence: Sentence, isTitle: boolean) => readonly Complaint[];

/** A rule that looks at every sentence. */
function ruleOf(judge: Judge): TextlintRuleModule {
  return (context) => {
    const check = (node: Node & { readonly type: string }, isTitle: boolean) => {
      const source = context.getSource(node as never);
      for (const sentence of sentencesOf(node, source)) {
        for (const { message, index } of judge(sentence, isTitle)) {
          const at = sentence.index + index;
          const text = `${message}${BEFORE_SENTENCE}${sentence.source}`;
          const padding = context.locator.range([at, at + 1]);
          context.report(node as never, new context.RuleError(text, { padding }));
        }
      }
    };
    return {
      Paragraph: (node) => check(node as never, false),
      TableCell: (node) => check(node as never, false),
      Header: (node) => check(node as never, true),
    };
  };
}

const sentenceLength: Judge = ({ words }) => {
  const count = countWords(words);
  if (count <= MAX_WORDS) return [];
  return [{ message: `${count} words, at most ${MAX_WORDS}: split the sentence`, index: 0 }];
};

const plainWords: Judge = ({ words }, isTitle) => {
  const unquoted = withoutQuotes(words);
  const start = unquoted.length - unquoted.trimStart().length;
  const sentence = unquoted.trim();
  const isQuestion = sentence.endsWith("?");
  return BANS.flatMap(({ pattern, instead, allowedInTitle, allowedInQuestion }) => {
    if ((isTitle && allowedInTitle) || (isQuestion && allowedInQuestion)) return [];
    const match = pattern.exec(sentence);
    if (match === null) return [];
    return [{ message: `"${match[0]}": ${instead}`, index: start + match.index }];
  });
};

export const RULES: TextlintKernelRule[] = [
  { ruleId: "sentence-length", rule: ruleOf(sentenceLength) },
  { ruleId: "plain-words", rule: ruleOf(plainWords) },
];
