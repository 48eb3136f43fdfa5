/** Sentences that the prose linter accepts although a rule is against them. */
export interface Exemption {
  readonly path: string;
  /**
   * A part of the sentence, as in the file, with single spaces for line breaks. Empty: every
   * sentence of the file.
   */
  readonly text: string;
  readonly because: string;
}

export const EXEMPTIONS: readonly Exemption[] = [
  {
    path: "test/prose/check.test.ts",
    text: "",
    because: "its sentences are examples of what the rules find",
  },
  {
    path: "test/state/claims.test.ts",
    text: "IPv4 node port 30080/UDP is already used",
    because: "it is three texts of a problem in one",
  },
  {
    path: "test/traffic/iptables-others.test.ts",
    text: "-A SOMEBODY",
    because: "it is a rule, with the name of a chain in capitals",
  },
];
