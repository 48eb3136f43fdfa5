/**
 * Does this kernel have the matches and targets that the rules are made of? All are tried in a scratch chain that nothing
 * leads to; only if they are refused, each is tried alone, to name what is missing.
 */
import { SluiceError } from "../../base/errors.ts";
import { RULE_TABLES } from "../syntax/types.ts";
import { isAllLoaded } from "./loaded.ts";
import { type Locked, restoreOnceFree } from "./lock-wait.ts";
import { type Features, SCRATCH, type Trial, trials } from "./probe-trials.ts";
import { deniedError, requireNat } from "./readable.ts";
import { isDenied, lockFileOf } from "./restore-errors.ts";
import type { XtTools } from "./tools.ts";

/**
 * Takes two restores if all is there, and leaves nothing behind; none, where the legacy tables have it all in use. Waits
 * for the xtables lock for as long as it takes.
 * @throws SluiceError KERNEL_UNSUPPORTED naming what is missing; PERMISSION_DENIED; TOOL_FAILED, if it cannot be tried
 */
export async function probeTools(tools: XtTools, locked: Locked = () => {}): Promise<Features> {
  const { family, variant, randomFully } = tools;
  if (variant === "legacy" && isAllLoaded(family)) {
    return { randomFully, comments: true, recent: true, sctp: true };
  }
  const known = trials(family).filter(({ feature }) => feature !== "randomFully" || randomFully);
  try {
    const refused = (await attempt(tools, known, locked)) !== undefined;
    return judge(tools, refused ? await refusedAlone(tools, known, locked) : []);
  } finally {
    // Another restore: the kernel never hears of a chain that comes and goes in the same one.
    await restoreOnceFree(
      tools,
      print((lines) => [...lines, `-X ${SCRATCH}`], []),
      locked,
    );
  }
}

interface Missing {
  readonly trial: Trial;
  readonly words: string;
}

function judge({ variant, family, randomFully }: XtTools, missing: readonly Missing[]): Features {
  const needed = missing.filter(({ trial }) => trial.feature === undefined);
  if (needed.length === 0) {
    const has = (feature: keyof Features) =>
      missing.every(({ trial }) => trial.feature !== feature);
    return {
      randomFully: randomFully && has("randomFully"),
      comments: has("comments"),
      recent: has("recent"),
      sctp: has("sctp"),
    };
  }
  const named = [...new Map(needed.map(({ trial, words }) => [trial.needs, words]))];
  throw new SluiceError(
    "KERNEL_UNSUPPORTED",
    `Cannot program iptables (${variant}, IPv${family}): tools and kernel must support what the rules are made of: ` +
      `missing is ${named.map(([needs, words]) => `${needs}: ${words}`).join("; ")}`,
    named[0]?.[0],
  );
}

async function refusedAlone(
  tools: XtTools,
  known: readonly Trial[],
  locked: Locked,
): Promise<Missing[]> {
  await requireNat(tools);
  const missing: Missing[] = [];
  for (const trial of known) {
    const words = await attempt(tools, [trial], locked);
    if (words !== undefined) missing.push({ trial, words });
  }
  return missing;
}

/** The tool's words if it refuses. @throws SluiceError PERMISSION_DENIED, TOOL_FAILED */
async function attempt(
  tools: XtTools,
  tried: readonly Trial[],
  locked: Locked,
): Promise<string | undefined> {
  const result = await restoreOnceFree(
    tools,
    print((lines) => lines, tried),
    locked,
  );
  if (result.ok) return undefined;
  const { message } = result;
  if (isDenied(message)) throw deniedError(tools, message);
  const file = lockFileOf(message);
  if (file !== undefined) {
    const text = `Cannot take the xtables lock ${file}: its folder must be there, and it must be writable: ${message}`;
    throw new SluiceError("TOOL_FAILED", text, file);
  }
  return message;
}

/** A restore of the scratch chains of the tables that are tried, of all if there are none. */
function print(
  complete: (lines: readonly string[]) => readonly string[],
  tried: readonly Trial[],
): string {
  let text = "";
  for (const table of RULE_TABLES) {
    const ofTable = tried.filter((trial) => trial.table === table);
    if (ofTable.length === 0 && tried.length > 0) continue;
    const rules = ofTable.flatMap(({ rule }) =>
      rule === undefined ? [] : `-A ${SCRATCH} ${rule}`,
    );
    const lines = complete([`:${SCRATCH} - [0:0]`, ...rules]);
    text += `*${table}\n${lines.join("\n")}\nCOMMIT\n`;
  }
  return text;
}
