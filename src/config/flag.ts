/** What a flag is. */
import type { FieldPath } from "./all-fields.ts";
import type { FieldType } from "./field.ts";
import type { Reason } from "./reasons.ts";

/** The headings of --help, in its order. What has no effect comes below them all. */
export const GROUPS = {
  instead: "What to do instead of running",
  source: "Where settings and objects come from",
  local: "Which traffic is local, and masquerading",
  nodePorts: "Addresses of this node",
  listen: "Health and metrics",
  timing: "Timing",
  node: "Conntrack and the node",
  log: "Logging",
} as const;

/** One flag. `name` is without its dashes; underscores in what is given count as dashes. */
export interface Flag {
  readonly name: string;
  readonly type: FieldType;
  /** The fields it sets. Without any it is handled by name, or does nothing. */
  readonly fields?: readonly FieldPath[];
  /**
   * It counts beside --config, and wins over the file. Upstream ignores every other flag then; that stays, so that
   * a DaemonSet with leftover flags means the same.
   */
  readonly besideConfig?: true;
  /** Of a flag without fields, and where it is not what the first of the fields does. */
  readonly help?: string;
  /** What its value is, in --help; else its type tells. */
  readonly value?: string;
  /** Undefined for flags that do nothing: `idle`, or their fields, say why. */
  readonly group?: keyof typeof GROUPS;
  readonly idle?: Reason;
}
