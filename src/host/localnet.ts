/**
 * net.ipv4.conf.all.route_localnet: without it the kernel drops what is sent from 127.0.0.0/8 to an endpoint, so
 * node ports cannot be served there. With it a neighbour on the network can reach what listens on loopback alone
 * (CVE-2020-8558), unless a rule forbids that, as the chain KUBE-FIREWALL does.
 */
import type { Clock } from "../clock.ts";
import { SYSCTL_LOOK_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { TellProblems } from "../types.ts";
import type { KernelFiles } from "./kernel-files.ts";
import { type Sysctl, setSysctl, subjectOf } from "./sysctl.ts";

const ROUTE_LOCALNET: Sysctl = {
  name: "net.ipv4.conf.all.route_localnet",
  path: "/proc/sys/net/ipv4/conf/all/route_localnet",
  value: 1,
  field: "iptables.localhostNodePorts",
};

export interface LocalnetOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: TellProblems;
  readonly files: KernelFiles;
}

export class LocalnetRouting {
  readonly #options: LocalnetOptions;
  #refused = false;
  #cancelLook = () => {};

  constructor(options: LocalnetOptions) {
    this.#options = options;
  }

  /** Allows it, now or as soon as that can be done. When it is not wanted any more it stays: others may need it. */
  want(wanted: boolean): void {
    const { clock, log, problems, files } = this.#options;
    this.#cancelLook();
    const { name, path, value } = ROUTE_LOCALNET;
    const before = files.number(path);
    const problem =
      wanted && before !== value ? setSysctl(ROUTE_LOCALNET, before, files, log) : undefined;
    const end = { subject: subjectOf(name), code: "SYSCTL_REFUSED" } as const;
    problems([...(this.#refused ? [{ end }] : []), ...(problem ? [{ begin: problem }] : [])]);
    this.#refused = problem !== undefined;
    if (this.#refused) this.#cancelLook = clock.after(SYSCTL_LOOK_MS, () => this.want(true));
  }

  /** Looks no more. */
  stop(): void {
    this.#cancelLook();
  }
}
