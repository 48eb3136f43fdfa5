/**
 * Runs the demo: the compiled program on a node made of network namespaces, with the Services in
 * demo/manifests. A line marked `ok` was checked; if a check fails, the exit status is 1.
 */
import { relative } from "node:path";
import { addressOf, type Location } from "../harness/netns/addresses.ts";
import { type Interruption, interruption } from "./interruption.ts";
import { admin } from "./scenes/admin.ts";
import { affinity } from "./scenes/affinity.ts";
import { follow } from "./scenes/follow.ts";
import { reach } from "./scenes/reach.ts";
import { survivesExit } from "./scenes/survives-exit.ts";
import { now, Stage } from "./stage.ts";
import {
  bold,
  check,
  dim,
  duration,
  failed,
  heading,
  muteOutput,
  print,
  quote,
  say,
} from "./terminal.ts";
import { printThingsToTry } from "./things-to-try.ts";
import { GaveUp, withTimeout } from "./wait.ts";

const CLOSE_LIMIT_MS = 20_000;
/** Ctrl-C also ends our children, and their errors may arrive before our own signal. */
const SIGNAL_LAG_MS = 200;

async function main(keep: boolean): Promise<number> {
  const interrupted = interruption();
  print(`${bold("Sluice")}: a kube-proxy, shown on one machine without a cluster.`);
  heading("Two nodes, pods and a client in network namespaces");
  const building = Stage.build();
  let early: Interruption | undefined;
  try {
    early = await Promise.race([show(building), interrupted]);
    if (early === undefined && keep) {
      printThingsToTry(await building);
      await interrupted;
    }
  } catch (error) {
    early = await Promise.race([interrupted, Bun.sleep(SIGNAL_LAG_MS).then(() => undefined)]);
    if (early === undefined) printError(error);
  }
  const printAfterAll = early === undefined ? print : muteOutput();
  try {
    const stage = await building.catch(() => undefined);
    await withTimeout(
      CLOSE_LIMIT_MS,
      "remove the namespaces",
      Promise.resolve(stage?.world.close()),
    );
  } catch (error) {
    printAfterAll(messageOf(error));
    return 1;
  }
  if (early !== undefined) {
    printAfterAll(
      `\nInterrupted (${early.by}). The namespaces and everything in them were removed.`,
    );
    return early.exitCode;
  }
  print("");
  check(failed() === 0, "every check passed; the namespaces and everything in them were removed");
  return failed() === 0 ? 0 : 1;
}

/** Builds the world, starts the program and runs the scenes. */
async function show(building: Promise<Stage>): Promise<undefined> {
  const began = now();
  const stage = await building;
  showWorld();
  say(dim(`built in ${duration(now() - began)}; each pod, node and client has its own network`));

  heading("The program starts on node1");
  say("It reads Services and EndpointSlices from a directory instead of an API server:");
  quote(asLines(stage.command()));
  const { servesAfter } = await stage.start();
  say(`${duration(servesAfter)} after its start, its Services answer over IPv4 and IPv6.`);
  const { anonymous, fileBacked } = stage.memory();
  say(`Memory: ${anonymous.toFixed(0)} MiB anonymous, ${fileBacked.toFixed(0)} MiB file-backed`);
  say("(program text, which it releases when it is idle).");

  for (const scene of [reach, follow, affinity, survivesExit, admin]) await scene(stage);
}

function showWorld(): void {
  const at = (place: Location) => `${place} ${dim(addressOf(place, 4))}`;
  quote(`pods  ${at("a1")}   ${at("a2")}   ${at("a3")}`);
  quote(`        └─ ${at("node1")} ─ ${at("node2")} ─ pods  ${at("b1")}   ${at("b2")}`);
  quote(`             └─ ${at("outside")}   a client outside the cluster`);
}

/** Formats a command line with one option per line. */
function asLines(command: readonly string[]): string {
  return command.map(shorten).join(" ").replaceAll(" --", " \\\n  --");
}

/** Returns a path below the working directory as a relative path. */
function shorten(word: string): string {
  if (!word.startsWith("/")) return word;
  const path = relative(process.cwd(), word);
  return path.startsWith("..") ? word : path;
}

/** Reports the error that ended the demo. Only an unexpected error needs a stack trace. */
function printError(error: unknown): void {
  check(false, "the demo runs to its end:", messageOf(error));
  if (!(error instanceof GaveUp) && error instanceof Error)
    process.stderr.write(`${error.stack}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

process.exit(await main(process.argv.includes("--keep")));
