import { describe, expect, test } from "bun:test";
import type { Instrument } from "../../src/observe/instruments.ts";
import { type ProcessFiles, processInstruments } from "../../src/observe/process-metrics.ts";

const TEXTS: { readonly [name: string]: string } = {
  status: "Name:\tsluice\nVmSize:\t   70000 kB\nVmRSS:\t   45000 kB\n",
  limits: `Limit                     Soft Limit           Hard Limit           Units
Max open files            20000                30000                files
Max address space         unlimited            unlimited            bytes
`,
  "net/netstat":
    "TcpExt: A B\nTcpExt: 1 2\nIpExt: X InOctets OutOctets\nIpExt: 0 1642126 3521345\n",
};
const FILES: ProcessFiles = {
  text: (name) => TEXTS[name] ?? "",
  list: () => ["0", "1", "2", "3"],
};

function valuesOf(instruments: readonly Instrument[]): { [name: string]: number | undefined } {
  return Object.fromEntries(
    instruments.map((each) => [each.name.replace("process_", ""), each.samples()[0]?.value]),
  );
}

describe("the process metrics", () => {
  test("have the kernel's values", () => {
    expect(valuesOf(processInstruments(1_700_000_000_500, FILES))).toMatchObject({
      open_fds: 3,
      max_fds: 20_000,
      virtual_memory_bytes: 71_680_000,
      virtual_memory_max_bytes: 2 ** 64,
      resident_memory_bytes: 46_080_000,
      network_receive_bytes_total: 1_642_126,
      network_transmit_bytes_total: 3_521_345,
      start_time_seconds: 1_700_000_000.5,
    });
  });

  test("all have a value on a real /proc", () => {
    for (const [name, value] of Object.entries(valuesOf(processInstruments(1)))) {
      expect([name, value]).toEqual([name, expect.any(Number)]);
      expect(Number(value)).toBeGreaterThan(0);
    }
  });

  test("keep their names if a value cannot be read", () => {
    const closed = () => {
      throw new Error("EACCES");
    };
    const shown = valuesOf(processInstruments(1, { text: closed, list: closed }));
    expect(shown).toMatchObject({ open_fds: undefined, resident_memory_bytes: undefined });
    expect(shown["cpu_seconds_total"]).toBeGreaterThan(0);
    const strange = valuesOf(processInstruments(1, { text: () => "?", list: () => [] }));
    expect(Object.keys(strange)).toEqual(Object.keys(valuesOf(processInstruments(1, FILES))));
    expect(strange["resident_memory_bytes"]).toBeUndefined();
  });
});
