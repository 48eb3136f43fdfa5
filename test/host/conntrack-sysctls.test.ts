import { describe, expect, test } from "bun:test";
import type { ConntrackSettings } from "../../src/config/config.ts";
import {
  CONNTRACK_SYSCTLS,
  type ConntrackSysctl,
  type ConntrackValues,
  needsChange,
  requiredConntrackMax,
  wantedSysctls,
} from "../../src/host/conntrack-sysctls.ts";

const NOTHING: ConntrackSettings = {
  maxPerCore: 0,
  min: 0,
  tcpBeLiberal: false,
  tcpEstablishedMs: 0,
  tcpCloseWaitMs: 0,
  udpMs: 0,
  udpStreamMs: 0,
};
/** kube-proxy's defaults. */
const DEFAULTS: ConntrackSettings = {
  ...NOTHING,
  maxPerCore: 32_768,
  min: 131_072,
  tcpEstablishedMs: 86_400_000,
  tcpCloseWaitMs: 3_600_000,
};

test.each([
  ["few processors get the minimum", 32_768, 131_072, 2, 131_072],
  ["many processors get as much for each", 32_768, 131_072, 16, 524_288],
  ["a great many stop at 1048576", 32_768, 131_072, 96, 1_048_576],
  ["and so does a minimum that is larger", 32_768, 2_000_000, 96, 1_048_576],
  ["a large minimum alone does not", 32_768, 2_000_000, 2, 2_000_000],
  ["exactly 1048576 for the processors leaves the minimum in force", 1024, 2_000_000, 1024, 2e6],
  ["nothing for each leaves the kernel alone, whatever the minimum", 0, 131_072, 16, 0],
])("%s", (_name, maxPerCore, min, cpus, entries) => {
  expect(requiredConntrackMax({ ...NOTHING, maxPerCore, min }, cpus)).toBe(entries);
});

/** The values of a fresh kernel on a machine with 4 GB or more. */
const KERNEL: ConntrackValues = {
  nf_conntrack_max: 262_144,
  nf_conntrack_buckets: 262_144,
  nf_conntrack_tcp_timeout_established: 432_000,
  nf_conntrack_tcp_timeout_close_wait: 60,
  nf_conntrack_tcp_be_liberal: 0,
  nf_conntrack_udp_timeout: 30,
  nf_conntrack_udp_timeout_stream: 120,
};

describe("Sluice writes", () => {
  type Values = Partial<{ [name in ConntrackSysctl]: number | undefined }>;
  const ESTABLISHED = { nf_conntrack_tcp_timeout_established: 86_400 };
  const DEFAULT_TIMEOUTS = { ...ESTABLISHED, nf_conntrack_tcp_timeout_close_wait: 3600 };

  test.each<[string, Partial<ConntrackSettings>, number, Values, Values]>([
    ["by default, the two timeouts, and no lower maximum", DEFAULTS, 2, {}, DEFAULT_TIMEOUTS],
    ["nothing where all is as wanted", DEFAULTS, 2, DEFAULT_TIMEOUTS, {}],
    ["a higher maximum", DEFAULTS, 32, DEFAULT_TIMEOUTS, { nf_conntrack_max: 1_048_576 }],
    [
      "a higher maximum, and a quarter as many buckets where there are fewer",
      DEFAULTS,
      32,
      { ...DEFAULT_TIMEOUTS, nf_conntrack_buckets: 65_536 },
      { nf_conntrack_max: 1_048_576, nf_conntrack_buckets: 262_144 },
    ],
    [
      "buckets for a maximum that is there already",
      DEFAULTS,
      2,
      { ...DEFAULT_TIMEOUTS, nf_conntrack_buckets: 32_767 },
      { nf_conntrack_buckets: 32_768 },
    ],
    [
      "no maximum over one that is not bounded",
      DEFAULTS,
      32,
      { ...DEFAULT_TIMEOUTS, nf_conntrack_max: 0 },
      {},
    ],
    [
      "timeouts down as well as up",
      { tcpCloseWaitMs: 10_000 },
      2,
      {},
      { nf_conntrack_tcp_timeout_close_wait: 10 },
    ],
    ["at least a second", { udpMs: 1 }, 2, {}, { nf_conntrack_udp_timeout: 1 }],
    [
      "timeouts of UDP where they are given",
      { udpMs: 10_000, udpStreamMs: 20_500 },
      2,
      {},
      { nf_conntrack_udp_timeout: 10, nf_conntrack_udp_timeout_stream: 20 },
    ],
    ["a liberal view of TCP", { tcpBeLiberal: true }, 2, {}, { nf_conntrack_tcp_be_liberal: 1 }],
    ["never a strict one", {}, 2, { nf_conntrack_tcp_be_liberal: 1 }, {}],
    [
      "a value that the kernel does not print",
      { udpMs: 1000 },
      2,
      { nf_conntrack_udp_timeout: undefined },
      { nf_conntrack_udp_timeout: 1 },
    ],
  ])("%s", (_name, settings, cpus, current, written) => {
    const now = { ...KERNEL, ...current };
    const writes = wantedSysctls({ ...NOTHING, ...settings }, cpus).filter((one) =>
      needsChange(one, now),
    );
    expect<unknown>(Object.fromEntries(writes.map(({ name, value }) => [name, value]))).toEqual(
      written,
    );
  });

  test("the maximum comes before the buckets", () => {
    const names = wantedSysctls(
      { ...DEFAULTS, tcpBeLiberal: true, udpMs: 1000, udpStreamMs: 1000 },
      2,
    ).map(({ name }) => name);
    expect(names).toEqual([...CONNTRACK_SYSCTLS]);
  });
});
