/** A piece of prose in a file, as Markdown. */
export interface Fragment {
  /** The line in the file where it begins, counted from 1. */
  readonly line: number;
  readonly text: string;
  /** True if the lines of the text are lines of the file. */
  readonly wraps: boolean;
}

/** Lines for programs: linters, shells, the sections of a long file. */
const DIRECTIVE = /^\s*(?:biome-ignore|shellcheck|@ts-|!|──|--- )/;

/** `@param name`, `@returns`. */
const TAG = /^\s*@(?:param \S+|\w+)\s*/;

/** A line of a table without frame: "  PATH   a file". */
const COLUMNS = /^\s*(\S.*? {2,}(?=\S))/;

/** A command line with its options, or a drawing of a record, up to a blank line. */
const DRAWING = /^(?:usage: |Usage: |Record [A-Z_]+(?: |, )).*(?:\n.+)*/gm;

/** A comment that begins at this line of the file, without its delimiters. */
export function commentFragment(line: number, comment: string): Fragment {
  return { line, text: commentText(comment), wraps: true };
}

/** Takes the delimiters from a comment, and keeps its lines. */
function commentText(comment: string): string {
  const lines = comment
    .replace(/\*\/$/, "")
    .split("\n")
    .map((line) => line.replace(/^\s*(?:\/\*\*?|\*|\/\/\/?|#+)(?: |$)?/, "").trimEnd())
    .map((line) => (DIRECTIVE.test(line) ? "" : line))
    .map((line) => line.replace(TAG, "- ").replaceAll("<", "\\<"));
  return hideLayout(lines.join("\n"));
}

/** Makes list items of the lines of tables, and hides drawings. The number of lines stays. */
export function hideLayout(text: string): string {
  return text
    .replace(DRAWING, (drawing) => drawing.replace(/.+/g, ""))
    .split("\n")
    .map((line) => line.replace(COLUMNS, "- $1"))
    .join("\n");
}
