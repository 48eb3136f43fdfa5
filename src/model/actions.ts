/**
 * Packs an action into one u32, so that it can be compared, stored and sent without an object. The
 * action decides what happens to a new connection that matches a frontend. A backend turns it into
 * a chain, with a name that spells out the action (`pick4-5`).
 *
 *   31      28 27     24 23     20 19                 0
 *  ┌──────────┬─────────┬─────────┬────────────────────┐
 *  │ verb     │ snat    │ slots   │ count              │  pick, recall
 *  ├──────────┼─────────┴─────────┴──┬─────────────────┤
 *  │ verb     │ map (11 bits)        │ seconds         │  learn
 *  └──────────┴──────────────────────┴─────────────────┘
 *   31      28 27                  17 16              0
 */
import { readU32LE } from "../base/bytes.ts";

/**
 * The kind of action. `pick` chooses among `count` slots. `recall` uses the endpoint remembered for
 * the client, if it still serves; otherwise it picks. `learn` remembers the chosen endpoint.
 * `drop-outside` drops connections from outside sources only.
 */
export type Verb = "pick" | "recall" | "learn" | "accept" | "drop" | "reject" | "drop-outside";

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
 * A decoded action. `count` is the number of slots. `map` is the number of the kernel's map that
 * remembers the clients of the frontend, and `seconds` is how long it remembers them.
 */
export type Action =
  | {
      readonly verb: "pick" | "recall";
      readonly slotTable: SlotTable;
      readonly snat: SnatMode;
      readonly count: number;
    }
  | {
      readonly verb: "learn";
      readonly nodePort: boolean;
      readonly map: number;
      readonly seconds: number;
    }
  | { readonly verb: "accept" | "drop" | "reject" | "drop-outside" };

/** An action that chooses an endpoint. */
export type PickAction = Extract<Action, { readonly count: number }>;

/** An action that remembers clients. */
export type LearnAction = Extract<Action, { readonly verb: "learn" }>;

/** An `Action` encoded as a number. */
export type ActionCode = number & { readonly brand: "ActionCode" };

const VERBS: readonly Verb[] = [
  "pick",
  "recall",
  "learn",
  "accept",
  "drop",
  "reject",
  "drop-outside",
];
/** The verb's number for `learn` with a node port. */
const LEARN_NODE_PORT = VERBS.length;
const SECONDS_BITS = 17;
export const SNAT_MODES: readonly SnatMode[] = ["plain", "masquerade", "short-circuit"];
export const SLOT_TABLES: readonly SlotTable[] = [
  "endpoints",
  "local-endpoints",
  "nodeport-endpoints",
  "nodeport-local-endpoints",
];
const COUNT_MAX = 0xfffff;

/** Number of maps that remember clients. Beyond this many frontends with affinity, some share. */
export const AFFINITY_MAPS = 2048;

/**
 * Encodes an action.
 * @throws RangeError for a number that does not fit, a programming error: limits.ts is lower
 */
export function encodeAction(action: Action): ActionCode {
  const verb = VERBS.indexOf(action.verb);
  switch (action.verb) {
    case "pick":
    case "recall": {
      const snat = SNAT_MODES.indexOf(action.snat) << 24;
      const slotTable = SLOT_TABLES.indexOf(action.slotTable) << 20;
      return pack(verb, snat | slotTable | fitting("count", action.count, COUNT_MAX));
    }
    case "learn": {
      const { nodePort, map, seconds } = action;
      const place = fitting("map", map, AFFINITY_MAPS - 1) << SECONDS_BITS;
      const argument = place | fitting("seconds", seconds, 2 ** SECONDS_BITS - 1);
      return pack(nodePort ? LEARN_NODE_PORT : verb, argument);
    }
    default:
      return pack(verb, 0);
  }
}

/**
 * Decodes a number made by `encodeAction`.
 * @throws RangeError for any other number, such as one that another version left in the kernel
 */
export function decodeAction(code: ActionCode): Action {
  const kind = code >>> 28;
  const verb = kind === LEARN_NODE_PORT ? "learn" : VERBS[kind];
  if (verb === "learn") {
    const map = (code >>> SECONDS_BITS) & (AFFINITY_MAPS - 1);
    const seconds = code & (2 ** SECONDS_BITS - 1);
    return { verb, nodePort: kind === LEARN_NODE_PORT, map, seconds };
  }
  const snat = SNAT_MODES[(code >>> 24) & 15];
  const slotTable = SLOT_TABLES[(code >>> 20) & 15];
  if (verb === undefined || snat === undefined || slotTable === undefined) {
    throw new RangeError(`decode action 0x${code.toString(16)}: unknown verb, snat or slots`);
  }
  if (verb !== "pick" && verb !== "recall") return { verb };
  return { verb, slotTable, snat, count: code & COUNT_MAX };
}

/** Reports whether a number that was read from the kernel is a valid action. */
export function isAction(code: number): code is ActionCode {
  try {
    const action = decodeAction(code as ActionCode);
    if (action.verb === "learn") return action.seconds > 0;
    return action.verb !== "pick" && action.verb !== "recall" ? true : action.count > 0;
  } catch {
    return false;
  }
}

/** Decodes the action in an element's value. @throws RangeError as decodeAction */
export function readAction(value: Uint8Array): Action {
  return decodeAction(readU32LE(value, 0) as ActionCode);
}

/**
 * Prints an action: `pick endpoints 5`, `recall local-endpoints 2 masquerade`, `learn 10800s`,
 * `reject`.
 */
export function printAction(action: Action): string {
  switch (action.verb) {
    case "pick":
    case "recall":
      return `${action.verb} ${action.slotTable} ${action.count}${action.snat === "plain" ? "" : ` ${action.snat}`}`;
    case "learn":
      return `learn ${action.seconds}s`;
    default:
      return action.verb;
  }
}

function pack(verb: number, argument: number): ActionCode {
  return (((verb << 28) | argument) >>> 0) as ActionCode;
}

function fitting(what: string, value: number, most: number): number {
  if (value <= most) return value;
  throw new RangeError(`encode action: invalid ${what} ${value}: must be at most ${most}`);
}
