/**
 * Actions: what happens to a new connection that matched a frontend, in one u32, so that it can be
 * compared, stored and sent without an object. A backend turns it into a chain; the chain's name says the
 * same in words (`pick4-5`), and can be parsed back, which is how a running kernel is adopted.
 *
 *   31      28 27     24 23     20 19                 0
 *  ┌──────────┬─────────┬─────────┬────────────────────┐
 *  │ verb     │ reach   │ source  │ argument           │
 *  └──────────┴─────────┴─────────┴────────────────────┘
 */
import { readU32LE } from "../base/bytes.ts";

/** What to do. `pick`: choose among `count` slots. `sticky`: the remembered endpoint, else pick. */
export type Verb = "pick" | "sticky" | "learn" | "accept" | "drop" | "reject";

/**
 * Who the action masquerades before it chooses. `plain`: nobody. `masquerade`: everybody (external
 * frontend, externalTrafficPolicy Cluster). `short-circuit`: only the node itself (externalTrafficPolicy
 * Local seen from a pod or from this node).
 */
export type Reach = "plain" | "masquerade" | "short-circuit";

/** Which table of slots to choose from. */
export type Source =
  | "endpoints"
  | "local-endpoints"
  | "nodeport-endpoints"
  | "nodeport-local-endpoints";

/** An action in its parts. `seconds` is how long a client is remembered, `count` how many slots there are. */
export type Action =
  | {
      readonly verb: "pick" | "sticky";
      readonly source: Source;
      readonly reach: Reach;
      readonly count: number;
    }
  | { readonly verb: "learn"; readonly nodePort: boolean; readonly seconds: number }
  | { readonly verb: "accept" | "drop" | "reject" };

/** An `Action` as a number. */
export type ActionCode = number & { readonly brand: "ActionCode" };

const VERBS: readonly Verb[] = ["pick", "sticky", "learn", "accept", "drop", "reject"];
export const REACHES: readonly Reach[] = ["plain", "masquerade", "short-circuit"];
export const SOURCES: readonly Source[] = [
  "endpoints",
  "local-endpoints",
  "nodeport-endpoints",
  "nodeport-local-endpoints",
];
const ARGUMENT_MAX = 0xfffff;

/**
 * Packs an action.
 * @throws RangeError for slots or seconds beyond 1,048,575: a programming error (limits.ts is lower)
 */
export function encodeAction(action: Action): ActionCode {
  const verb = VERBS.indexOf(action.verb) << 28;
  switch (action.verb) {
    case "pick":
    case "sticky":
      return pack(
        verb,
        REACHES.indexOf(action.reach),
        SOURCES.indexOf(action.source),
        action.count,
      );
    case "learn":
      return pack(verb, 0, action.nodePort ? 1 : 0, action.seconds);
    default:
      return pack(verb, 0, 0, 0);
  }
}

/**
 * Unpacks what `encodeAction` packed.
 * @throws RangeError for a number it cannot have made, such as one that another version left in the kernel
 */
export function decodeAction(code: ActionCode): Action {
  const verb = VERBS[code >>> 28];
  const reach = REACHES[(code >>> 24) & 15];
  const source = SOURCES[(code >>> 20) & 15];
  const argument = code & ARGUMENT_MAX;
  if (verb === undefined || reach === undefined || source === undefined) {
    throw new RangeError(
      `Cannot decode an action: no verb, reach or source has this number: 0x${code.toString(16)}`,
    );
  }
  if (verb === "pick" || verb === "sticky") return { verb, source, reach, count: argument };
  if (verb === "learn") return { verb, nodePort: ((code >>> 20) & 15) === 1, seconds: argument };
  return { verb };
}

/** The action that the value of an element holds. @throws RangeError as decodeAction */
export function readAction(value: Uint8Array): Action {
  return decodeAction(readU32LE(value, 0) as ActionCode);
}

/** `pick endpoints 5`, `sticky local-endpoints 2 masquerade`, `learn 10800s`, `reject`. */
export function printAction(action: Action): string {
  switch (action.verb) {
    case "pick":
    case "sticky":
      return `${action.verb} ${action.source} ${action.count}${action.reach === "plain" ? "" : ` ${action.reach}`}`;
    case "learn":
      return `learn ${action.seconds}s`;
    default:
      return action.verb;
  }
}

function pack(verb: number, reach: number, source: number, argument: number): ActionCode {
  if (argument > ARGUMENT_MAX)
    throw new RangeError(
      `Cannot encode an action: its argument must be at most ${ARGUMENT_MAX}: current value is ${argument}`,
    );
  return ((verb | (reach << 24) | (source << 20) | argument) >>> 0) as ActionCode;
}
