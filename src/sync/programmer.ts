/**
 * From dirty Services to the kernel: select, plan, diff, apply, commit, for one batch of owners. A batch is
 * cut into transactions of bounded size; an owner the kernel refuses is left out, the rest goes through.
 */
import { OWNER_ADOPTED, OWNER_NODE } from "../../asm/layout.ts";
import type { Backend, Receipt } from "../apply/backend.ts";
import type { Core, OperationList } from "../core/core.ts";
import { collectUdpFrontends, type FrontendText } from "../diff/udp-frontends.ts";
import type { SluiceError } from "../errors.ts";
import { BATCH_ELEMENTS } from "../limits.ts";
import { DesiredWriter } from "../plan/desired.ts";
import { type PlanContext, planNode, planService } from "../plan/plan.ts";
import { TABLE_IDS, tableKind } from "../plan/tables.ts";
import type { Choice, Service, ServiceId } from "../types.ts";

/** A Service of the batch, with what selection found; `service` is undefined when it is gone. */
interface Entry {
  readonly owner: number;
  readonly service: Service | undefined;
  readonly choices: readonly Choice[];
}

/** What programming a batch came to. */
export interface Outcome {
  operations: number;
  bytes: number;
  kernelMs: number;
  transactions: number;
  /** Owners whose elements are in the kernel now. */
  readonly programmed: number[];
  readonly refused: { readonly owner: number; readonly error: SluiceError }[];
  /** The kernel could not take it at all for now; owners neither programmed nor refused must wait. */
  transient: SluiceError | undefined;
  /** The kernel does not hold what was committed: it must be read again before anything can succeed. */
  drifted: boolean;
  /** Clients may be remembered for endpoints or frontends that are gone. */
  forgetful: boolean;
  /** Frontends of UDP that lead elsewhere now. */
  readonly udpFrontends: Set<FrontendText>;
}

/** An outcome that nothing has been added to yet. */
export function emptyOutcome(): Outcome {
  return {
    operations: 0,
    bytes: 0,
    kernelMs: 0,
    transactions: 0,
    programmed: [],
    refused: [],
    transient: undefined,
    drifted: false,
    forgetful: false,
    udpFrontends: new Set(),
  };
}

export interface ProgrammerOptions {
  readonly core: Core;
  readonly backend: Backend;
  /** Called for each Service that was selected, before it is planned. */
  readonly selected: Selected;
}

/** Hears of a Service that was selected; `service` is undefined when it is gone. */
export type Selected = (
  id: ServiceId,
  service: Service | undefined,
  choices: readonly Choice[],
  localReady: number,
) => void;

export class Programmer {
  readonly #options: ProgrammerOptions;
  readonly #writer: DesiredWriter;
  readonly #elementsMax: number;

  constructor(options: ProgrammerOptions) {
    this.#options = options;
    this.#elementsMax = Math.min(BATCH_ELEMENTS, options.backend.maxOperations ?? Infinity);
    this.#writer = new DesiredWriter((bytes) => options.core.reserveDesired(bytes));
  }

  /** Programs these owners, in as many transactions as their size asks for. Never throws for a refusal. */
  program(owners: readonly number[], context: PlanContext): Outcome {
    const outcome = emptyOutcome();
    for (const group of this.#groups(this.#select(owners))) {
      this.#programGroup(group, context, outcome);
      if (outcome.transient !== undefined) break;
    }
    return outcome;
  }

