/** Takes over a table that an earlier run left behind. */
import type { Core } from "../../core/core.ts";
import type { ActionCode } from "../../plan/actions.ts";
import type { Family } from "../../plan/tables.ts";
import {
  keySize,
  TABLE_IDS,
  type TableId,
  tableFamily,
  tableKind,
  tableLabel,
  valueSize,
} from "../../plan/tables.ts";
import type { SkeletonOptions } from "../backend.ts";
import type { Netlink } from "../netlink/socket.ts";
import { dispatchOf, isAction, type KnownActions, targetChain } from "./actions.ts";
import type { Chain } from "./chains.ts";
import { MANY_ELEMENTS, readElements } from "./elements-read.ts";
import { ExpectedSlots, isSlots } from "./expected-slots.ts";
import { COMMENTED_CHAIN, rulesComment } from "./install.ts";
import { dispatchMap } from "./names.ts";
import { type ReadChain, readChains, readRules, readSets } from "./read.ts";
import { allSets } from "./sets.ts";
import { skeleton } from "./skeleton.ts";
import { readTableElements, readTableElementsAt, type TableElements } from "./table-read.ts";

/**
 * `intact`: nothing to do. `refill`: the rules differ, or some are missing; the elements can stay.
 * `replace`: what cannot be changed in place differs.
 */
export type Condition = "intact" | "refill" | "replace";

/** Elements of the maps of actions that lead where they should. */
export function readActions(socket: Netlink): (readonly [Family, ActionCode])[] {
  const found: [Family, ActionCode][] = [];
  for (const family of [4, 6] as const) {
    for (const kind of ["choices", "learning"] as const) {
      const before = found.length;
      const restart = () => {
        found.length = before;
      };
      readElements(socket, dispatchMap(kind, family), restart, ({ bytes, key, chain }) => {
        const code = new DataView(bytes.buffer).getUint32(bytes.byteOffset + key, true);
        if (!isAction(code) || dispatchOf(code) !== kind) return;
        if (targetChain(code, family) === chain) found.push([family, code]);
      });
    }
  }
  return found;
}

/** Looks at sets, chains and rules, but not at elements. */
export function condition(
  socket: Netlink,
  options: SkeletonOptions,
  actions: KnownActions,
): Condition {
  const sets = readSets(socket);
  if (!allSets(options.counters).every(({ name }) => sets.has(name))) return "replace";
  const found = new Map(readChains(socket).map((chain) => [chain.name, chain]));
  const fixed = skeleton(options);
  if (fixed.some((chain) => hookDiffers(chain, found.get(chain.name)))) return "replace";
  const wanted = [...fixed, ...actions.chains()];
  const rules = readRules(socket);
  const mark = rules.find(({ chain }) => chain === COMMENTED_CHAIN)?.comment;
  const counts = new Map<string, number>();
  for (const { chain } of rules) counts.set(chain, (counts.get(chain) ?? 0) + 1);
  const intact =
    mark === rulesComment(options) &&
    wanted.every(
      ({ name, rules }) =>
        found.get(name)?.accepts !== false && (counts.get(name) ?? 0) === rules.length,
    );
  return intact ? "intact" : "refill";
}

/** A missing chain can be added; one that hangs elsewhere cannot be moved. */
function hookDiffers({ hook }: Chain, found: ReadChain | undefined): boolean {
  if (found === undefined) return false;
  return (
    found.hook?.number !== hook?.number ||
    found.hook?.priority !== hook?.priority ||
    found.hook?.type !== hook?.type
  );
}

/**
 * Hands all elements to the core; returns how many. `action` sees every action that they use. Large tables of
 * slots are read by key where that finds them all: if the kernel says how many there are, or else if
 * `trusting`, which a table that drifted does not deserve.
 */
export function adoptElements(
  socket: Netlink,
  core: Core,
  trusting: boolean,
  action: (family: Family, code: ActionCode) => void,
): number {
  const sets = readSets(socket);
  const expected = new ExpectedSlots();
  let total = 0;
  const adopt = (id: TableId, { keysAndValues, count }: TableElements) => {
    if (count > 0) core.adopt(id, keysAndValues, count);
    total += count;
  };
  for (const id of TABLE_IDS.filter((one) => tableKind(one).value === "action")) {
    const elements = readTableElements(socket, id);
    eachValue(id, elements, action);
    expected.add(id, elements);
    adopt(id, elements);
  }
  for (const id of TABLE_IDS.filter((one) => tableKind(one).value !== "action")) {
    const slots = isSlots(id) ? expected.count(id) : 0;
    const present = sets.get(tableLabel(id));
    const known = present === undefined ? trusting : present === slots;
    const byKey =
      slots >= MANY_ELEMENTS && known
        ? readTableElementsAt(socket, id, expected.keys(id))
        : undefined;
    adopt(id, byKey ?? readTableElements(socket, id));
  }
  return total;
}

function eachValue(
  id: TableId,
  { keysAndValues, count }: TableElements,
  action: (family: Family, code: ActionCode) => void,
): void {
  const view = new DataView(keysAndValues.buffer, keysAndValues.byteOffset);
  const stride = keySize(id) + valueSize(id);
  for (let i = 0; i < count; i++) {
    const code = view.getUint32(i * stride + keySize(id), true);
    if (isAction(code)) action(tableFamily(id), code);
  }
}
