/** Finds prose in TypeScript: comments, and string literals that people read. */
import { SyntaxKind } from "typescript/unstable/ast";
import { createScanner } from "typescript/unstable/ast/scanner";
import { commentFragment, type Fragment, hideLayout } from "./fragment.ts";

interface Token {
  readonly kind: SyntaxKind;
  readonly text: string;
  readonly start: number;
}

const TEMPLATE_PARTS = new Set([
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
]);

/** After one of these a slash divides; after any other token a regular expression begins. */
const OPERAND_ENDS = new Set([
  SyntaxKind.Identifier,
  SyntaxKind.PrivateIdentifier,
  SyntaxKind.NumericLiteral,
  SyntaxKind.BigIntLiteral,
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateTail,
  SyntaxKind.RegularExpressionLiteral,
  SyntaxKind.CloseParenToken,
  SyntaxKind.CloseBracketToken,
  SyntaxKind.CloseBraceToken,
  SyntaxKind.ThisKeyword,
]);

export type WhichStrings = "all" | "test names";

export function extractTypeScript(text: string, strings: WhichStrings): Fragment[] {
  const tokens = tokensOf(text);
  const lineAt = lineCounter(text);
  return [...comments(tokens, text, lineAt), ...literals(tokens, strings, lineAt)].sort(
    (a, b) => a.line - b.line,
  );
}

function tokensOf(text: string): Token[] {
  const scanner = createScanner(false);
  scanner.setText(text);
  const tokens: Token[] = [];
  /** Open braces; true for one that a template opened. */
  const braces: boolean[] = [];
  let last: SyntaxKind = SyntaxKind.Unknown;
  for (;;) {
    let kind = scanner.scan();
    if (kind === SyntaxKind.EndOfFile) return tokens;
    if (kind === SyntaxKind.SlashToken || kind === SyntaxKind.SlashEqualsToken) {
      if (!OPERAND_ENDS.has(last)) kind = scanner.reScanSlashToken();
    }
    if (kind === SyntaxKind.OpenBraceToken) braces.push(false);
    if (kind === SyntaxKind.CloseBraceToken && braces.pop()) {
      kind = scanner.reScanTemplateToken(false);
      if (kind === SyntaxKind.TemplateMiddle) braces.push(true);
    }
    if (kind === SyntaxKind.TemplateHead) braces.push(true);
    if (!isSpace(kind)) {
      tokens.push({ kind, text: scanner.getTokenText(), start: scanner.getTokenStart() });
      if (!isComment(kind)) last = kind;
    }
  }
}

const isSpace = (kind: SyntaxKind): boolean =>
  kind === SyntaxKind.WhitespaceTrivia || kind === SyntaxKind.NewLineTrivia;
const isComment = (kind: SyntaxKind): boolean =>
  kind === SyntaxKind.SingleLineCommentTrivia || kind === SyntaxKind.MultiLineCommentTrivia;

/** Lines of `//` that follow each other are one fragment. */
function comments(tokens: readonly Token[], text: string, lineAt: LineAt): Fragment[] {
  const found: { line: number; last: number; column: number; text: string }[] = [];
  for (const { kind, text: comment, start } of tokens.filter(({ kind }) => isComment(kind))) {
    const line = lineAt(start);
    const column = start - text.lastIndexOf("\n", start - 1);
    const before = found.at(-1);
    if (
      kind === SyntaxKind.SingleLineCommentTrivia &&
      before?.last === line - 1 &&
      before.column === column
    ) {
      before.text += `\n${comment}`;
      before.last = line;
    } else {
      const last = kind === SyntaxKind.SingleLineCommentTrivia ? line : -1;
      found.push({ line, last, column, text: comment });
    }
  }
  return found.map(({ line, text: comment }) => commentFragment(line, comment));
}

/** Literals joined by `+` are one fragment, and a substitution is a code span in it. */
function literals(tokens: readonly Token[], strings: WhichStrings, lineAt: LineAt): Fragment[] {
  const found: Fragment[] = [];
  const code = tokens.filter(({ kind }) => !isComment(kind));
  for (let at = 0; at < code.length; at++) {
    const token = code[at] as Token;
    const [before, previous] = [code[at - 2], code[at - 1]];
    if (token.kind !== SyntaxKind.StringLiteral && !TEMPLATE_PARTS.has(token.kind)) continue;
    const isName =
      previous?.kind === SyntaxKind.OpenParenToken &&
      (/^(?:test|describe)$/.test(before?.text ?? "") ||
        before?.kind === SyntaxKind.CloseParenToken);
    const begin = at;
    let text = "";
    for (;;) {
      const part = code[at] as Token;
      text += contentOf(part);
      if (part.kind === SyntaxKind.TemplateHead || part.kind === SyntaxKind.TemplateMiddle) {
        text += "`substitution`";
        at = nextPart(code, at);
      } else if (code[at + 1]?.kind === SyntaxKind.PlusToken && isLiteral(code[at + 2])) {
        at += 2;
      } else break;
    }
    const isRow =
      previous?.kind === SyntaxKind.OpenBracketToken ||
      (previous?.kind === SyntaxKind.ColonToken && before?.text === "name");
    if (strings === "test names" && !isName && !isRow) continue;
    if (!isName && !isProse(text)) continue;
    found.push({ line: lineAt((code[begin] as Token).start), text, wraps: false });
  }
  return found.map((fragment) => ({ ...fragment, text: hideLayout(fragment.text) }));
}

const isLiteral = (token: Token | undefined): boolean =>
  token?.kind === SyntaxKind.StringLiteral ||
  token?.kind === SyntaxKind.NoSubstitutionTemplateLiteral ||
  token?.kind === SyntaxKind.TemplateHead;

/** Skips the substitution that follows a head or a middle. */
function nextPart(code: readonly Token[], from: number): number {
  let depth = 0;
  for (let at = from + 1; at < code.length; at++) {
    const { kind } = code[at] as Token;
    if (depth === 0 && (kind === SyntaxKind.TemplateMiddle || kind === SyntaxKind.TemplateTail)) {
      return at;
    }
    if (kind === SyntaxKind.TemplateHead) depth++;
    if (kind === SyntaxKind.TemplateTail) depth--;
  }
  return code.length - 1;
}

/** The words between the delimiters. A line break that is written as an escape ends a paragraph. */
function contentOf({ kind, text }: Token): string {
  const opens = kind === SyntaxKind.TemplateHead || kind === SyntaxKind.TemplateMiddle;
  return text
    .slice(1, opens ? -2 : -1)
    .replace(/\\n/g, "\n\n")
    .replace(/\\t/g, " ")
    .replace(/\\(.)/g, "$1");
}

/** At least three words in a row: neither a key nor a path nor a pattern. */
const isProse = (text: string): boolean => /[A-Za-z'-]+,? [a-z'-]+,? [a-z'`-]+/.test(text);

type LineAt = (offset: number) => number;

/** Lines are counted from 1. */
function lineCounter(text: string): LineAt {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let [low, high] = [0, starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