  #select(owners: readonly number[]): Entry[] {
    const { core, selected } = this.#options;
    const entries: Entry[] = [];
    const ids: ServiceId[] = [];
    for (const owner of owners) {
      if (isService(owner)) ids.push(owner);
      else entries.push({ owner, service: undefined, choices: [] });
    }
    core.select(ids, (id, choices, localReady) => {
      const service = core.readService(id);
      selected(id, service, choices, localReady);
      entries.push({ owner: id, service, choices });
    });
    return entries;
  }

  /** Cuts entries so that no group but a single giant Service makes more operations than one transaction takes. */
  *#groups(entries: readonly Entry[]): Generator<readonly Entry[]> {
    const most = this.#elementsMax;
    let group: Entry[] = [];
    let elements = 0;
    for (const entry of entries) {
      const present = this.#options.core.ownedElements(entry.owner, most);
      const estimate = Math.max(present, estimateElements(entry));
      if (group.length > 0 && elements + estimate > most) {
        yield group;
        group = [];
        elements = 0;
      }
      group.push(entry);
      elements += estimate;
    }
    if (group.length > 0) yield group;
  }

  #programGroup(group: readonly Entry[], context: PlanContext, outcome: Outcome): void {
    if (group.length === 0) return;
    const receipt = this.#attempt(group, context, outcome);
    if (receipt.ok) {
      for (const { owner } of group) outcome.programmed.push(owner);
      return;
    }
    if (receipt.transient || receipt.drifted) {
      outcome.transient = receipt.error;
      outcome.drifted = receipt.drifted ?? false;
      return;
    }
    const culprit = group.length === 1 ? group[0]?.owner : receipt.owner;
    if (culprit !== undefined && group.some(({ owner }) => owner === culprit)) {
      outcome.refused.push({ owner: culprit, error: receipt.error });
      this.#programGroup(
        group.filter(({ owner }) => owner !== culprit),
        context,
        outcome,
      );
      return;
    }
    // The kernel named nobody: halve the group until it does or one owner is left.
    const middle = group.length >> 1;
    this.#programGroup(group.slice(0, middle), context, outcome);
    if (outcome.transient === undefined) {
      this.#programGroup(group.slice(middle), context, outcome);
    }
  }

  #attempt(group: readonly Entry[], context: PlanContext, outcome: Outcome): Receipt {
    const { core, backend } = this.#options;
    const writer = this.#writer;
    writer.reset();
    for (const { owner, service, choices } of group) {
      if (owner === OWNER_NODE) planNode(context, writer);
      else if (service !== undefined) planService(service, choices, context, writer);
    }
    const operations = core.diff(
      writer.bytes,
      group.map(({ owner }) => owner),
    );
    if (operations.count === 0) {
      core.commit();
      return { ok: true, bytes: 0, kernelMs: 0 };
    }
    const count = operations.count;
    const forgetful = this.#forgets(group, operations);
    const udpFrontends = new Set<FrontendText>();
    collectUdpFrontends(operations.region, udpFrontends);
    const receipt = backend.apply(operations, (owner) => core.serviceKey(owner as ServiceId));
    if (receipt.ok) {
      core.commit();
      outcome.operations += count;
      outcome.bytes += receipt.bytes;
      outcome.kernelMs += receipt.kernelMs;
      outcome.transactions += 1;
      outcome.forgetful ||= forgetful;
      for (const frontend of udpFrontends) outcome.udpFrontends.add(frontend);
    }
    return receipt;
  }

  /** Does a frontend with affinity change, or lose its affinity? */
  #forgets(group: readonly Entry[], operations: OperationList): boolean {
    const { core } = this.#options;
    if (group.some(({ service }) => (service?.affinitySeconds ?? 0) > 0)) return true;
    if (LEARN_TABLES.every((table) => core.elementCount(table) === 0)) return false;
    for (const { table } of operations) if (LEARN_TABLES.includes(table)) return true;
    return false;
  }
}

const LEARN_TABLES = TABLE_IDS.filter((id) => tableKind(id).name.endsWith("learn"));

/** Ids of Services are below OWNER_ADOPTED and above OWNER_NODE. */
function isService(owner: number): owner is ServiceId {
  return owner > OWNER_NODE && owner < OWNER_ADOPTED;
}

function estimateElements({ service, choices }: Entry): number {
  if (service === undefined) return 1;
  // clusterIP and node port, each external address once more.
  const frontends = 2 + service.externalIPs.length + service.vips.length;
  let endpoints = 1;
  for (const { cluster, local } of choices) endpoints += cluster.count + local.count;
  return frontends * endpoints;
}
