/** Runs tables of traffic: which endpoint answers, and which source address it sees. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  addressOf,
  externalIp,
  FAMILIES,
  type Family,
  type Location,
  NODE1_SECOND,
  OUTSIDE_SECOND,
  vip,
} from "../../harness/netns/addresses.ts";
import { BACKENDS, type Backend } from "../../harness/netns/backends.ts";
import { type Frontend, frontend } from "../../harness/netns/frontends.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import type { Reply, Transport } from "../../harness/netns/switchboard/switchboard-client.ts";
import { World, type WorldOptions } from "../../harness/netns/world.ts";
import {
  type EndpointPlace,
  type EndpointSpec,
  type Manifest,
  type ServiceSpec,
  service,
  slices,
} from "../../harness/netns/world-objects.ts";
import { EXCEPTIONS, type Exception, excepted } from "./exceptions.ts";

/** All endpoints that answer, as `a1` or `a1:8081`; or the outcome of the connection. */
export type Expected = readonly string[] | "refused" | "timeout";

/** `client`: the endpoint sees the client's address. `node`: it sees the node's. */
export type SourceSeen = "client" | "node";

export interface CheckOptions {
  readonly port?: number;
  readonly transport?: Transport;
  /** The source address: the second one of the outside, or the Service's own VIP. */
  readonly source?: "second" | "vip";
  /** Only in this family. */
  readonly family?: Family;
  /** The expected result for backends of this exception. */
  readonly but?: readonly [Exception, Expected];
}

export type Check = readonly [
  from: Location,
  to: Frontend,
  expected: Expected,
  sees?: SourceSeen | undefined,
  options?: CheckOptions | undefined,
];

export interface Scenario {
  /** Describes the Service. */
  readonly name: string;
  readonly service?: Omit<ServiceSpec, "name" | "number">;
  /** Endpoints on the Service's default port; or the slices themselves. */
  readonly endpoints?: readonly (EndpointPlace | EndpointSpec)[];
  readonly slices?: (name: string) => readonly Manifest[];
  readonly externalIPs?: boolean;
  /** Prepares the world before the program starts. */
  readonly prepare?: (world: World, number: number) => Promise<void>;
  readonly checks: readonly Check[];
}

export interface Group {
  readonly name: string;
  readonly flags?: readonly string[];
  readonly world?: WorldOptions;
  /** All by default. */
  readonly backends?: readonly Backend[];
  readonly scenarios: readonly Scenario[];
}

const ANSWER_PATIENCE_MS = 3000;
const CHECK_TIMEOUT_MS = 30_000;
/** Answers arrive within a millisecond. */
const SILENCE_PATIENCE_MS = 250;
/** With three endpoints, the probability to miss one is 3 * (2/3)^80. */
const MANY = 80;
const FEW = 4;
const MAX_AT_ONCE = 300;
const SETUP_TIMEOUT_MS = 60_000;

/** Defines the tests of a group for each backend. All its Services share one world. */
export function describeGroup(group: Group): void {
  for (const backend of group.backends ?? BACKENDS) {
    describe(`${group.name} (${backend})`, () => describeOn(backend, group));
  }
}

function describeOn(backend: Backend, group: Group): void {
  let world: World;

  beforeAll(async () => {
    world = await World.build(group.world);
    const program = new SluiceProcess(world, { backend });
    for (const [index, scenario] of group.scenarios.entries()) {
      program.put(objectsOf(scenario, index + 1));
      await scenario.prepare?.(world, index + 1);
    }
    await program.start(group.flags ?? DEFAULT_FLAGS);
  }, SETUP_TIMEOUT_MS);

  afterAll(() => world.close());

  for (const [index, scenario] of group.scenarios.entries()) {
    describe(scenario.name, () => {
      for (const { check, because } of scenario.checks.map((each) => checkOn(backend, each))) {
        for (const family of FAMILIES) {
          if (family !== (check[4]?.family ?? family)) continue;
          test.concurrent(
            `${sentenceOf(check, family)}${because}`,
            () => verify(world, check, index + 1, family),
            CHECK_TIMEOUT_MS,
          );
        }
      }
    });
  }
}

