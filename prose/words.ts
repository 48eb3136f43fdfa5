/**
 * The word list of the prose linter: phrases that plain English does without, and one word for each
 * concept of the glossary in ARCHITECTURE.md. Text in code spans and in double quotes is exempt, so
 * the exact words of another program stay possible.
 */
export interface Ban {
  /** Matched within one sentence, ignoring case; `^` and `$` are its ends. */
  readonly pattern: RegExp;
  /** The advice, for people. */
  readonly instead: string;
  /** Titles may have it: "What is covered". */
  readonly allowedInTitle?: true;
  /** Questions may have it: "What is an owner?" */
  readonly allowedInQuestion?: true;
}

const END = "(?=\\s*(?:[.,;:!?)]|$))";

const OBSOLETE: readonly Ban[] = [
  { pattern: /\b(?:anew|afresh)\b/, instead: 'write "again", or name the action' },
  { pattern: /\bamiss\b/, instead: 'write "wrong", "a problem" or "drift"' },
  { pattern: /\bin vain\b/, instead: 'write "without success", or say what failed' },
  { pattern: /\bfor (?:want|lack) of\b/, instead: 'write "because there is no"' },
  { pattern: /\bbe (?:it|they)\b/, instead: 'write "either ... or", or name the cases' },
  { pattern: /\b(?:likewise|anyhow)\b/, instead: 'write "also" or "the same", or cut it' },
  { pattern: /\b(?:lest|albeit|hitherto|ere)\b/, instead: 'write "so that ... not", "although"' },
  {
    pattern: /\b(?:hence|whence|thence|hereby|thereby|thereof|therein|wherein|whereupon)\b/,
    instead: 'write "so", "because of this", or start a new sentence',
  },
  { pattern: /\bshall\b/, instead: 'write "must" or "will"' },
  { pattern: /\bmade use of\b/, instead: 'write "used"' },
  { pattern: /\b(?:goes|go|went|gone) on\b/, instead: 'write "continues"' },
  { pattern: /\bbesides\b/, instead: 'write "also", "in addition" or "except"' },
  {
    pattern: /\bbeside\b/,
    instead: 'write "next to", "together with" or "while X runs"',
  },
  { pattern: /\bbut for\b/, instead: 'write "except" or "except for"' },
];

const TRANSLATED: readonly Ban[] = [
  {
    pattern:
      /\b(?:is|are|was|were|be|been|being)(?: \w+ly| also| not| then| only)? (?:told|said)\b/,
    instead: 'name the actor: "Sluice logs", "the kernel reports"',
  },
  { pattern: /\bwhose\b/, instead: 'write "with" or "that has", or start a new sentence' },
  { pattern: /\bwho(?:ever|soever|mever|sever)\b|\bwhom\b/, instead: "name the actor" },
  { pattern: /\bof (?:which|whom)\b/, instead: "start a new sentence" },
  { pattern: /\b(?:that|those) of\b(?! course)/, instead: "repeat the noun" },
  {
    pattern: /\bof (?:[\w-]+'s|theirs)(?=\s*[.,;:)]|$| (?:is|are|was|were|has|had|that|which)\b)/,
    instead: 'write "X\'s chain" or "a chain of X"',
  },
  { pattern: /\b(?:is|are|was|were) to be\b/, instead: 'write "must be" or "will be"' },
  { pattern: /\bby (?:itself|themselves)\b/, instead: 'write "automatically" or "alone"' },
  { pattern: /\bat last\b/, instead: 'write "at most" or "finally"' },
  {
    pattern: /\bso (?:long|often|many)\b/,
    instead: 'write "while", or give the duration or the count',
  },
  { pattern: /, say\b(?! (?:so|that)\b)/, instead: 'write "for example"' },
  { pattern: /\bas \S+(?: \S+)? has it\b/, instead: 'write "as X says"' },
  { pattern: /^else\b|, else\b/, instead: 'write "otherwise"' },
  { pattern: /\bsomebody\b/, instead: 'write "another program", "another process" or "someone"' },
  { pattern: /(?<!-)\b(?:lives|lived)\b/, instead: 'write "runs", "exists" or "is in"' },
  { pattern: new RegExp(`\\b(?:no more|any more|anymore)${END}`), instead: 'write "no longer"' },
  { pattern: /\bcalled so\b/, instead: "write the name" },
  {
    pattern: new RegExp(`\\b(?:is|are|was|were) there${END}|\\bthere (?:is|are)${END}`),
    instead: 'write "exists", or "that exist"',
    allowedInQuestion: true,
  },
  {
    pattern:
      /\b(?:what|who) (?:is|was|are|were) (?:[\w-]+ ){1,3}(?:is|was|are|were|stays|goes|comes|counts)\b/,
    instead: "make the thing the subject",
    allowedInTitle: true,
    allowedInQuestion: true,
  },
  {
    pattern: /^(?:what|who|which)\b/,
    instead: "make the thing the subject",
    allowedInTitle: true,
    allowedInQuestion: true,
  },
];

/** One word for each concept. */
const CONCEPTS: readonly Ban[] = [
  {
    pattern:
      /\bmend(?:s|ed|ing)?\b|\b(?:put|puts|putting|set|sets) (?:\w+ )?right\b|\b(?:put|puts|putting) back\b/,
    instead: 'write "repair"',
  },
  {
    pattern: /\brefill(?:s|ed|ing)?\b|\bre(?:make|makes|made|making)\b/,
    instead: 'write "repair" or "rewrite"',
  },
  {
    pattern:
      /(?<![-\w])(?:restored|restoring|restores (?:the|an?|its?|their|them|only|all|every\w*)|(?<=\b(?:to|and|or|not|cannot|can|must|may|will|would) )restore)\b(?! (?:from a backup|tools?))/,
    instead: 'write "repair", or "set back" for a setting; the word belongs to iptables-restore',
  },
  {
    pattern: /\b(?:take|takes|took|taken|taking) up\b(?! to\b)/,
    instead: 'write "adopt" (elements), "reload" (a configuration) or "use" (memory)',
  },
  {
    pattern: /\bremarks?\b|(?<=\b(?:a|the|each|every|these|its|of) )notes?\b/,
    instead: 'write "warning" (a log line) or "notice" (in the health body)',
  },
  {
    pattern: /(?<=\b(?:a|the|each|every|these|its|of|no) )lacks?\b|\bshortcomings?\b/,
    instead: 'write "unsupported feature" or "problem"',
  },
  { pattern: /\btroubles?\b/, instead: 'write "problem"' },
  {
    pattern:
      /\b(?:behaviour|colour|neighbour|defence|licence)\w*|\b(?:recogni|initiali|normali)s(?:e|es|ed|ing)\b/,
    instead: 'use American spelling: "behavior", "recognize"',
  },
];

export const BANS: readonly Ban[] = [...OBSOLETE, ...TRANSLATED, ...CONCEPTS].map((ban) => ({
  ...ban,
  pattern: new RegExp(ban.pattern.source, "i"),
}));
