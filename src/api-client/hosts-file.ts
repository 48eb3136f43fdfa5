/** Looks up names that end in a dot in the hosts file, where the C library does not find them. */
import { readFileSync } from "node:fs";

/**
 * Returns the host to connect to. As in Go, the first address in the hosts file replaces a name
 * that ends in a dot. Other hosts are returned unchanged.
 */
export function resolveRootedName(host: string, hostsFile = "/etc/hosts"): string {
  if (!host.endsWith(".")) return host;
  const name = host.slice(0, -1).toLowerCase();
  for (const line of readHosts(hostsFile).split("\n")) {
    const [address, ...names] = line.replace(/#.*/, "").trim().toLowerCase().split(/\s+/);
    if (address && names.some((each) => each.replace(/\.$/, "") === name)) return address;
  }
  return host;
}

function readHosts(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
