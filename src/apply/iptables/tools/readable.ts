/** May we, and can the kernel? Told apart by reading: a legacy restore says the same of both. */
import { messageOf, SluiceError } from "../../../errors.ts";
import { isDenied } from "./complaint.ts";
import type { XtTools } from "./tools.ts";

/**
 * Tries whether the table nat is there, as pkg/util/iptables does: Present.
 * @throws SluiceError TOOL_FAILED, PERMISSION_DENIED
 */
export async function requireNat(tools: XtTools): Promise<void> {
  try {
    await tools.list("nat", "POSTROUTING");
  } catch (error) {
    throw isDenied(messageOf(error)) ? deniedError(tools, messageOf(error), error) : error;
  }
}

export function deniedError({ path }: XtTools, words: string, cause?: unknown): SluiceError {
  const rule = "CAP_NET_ADMIN is needed in this network namespace";
  const message = `Cannot program iptables: ${rule}: ${words}`;
  return new SluiceError("PERMISSION_DENIED", message, path, { cause });
}
