/** Reads from the kernel which clients session affinity remembers. */
import { readFileSync } from "node:fs";
import { addressOf } from "../../harness/netns/addresses.ts";
import { type Backend, type Variant, variantOf } from "../../harness/netns/backends.ts";
import type { Target } from "../../harness/netns/connections.ts";
import { frontend } from "../../harness/netns/frontends.ts";
import { ruleset } from "../../harness/netns/program.ts";
import type { World } from "../../harness/netns/world.ts";
import { type ActionCode, decodeAction } from "../../src/model/actions.ts";
import { chainOf, natRules } from "./saved-chains.ts";

/**
 * Seconds for which a client of a clusterIP's port 80 is still remembered; undefined if it is not.
 */
export function remembered(
  world: World,
  backend: Backend,
  target: Target,
): Promise<number | undefined> {
  const variant = variantOf(backend);
  return variant === undefined ? byTimeout(world, target) : byRecent(world, variant, target);
}

async function byTimeout(world: World, target: Target): Promise<number | undefined> {
  const { address } = frontend(target.to, target.number, target.family);
  const source = addressOf(target.from, target.family);
  const text = await ruleset(world);
  const key = `${literal(address)} \\. tcp \\. (?:80|http)`;
  const learn = new RegExp(`${key} comment "[^"]*" : ([0-9a-f]+):([0-9a-f]+)`, "g");
  for (const [, major = "", minor = ""] of text.matchAll(learn)) {
    const action = decodeAction(
      (Number.parseInt(major, 16) * 0x10000 + Number.parseInt(minor, 16)) as ActionCode,
    );
    if (action.verb !== "learn") continue;
    const [, clients] =
      new RegExp(`map affinity${target.family}-${action.map} \\{([^}]*)\\}`).exec(text) ?? [];
    const client = new RegExp(`${literal(source)} [^,]*?expires ((?:\\d+(?:ms|[dhms]))+)`);
    const found = client.exec(clients ?? "");
    return found?.[1] === undefined ? undefined : seconds(found[1]);
  }
  return undefined;
}

/**
 * xt_recent keeps the time when it last saw a client. It removes old entries at the next lookup.
 */
async function byRecent(
  world: World,
  variant: Variant,
  target: Target,
): Promise<number | undefined> {
  const { address, port } = frontend(target.to, target.number, target.family);
  const rules = await natRules(world, variant, target.family);
  const chain = chainOf(rules, "tcp", port, address) ?? "";
  const source = longForm(addressOf(target.from, target.family));
  let left: number | undefined;
  for (const rule of rules.get(chain) ?? []) {
    const [, timeout, list] = /--rcheck --seconds (\d+) .*--name (\S+)/.exec(rule) ?? [];
    if (timeout === undefined) continue;
    const lines = await world.run("node1", ["cat", `/proc/net/xt_recent/${list}`]);
    const seen = new RegExp(`^src=${literal(source)} .*last_seen: (\\d+)`, "m").exec(lines)?.[1];
    if (seen === undefined) continue;
    const rest = Number(timeout) - (jiffies() - Number(seen)) / ticksPerSecond();
    if (rest > 0) left = Math.max(left ?? 0, rest);
  }
  return left;
}

function jiffies(): number {
  return Number(/^jiffies: (\d+)/m.exec(readFileSync("/proc/timer_list", "utf8"))?.[1]);
}

let measured: number | undefined;

/** CONFIG_HZ: the nearest of the possible values. */
function ticksPerSecond(): number {
  if (measured === undefined) {
    const [first, began] = [jiffies(), performance.now()];
    let [now, ended] = [first, began];
    while (now - first < 20) [now, ended] = [jiffies(), performance.now()];
    const rate = ((now - first) * 1000) / (ended - began);
    const distance = (hz: number): number => Math.abs(hz - rate);
    measured = [100, 250, 300, 1000].sort((one, other) => distance(one) - distance(other))[0] ?? 0;
  }
  return measured;
}

/** An IPv6 address with all digits, as xt_recent prints it. */
function longForm(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail = ""] = address.split("::");
  const [before, after] = [head, tail].map((part) => part.split(":").filter(Boolean)) as [
    string[],
    string[],
  ];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].map((part) => part.padStart(4, "0")).join(":");
}

function literal(address: string): string {
  return address.replaceAll(".", "\\.");
}

/** Converts `2h59m59s500ms` to seconds. */
function seconds(text: string): number {
  const units: Record<string, number> = { d: 86_400, h: 3600, m: 60, s: 1, ms: 0.001 };
  let sum = 0;
  for (const [, value, unit = ""] of text.matchAll(/(\d+)(ms|[dhms])/g)) {
    sum += Number(value) * (units[unit] ?? 0);
  }
  return sum;
}
