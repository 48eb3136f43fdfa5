/**
 * Packs an action into one u32, so that it can be compared, stored and sent without an object. The
 * action decides what happens to a new connection that matches a frontend. A backend turns it into
 * a chain. The chain's name spells out the action (`pick4-5`); Sluice parses it to adopt a running
 * kernel.
 *
 *   31      28 27     24 23     20 19                 0
 *  ┌──────────┬─────────┬─────────┬────────────────────┐
 *  │ verb     │ snat    │ slots   │ argument           │
 *  └──────────┴─────────┴─────────┴────────────────────┘
 */
import { readU32LE } from "../base/bytes.ts";

/**
 * The kind of action. `pick` chooses among `count` slots. `sticky` uses the remembered endpoint,
 * otherwise it picks.
 */
export type Verb = "pick" | "sticky" | "learn" | "accept" | "drop" | "reject";

/**
 * The clients that the action masquerades before it chooses an endpoint. `plain`: none.
 * `masquerade`: all (external frontend with externalTrafficPolicy Cluster). `short-circuit`: only
 * the node itself (externalTrafficPolicy Local, for local pods and this node).
 */
export type SnatMode = "plain" | "masquerade" | "short-circuit";

/** The table of slots to choose from. */
export type SlotTable =
  | "endpoints"
  | "local-endpoints"
  | "nodeport-endpoints"
  | "nodeport-local-endpoints";

/**
 * A decoded action. `seconds` is how long a client is remembered; `count` is the number of slots.
 */
export type Action =
  | {
      readonly verb: "pick" | "sticky";
      readonly slotTable: SlotTable;
      readonly snat: SnatMode;
      readonly count: number;
    }
  | { readonly verb: "learn"; readonly nodePort: boolean; readonly seconds: number }
  | { readonly verb: "accept" | "drop" | "reject" };

/** An action that chooses an endpoint. */
export type PickAction = Extract<Action, { readonly count: number }>;

/** An `Action` encoded as a number. */
export type ActionCode = number & { readonly brand: "ActionCode" };

const VERBS: readonly Verb[] = ["pick", "sticky", "learn", "accept", "drop", "reject"];
export const SNAT_MODES: readonly SnatMode[] = ["plain", "masquerade", "short-circuit"];
export const SLOT_TABLES: readonly SlotTable[] = [
  "endpoints",
  "local-endpoints",
  "nodeport-endpoints",
  "nodeport-local-endpoints",
];
const ARGUMENT_MAX = 0xfffff;

/**
 * Encodes an action.
 * @throws RangeError for slots or seconds beyond 1,048,575: a programming error (limits.ts is
 *   lower)
 */
export function encodeAction(action: Action): ActionCode {
  const verb = VERBS.indexOf(action.verb) << 28;
  switch (action.verb) {
    case "pick":
    case "sticky":
      return pack(
        verb,
        SNAT_MODES.indexOf(action.snat),
        SLOT_TABLES.indexOf(action.slotTable),
        action.count,
      );
    case "learn":
      return pack(verb, 0, action.nodePort ? 1 : 0, action.seconds);
    default:
      return pack(verb, 0, 0, 0);
  }
}

/**
 * Decodes a number made by `encodeAction`.
 * @throws RangeError for any other number, such as one that another version left in the kernel
 */
export function decodeAction(code: ActionCode): Action {
  const verb = VERBS[code >>> 28];
  const snat = SNAT_MODES[(code >>> 24) & 15];
  const slotTable = SLOT_TABLES[(code >>> 20) & 15];
  const argument = code & ARGUMENT_MAX;
  if (verb === undefined || snat === undefined || slotTable === undefined) {
    throw new RangeError(`decode action 0x${code.toString(16)}: unknown verb, snat or slots`);
  }
  if (verb === "pick" || verb === "sticky") return { verb, slotTable, snat, count: argument };
  if (verb === "learn") return { verb, nodePort: ((code >>> 20) & 15) === 1, seconds: argument };
  return { verb };
}

/** Decodes the action in an element's value. @throws RangeError as decodeAction */
export function readAction(value: Uint8Array): Action {
  return decodeAction(readU32LE(value, 0) as ActionCode);
}

/**
 * Prints an action: `pick endpoints 5`, `sticky local-endpoints 2 masquerade`, `learn 10800s`,
 * `reject`.
 */
export function printAction(action: Action): string {
  switch (action.verb) {
    case "pick":
    case "sticky":
      return `${action.verb} ${action.slotTable} ${action.count}${action.snat === "plain" ? "" : ` ${action.snat}`}`;
    case "learn":
      return `learn ${action.seconds}s`;
    default:
      return action.verb;
  }
}

function pack(verb: number, snat: number, slotTable: number, argument: number): ActionCode {
  if (argument > ARGUMENT_MAX)
    throw new RangeError(
      `encode action: invalid argument ${argument}: must be at most ${ARGUMENT_MAX}`,
    );
  return ((verb | (snat << 24) | (slotTable << 20) | argument) >>> 0) as ActionCode;
}
