/** Runs a credential plugin, and exits when it has created a file: `run-plugin.ts PLUGIN FILE`. */
import { existsSync } from "node:fs";
import { until } from "../../../harness/waiting.ts";
import { runPlugin } from "../../../src/api-client/run-plugin.ts";

const [, , command = "", file = ""] = process.argv;
const config = {
  command,
  args: [],
  env: [],
  apiVersion: "",
  provideClusterInfo: false,
  interactive: false,
  installHint: "",
};
void runPlugin(config, "", process.env);
await until("the plugin runs", () => existsSync(file));
process.exit();
