/** Runs the commands of the stage `check`, for `npm run check`. */
import { runCommand } from "./run-command.ts";
import { STAGES } from "./stages.ts";

const failed: string[] = [];
for (const command of STAGES.find(({ name }) => name === "check")?.commands ?? []) {
  if (!(await runCommand(command))) failed.push(command.name);
}
for (const name of failed) console.log(`failed: ${name}`);
process.exitCode = failed.length === 0 ? 0 : 1;
