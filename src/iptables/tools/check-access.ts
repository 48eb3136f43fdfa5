/**
 * Checks that the kernel has the table nat and that this process may use it.
 * iptables-legacy-restore prints the same error in both cases, so reading the table distinguishes
 * them.
 */
import { readFileSync } from "node:fs";
import { messageOf, SluiceError } from "../../base/errors.ts";
import { LegacyInfo } from "./legacy-info.ts";
import { isDenied } from "./restore-errors.ts";
import type { IptablesTools } from "./tools.ts";

/**
 * Lists a chain of the table nat, as Present in kubernetes pkg/util/iptables does.
 * @throws SluiceError TOOL_FAILED, PERMISSION_DENIED
 */
export async function requireNat(tools: IptablesTools): Promise<void> {
  try {
    await tools.list(isNatInUse(tools) ? "filter" : "nat", "POSTROUTING");
  } catch (error) {
    throw isDenied(messageOf(error)) ? deniedError(tools, messageOf(error), error) : error;
  }
}

/**
 * Reports whether the legacy table nat is in use. If so, the kernel supports it, and only
 * permission remains to be checked. A smaller table suffices for that, because the tool reads a
 * legacy table as a whole.
 */
function isNatInUse({ variant, family }: IptablesTools): boolean {
  if (variant === "nft") return false;
  const info = new LegacyInfo(family);
  try {
    return info.names().includes("nat");
  } finally {
    info.close();
  }
}

/** The error for a tool that was denied. It names the missing capabilities. */
export function deniedError(
  { path, variant }: Pick<IptablesTools, "path" | "variant">,
  words: string,
  cause?: unknown,
): SluiceError {
  const needed =
    variant === "legacy"
      ? (["CAP_NET_ADMIN", "CAP_NET_RAW"] as const)
      : (["CAP_NET_ADMIN"] as const);
  const missing = needed.filter((one) => !hasCapability(one));
  // With both capabilities, the network namespace belongs to another user namespace, or a security
  // module denies access.
  const named = (missing.length > 0 ? missing : needed).join(" and ");
  const who = variant === "legacy" ? "iptables-legacy" : "Sluice";
  const message = `${words} (${who} needs ${named} in this network namespace)`;
  return new SluiceError("PERMISSION_DENIED", message, path, { cause });
}

/** linux/capability.h */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n } as const;

/** Also true if /proc/self/status cannot be read. */
function hasCapability(name: keyof typeof CAPABILITIES): boolean {
  try {
    const [, digits] =
      /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    return digits === undefined || ((BigInt(`0x${digits}`) >> CAPABILITIES[name]) & 1n) === 1n;
  } catch {
    return true;
  }
}
