/**
 * Sets net.ipv4.conf.all.route_localnet. Without it, the kernel drops packets from 127.0.0.0/8 to
 * an endpoint, so node ports cannot be served on loopback addresses. With it, a neighbor on the
 * network can reach services that listen only on loopback (CVE-2020-8558). A rule must forbid that,
 * as the chain KUBE-FIREWALL does.
 */
import type { Clock } from "../base/clock.ts";
import { SYSCTL_CHECK_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import { type KernelFiles, type Sysctl, setSysctl } from "./kernel-files.ts";

const ROUTE_LOCALNET: Sysctl = {
  name: "net.ipv4.conf.all.route_localnet",
  path: "/proc/sys/net/ipv4/conf/all/route_localnet",
  value: 1,
  field: "iptables.localhostNodePorts",
};

export interface LocalnetOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly problems: ReportProblems;
  readonly files: KernelFiles;
}

export class RouteLocalnet {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #problems: ProblemSet;
  readonly #files: KernelFiles;
  #cancelRetry = () => {};

  constructor({ clock, log, problems, files }: LocalnetOptions) {
    this.#clock = clock;
    this.#log = log.from("localnet.ts");
    this.#problems = new ProblemSet(problems);
    this.#files = files;
  }

  /**
   * Sets it now, or retries until it can be set. If no longer wanted, it stays, because other
   * programs may need it.
   */
  setWanted(wanted: boolean): void {
    this.#cancelRetry();
    const { path, value } = ROUTE_LOCALNET;
    const before = this.#files.number(path);
    const mustSet = wanted && before !== value;
    const problem = mustSet ? setSysctl(ROUTE_LOCALNET, before, this.#files, this.#log) : undefined;
    this.#problems.set(problem ? [problem] : []);
    if (problem) this.#cancelRetry = this.#clock.after(SYSCTL_CHECK_MS, () => this.setWanted(true));
  }

  /** Stops the retries. */
  stop(): void {
    this.#cancelRetry();
  }
}
