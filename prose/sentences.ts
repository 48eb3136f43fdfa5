/** Cuts a paragraph of a Markdown tree into sentences of plain words. */

/** The part of textlint's tree nodes that these functions need. */
export interface Node {
  readonly type: string;
  readonly range: readonly [number, number];
  readonly children?: readonly Node[];
}

export interface Sentence {
  /** Offset in the paragraph. */
  readonly index: number;
  /** Text with markup and the content of code spans masked, in the length of the source. */
  readonly words: string;
  /** The source, with single spaces, for people. */
  readonly source: string;
}

/** Zero wide: it stands for markup such as `**`. */
const NOTHING: string = "\u2060";
/** A name in lower case can begin a sentence: "nft prints nothing". */
const SENTENCE_END = /(?<!\b(?:e\.g|i\.e|vs|cf))[.!?][)\]"'”\u2060]*\s+/g;

export function sentencesOf(node: Node, source: string): Sentence[] {
  const masked = maskMarkup(node, source);
  const ends = [...masked.matchAll(SENTENCE_END)].map((match) => match.index + match[0].length);
  return [0, ...ends]
    .map((index, at) => ({ index, end: ends[at] ?? masked.length }))
    .map(({ index, end }) => ({
      index,
      words: masked.slice(index, end),
      source: source.slice(index, end).replace(/\s+/g, " ").trim(),
    }))
    .filter(({ source }) => source !== "");
}

/** Keeps text, makes one word of each code span, link and image, and hides the rest. */
function maskMarkup(node: Node, source: string): string {
  const [start] = node.range;
  const masked: string[] = Array.from({ length: source.length }, (_, index) =>
    /\s/.test(source.charAt(index)) ? " " : NOTHING,
  );
  const visit = (inner: Node, inLink: boolean) => {
    const space = inLink ? "/" : " ";
    const [from, to] = [inner.range[0] - start, inner.range[1] - start];
    for (let at = from; at < to; at++) {
      const character = source.charAt(at);
      if (inner.type === "Str") masked[at] = /\s/.test(character) ? space : character;
      if (inner.type === "Code" || inner.type === "Image") masked[at] = at === from ? "C" : "c";
    }
    for (const child of inner.children ?? []) visit(child, inLink || inner.type === "Link");
  };
  visit(node, false);
  return masked.join("");
}

const UNIT =
  "ns|µs|us|ms|s|min|h|KB|kB|MB|GB|KiB|MiB|GiB|Mbit/s|Gbit/s|seconds?|minutes?|hours?|days?|bytes?|bits?|percent|%";
const QUANTITY = new RegExp(`\\d[\\d.,]*(?: to \\d[\\d.,]*)? (?:${UNIT})(?![\\w])`, "g");

/** Counts words; a number with its unit is one: "2 to 4 MB". */
export function countWords(words: string): number {
  const plain = words.replaceAll(NOTHING, "").replace(QUANTITY, "quantity");
  return plain.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

/** Hides what stands in double quotes: words of another program. */
export function withoutQuotes(words: string): string {
  return words.replace(/"[^"]*"|“[^”]*”/g, (quote) => "Q".repeat(quote.length));
}
