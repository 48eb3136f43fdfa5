/**
 * Detects that the demo must end early: by a signal, because the terminal was closed, or because
 * its starter is gone.
 */
import { readFileSync } from "node:fs";

export interface Interruption {
  readonly by: string;
  readonly exitCode: number;
}

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
const SIGNAL_EXIT = 128;
const LOOK_MS = 200;

/** Handles the signals from now on. Settles at the first interruption, and never without one. */
export function interruption(): Promise<Interruption> {
  return new Promise((resolve) => {
    for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => resolve({ by: signal, exitCode: SIGNAL_EXIT + SIGNALS[signal] }));
    }
    const exitCode = SIGNAL_EXIT + SIGNALS.SIGHUP;
    process.stdout.on("error", () => resolve({ by: "its output is closed", exitCode }));
    const starters = ancestors();
    const look = () => {
      const orphaned = starters.some(([child, parent]) => parentOf(child) !== parent);
      if (orphaned) resolve({ by: "its starter is gone", exitCode });
    };
    look();
    setInterval(look, LOOK_MS).unref();
  });
}

/**
 * Returns pairs of child and parent processes, up to the starter of the demo. run.sh passes its own
 * parent, which may exit during installation and build.
 */
function ancestors(): (readonly [child: number, parent: number])[] {
  const { SLUICE_DEMO_STARTER, npm_lifecycle_event } = process.env;
  const starter = Number(SLUICE_DEMO_STARTER ?? process.ppid);
  const links = [[process.pid, starter] as const];
  // npm runs a script in a shell, which survives when npm is killed.
  if (npm_lifecycle_event !== undefined && textOf(`/proc/${starter}/comm`).trim().endsWith("sh")) {
    links.push([starter, parentOf(starter)]);
  }
  return links;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // The process has exited.
  }
}
