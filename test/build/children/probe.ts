/** A small program, built as Sluice is. It asks the server of a kubeconfig for its version. */
import { KubeConfig, VersionApi } from "@kubernetes/client-node";

class ProbeError extends Error {}

async function probe(path: string): Promise<string> {
  const config = new KubeConfig();
  config.loadFromFile(path);
  await config.makeApiClient(VersionApi).getCode();
  return "answered";
}

function causeOf(error: unknown): string {
  return error instanceof Error ? `${error.message} ${causeOf(error.cause)}` : "";
}

async function main(path: string | undefined): Promise<unknown> {
  if (path === undefined) {
    return { version: SLUICE_VERSION, dotenv: process.env["PROBE_DOTENV"], name: ProbeError.name };
  }
  return probe(path).catch(causeOf);
}

declare const SLUICE_VERSION: string;

main(process.argv[2]).then((outcome) => console.log(JSON.stringify(outcome)));
