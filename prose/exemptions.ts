/** Sentences that the prose linter accepts although a rule is against them. */
export interface Exemption {
  readonly path: string;
  /** A part of the sentence, as in the file, with single spaces for line breaks. */
  readonly text: string;
  readonly because: string;
}

export const EXEMPTIONS: readonly Exemption[] = [];
