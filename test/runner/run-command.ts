/** Runs a command of a stage. */
import { ROOT } from "../../harness/repository.ts";
import type { Command } from "./stages.ts";

/** Prints the command, passes its output through, and returns whether it succeeded. */
export async function runCommand({ name, command }: Command): Promise<boolean> {
  console.log(`${name}: ${command.map((word) => word.replace(`${ROOT}/`, "")).join(" ")}`);
  const child = Bun.spawn([...command], { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  return (await child.exited) === 0;
}
