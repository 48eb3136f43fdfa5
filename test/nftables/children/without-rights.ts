/** Runs without CAP_NET_ADMIN. Prints code and message of the backend's error. */

import { rememberingCore } from "../../../harness/core/made-operations.ts";
import { SluiceError } from "../../../src/base/errors.ts";
import { createNftablesBackend } from "../../../src/nftables/nftables-backend.ts";

const backend = createNftablesBackend({
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: true,
  detector: { kind: "cidr" },
});
const start = () => backend.start(rememberingCore().core);
for (const attempt of [() => backend.probe(), start]) {
  try {
    attempt();
    console.log("nothing was thrown");
  } catch (error) {
    console.log(error instanceof SluiceError ? `${error.code}: ${error.message}` : String(error));
  }
}
