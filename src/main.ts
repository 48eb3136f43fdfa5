/** Parses the arguments and starts the requested command. All decisions are made in other files. */
import { readFile, writeFile } from "node:fs/promises";
import { withCode } from "./base/errors.ts";
import { parseArguments, versionText } from "./config/command-line.ts";
import { printUsage } from "./config/usage.ts";

/** Set by build.ts; undefined when run from source. */
declare const SLUICE_VERSION: string | undefined;
const VERSION = typeof SLUICE_VERSION === "string" ? SLUICE_VERSION : "from source";

async function main(): Promise<void> {
  const command = parseArguments(process.argv.slice(2));
  switch (command.kind) {
    case "help":
      process.stdout.write(printUsage());
      return;
    case "version":
      process.stdout.write(versionText(VERSION, command.raw));
      return;
    case "write-config": {
      const { writeConfig } = await import("./config/write-config.ts");
      const text = await writeConfig(command.file, command.flags, {
        read: (path) => readFile(path, "utf8"),
        write: (path, content) => writeFile(path, content),
      });
      process.stdout.write(text);
      return;
    }
    case "cleanup": {
      const { runCleanup } = await import("./daemon/cleanup.ts");
      const { lines, errors } = await runCleanup(command.keepKubeProxy);
      for (const line of lines) process.stdout.write(`${line}\n`);
      for (const line of errors) process.stderr.write(`sluice: ${line}\n`);
      if (errors.length > 0) process.exitCode = 1;
      return;
    }
    case "init":
      return (await import("./daemon/daemon.ts")).initialize(command.flags, VERSION);
    case "run":
      return (await import("./daemon/daemon.ts")).serve(command.flags, VERSION);
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`sluice: ${withCode(error)}\n`);
  process.exit(1);
});