/** The check for a backend, and after a colon the reason for an exception. */
function checkOn(backend: Backend, check: Check): { check: Check; because: string } {
  const [from, to, , sees, options] = check;
  const [exception, expected] = options?.but ?? [];
  if (exception === undefined || expected === undefined || !excepted(backend, exception)) {
    return { check, because: "" };
  }
  const { why } = EXCEPTIONS[exception];
  return { check: [from, to, expected, sees, options], because: `: ${why}` };
}

function objectsOf(scenario: Scenario, number: number): Manifest[] {
  const name = `s${number}`;
  const externalIPs = FAMILIES.map((family) => externalIp(number, family));
  const own = scenario.service ?? {};
  const spec = { ...own, name, number, ...(scenario.externalIPs ? { externalIPs } : {}) };
  const ports = own.ports === undefined ? {} : { ports: own.ports };
  return [
    service(spec),
    ...(scenario.slices?.(name) ?? slices(name, scenario.endpoints ?? [], ports)),
  ];
}

function sentenceOf([from, to, expected, sees, options = {}]: Check, family: Family): string {
  const { transport = "tcp", port, source } = options;
  const who = source === undefined ? from : `${from} with its ${source} address`;
  const what = `${port === undefined ? "" : `, port ${port}`}${transport === "udp" ? ", UDP" : ""}`;
  const result = typeof expected === "string" ? expected : `reaches ${expected.join(", ")}`;
  return `${who} to the ${to}${what}: ${result}${sees === undefined ? "" : `, seen as the ${sees}`} (IPv${family})`;
}

async function verify(world: World, check: Check, number: number, family: Family): Promise<void> {
  const [from, , expected, sees] = check;
  const times = typeof expected !== "string" && expected.length > 1 ? MANY : FEW;
  const replies = await ask(world, check, number, family, times);
  if (typeof expected === "string") {
    expect(new Set(replies.map((reply) => reply.outcome))).toEqual(new Set([expected]));
    return;
  }
  const withPort = expected.some((each) => each.includes(":"));
  const names = replies.map((reply) =>
    reply.outcome !== "answered"
      ? reply.outcome
      : withPort
        ? `${reply.name}:${reply.port}`
        : reply.name,
  );
  expect([...new Set(names)].sort()).toEqual([...expected].sort());
  if (sees === undefined) return;
  const clients = [sourceOf(check, number, family) ?? addressOf(from, family)];
  const nodes = [addressOf("node1", family), NODE1_SECOND[family]];
  for (const { name, saw: seen } of replies) {
    // A pod that reaches itself sees the node; otherwise it would answer itself directly.
    expect(sees === "node" || name === from ? nodes : clients).toContain(seen);
  }
}

/** Open connections of all tests together. Limited, because a server's backlog is. */
let underWay = 0;

async function ask(
  world: World,
  check: Check,
  number: number,
  family: Family,
  times: number,
): Promise<Reply[]> {
  const [from, to, expected, , options = {}] = check;
  const { address, port } = frontend(to, number, family, options.port);
  const source = sourceOf(check, number, family);
  while (underWay + times > MAX_AT_ONCE) await Bun.sleep(1);
  underWay += times;
  try {
    return await Promise.all(
      Array.from({ length: times }, () =>
        world.connect(from, address, port, {
          transport: options.transport ?? "tcp",
          timeoutMs: expected === "timeout" ? SILENCE_PATIENCE_MS : ANSWER_PATIENCE_MS,
          ...(source === undefined ? {} : { source }),
        }),
      ),
    );
  } finally {
    underWay -= times;
  }
}

function sourceOf(check: Check, number: number, family: Family): string | undefined {
  const source = check[4]?.source;
  if (source === undefined) return undefined;
  return source === "vip" ? vip(number, family) : OUTSIDE_SECOND[family];
}
