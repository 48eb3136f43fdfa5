/**
 * Chooses the backend: the configured one, or with mode auto the best one that this node supports.
 */
import type { Backend } from "../backend/backend.ts";
import type { SkeletonOptions } from "../backend/skeleton-options.ts";
import { type ErrorCode, rethrowDefect, SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { createNftablesBackend } from "../nftables/nftables-backend.ts";
import { skeletonOptions } from "./backend-options.ts";

/** Errors of one backend that need not affect another. */
const CANNOT_HERE: readonly ErrorCode[] = ["KERNEL_UNSUPPORTED", "NETLINK_SOCKET", "TOOL_FAILED"];

/**
 * Returns a backend after it has probed the kernel and the machine. Mode auto tries nftables first.
 * Logs the backend, and why auto uses iptables.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED, NETLINK_SOCKET, TOOL_FAILED
 */
export async function chooseBackend(config: Config, root: Logger): Promise<Backend> {
  const log = root.from("choose-backend.ts");
  const options = skeletonOptions(config, []);
  if (config.mode === "iptables") return await prepareIptables(options, log);
  try {
    const backend = prepareNftables(options);
    log.info("Using nftables", { mode: config.mode });
    return backend;
  } catch (thrown) {
    rethrowDefect(thrown);
    if (!CANNOT_HERE.includes(thrown.code)) throw thrown;
    if (config.mode === "nftables") {
      const message = `${thrown.message} (mode iptables or auto may work on this node)`;
      throw new SluiceError(thrown.code, message, thrown.subject, { cause: thrown });
    }
    log.warn("Using iptables because nftables does not work on this node", {
      code: thrown.code,
      err: thrown.message,
    });
    return await prepareIptables(options, log).catch((second: unknown) => {
      rethrowDefect(second);
      const message = `no usable backend: iptables: ${second.message}; nftables: ${thrown.message}`;
      throw new SluiceError(second.code, message, second.subject, { cause: second });
    });
  }
}

function prepareNftables(options: SkeletonOptions): Backend {
  const backend = createNftablesBackend(options);
  try {
    backend.probe();
    return backend;
  } catch (error) {
    backend.close();
    throw error;
  }
}

async function prepareIptables(options: SkeletonOptions, log: Logger): Promise<Backend> {
  // Loaded on demand, because nodes that use nftables never need it.
  const { createIptablesBackend } = await import("../iptables/iptables-backend.ts");
  const backend = createIptablesBackend(options, { log });
  try {
    await backend.probe();
    for (const fact of backend.findings()) {
      if (backend.capabilities.unsupported.includes(fact)) log.warn(fact);
      else log.info(fact);
    }
    return backend;
  } catch (error) {
    backend.close();
    throw error;
  }
}
