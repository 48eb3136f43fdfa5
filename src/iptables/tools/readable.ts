/** May we, and can the kernel? Told apart by reading: a legacy restore says the same of both. */
import { readFileSync } from "node:fs";
import { messageOf, SluiceError } from "../../base/errors.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { isDenied } from "./restore-errors.ts";
import type { XtTools } from "./tools.ts";

/**
 * Tries whether the table nat is there, as pkg/util/iptables does: Present.
 * @throws SluiceError TOOL_FAILED, PERMISSION_DENIED
 */
export async function requireNat(tools: XtTools): Promise<void> {
  try {
    await tools.list(isNatInUse(tools) ? "filter" : "nat", "POSTROUTING");
  } catch (error) {
    throw isDenied(messageOf(error)) ? deniedError(tools, messageOf(error), error) : error;
  }
}

/** Then the kernel has it, and only whether we may is to be seen: by a smaller table, since legacy ones are read as a whole. */
function isNatInUse({ variant, family }: XtTools): boolean {
  if (variant === "nft") return false;
  const info = new LegacyInfo(family);
  try {
    return info.names().includes("nat");
  } finally {
    info.close();
  }
}

export function deniedError(
  { path, variant }: Pick<XtTools, "path" | "variant">,
  words: string,
  cause?: unknown,
): SluiceError {
  const needed =
    variant === "legacy"
      ? (["CAP_NET_ADMIN", "CAP_NET_RAW"] as const)
      : (["CAP_NET_ADMIN"] as const);
  const lacking = needed.filter((one) => !hasCapability(one));
  // With both it is another namespace's, or a security module is in the way.
  const named = (lacking.length > 0 ? lacking : needed).join(" and ");
  const whose = variant === "legacy" ? " by the legacy tools" : "";
  const rule = `${named} ${named.includes(" and ") ? "are" : "is"} needed${whose} in this network namespace`;
  const message = `Cannot program iptables: ${rule}: ${words}`;
  return new SluiceError("PERMISSION_DENIED", message, path, { cause });
}

/** linux/capability.h */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n } as const;

/** True as well where /proc does not tell. */
function hasCapability(name: keyof typeof CAPABILITIES): boolean {
  try {
    const [, digits] =
      /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    return digits === undefined || ((BigInt(`0x${digits}`) >> CAPABILITIES[name]) & 1n) === 1n;
  } catch {
    return true;
  }
}
