/**
 * Runs as a compiled program: sends one request with the given kubeconfig through the real
 * transport. Prints one line of JSON: `{"status":200}`, or the error's `code` and `message`.
 */

import { openAccess } from "../../../src/api-client/open-access.ts";
import { openTransport } from "../../../src/api-client/transport.ts";
import { SluiceError } from "../../../src/base/errors.ts";

function say(result: { readonly [name: string]: unknown }): void {
  console.log(JSON.stringify(result));
  process.exit(0);
}

function fail(thrown: unknown): void {
  if (thrown instanceof SluiceError) say({ code: thrown.code, message: thrown.message });
  else say({ message: String(thrown) });
}

async function probe(kubeconfig: string): Promise<void> {
  const access = await openAccess({ kubeconfig, master: "", environment: {} });
  openTransport(access).get("/api/v1/services", "application/json", {
    onStart: (status) => say({ status }),
    onData() {},
    onEnd() {},
    onError: fail,
  });
}

probe(process.argv[2] ?? "").catch(fail);
