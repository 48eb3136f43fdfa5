/** Tests that the observers decode keys and values like the real core, plan and loop. */
import { expect, test } from "bun:test";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { printKey } from "../../harness/plan/print-elements.ts";
import { type SyncWorld, service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import type { CounterReader } from "../../src/backend/parts.ts";
import { keySize, TABLE_IDS, tableLabel } from "../../src/model/tables.ts";
import { ConnectionCounters } from "../../src/observe/connections.ts";
import { describeService } from "../../src/observe/service-view.ts";

/** A kernel with the counters in `packets`, keyed by `table key`. */
function countersOf(
  { core }: SyncWorld,
  packets: { readonly [element: string]: number },
): Pick<CounterReader, "read"> {
  return {
    async read(each) {
      for (const table of TABLE_IDS) {
        const records: number[] = [];
        const values: number[] = [];
        core.eachElement(table, (key, value) => {
          const name = `${tableLabel(table)} ${printKey(table, key)}`;
          const count = new Uint8Array(BigUint64Array.of(BigInt(packets[name] ?? 0)).buffer);
          records.push(...key, ...count);
          values.push(...value);
        });
        each({
          table,
          count: records.length / (keySize(table) + 8),
          keysAndPackets: Uint8Array.from(records),
          values: Uint8Array.from(values),
        });
      }
      return true;
    },
  };
}

async function world(): Promise<SyncWorld> {
  const made = syncWorld();
  const ports = [{ name: "http", protocol: "TCP", port: 80, nodePort: 30080 }];
  made.put("Service", service("web", "10.96.0.1", { type: "NodePort", ports }));
  made.put("EndpointSlice", slice("web-1", "web", ["10.1.0.1"]));
  await made.sync();
  return made;
}

test("connections are counted across an endpoint change, until the Service is deleted", async () => {
  const made = await world();
  const counters = new ConnectionCounters(made.core, 10, unexpectedError);
  const shown = () =>
    counters
      .instruments()
      .filter(({ name }) => !/failed_total$|service_series_omitted$/.test(name))
      .flatMap((instrument) =>
        instrument
          .samples()
          .map(({ labels, value }) => [...Object.values(labels), value].join(" ")),
      );
  await counters.collect(
    countersOf(made, {
      "frontends4 10.96.0.1 tcp 80": 3,
      "nodeports4 tcp 30080": 2,
      "endpoints4 10.96.0.1 tcp 80 slot 0": 3,
      "nodeport-endpoints4 tcp 30080 slot 0": 2,
    }),
  );
  expect(shown()).toEqual(["default web http 5", "default web 10.1.0.1:8080 5", "0"]);

  made.put("EndpointSlice", slice("web-1", "web", ["10.1.0.2"]));
  await made.sync();
  await counters.collect(
    countersOf(made, {
      "frontends4 10.96.0.1 tcp 80": 4,
      "nodeports4 tcp 30080": 2,
      "endpoints4 10.96.0.1 tcp 80 slot 0": 1,
    }),
  );
  expect(shown()).toEqual(["default web http 6", "default web 10.1.0.2:8080 1", "0"]);

  made.remove("Service", service("web", "10.96.0.1"));
  await made.sync();
  await counters.collect(countersOf(made, {}));
  expect(shown()).toEqual(["0"]);
});

test("a Service is described as committed", async () => {
  const made = await world();
  const frontend = {
    protocol: "TCP",
    family: 4,
    endpoints: ["10.1.0.1:8080"],
    localEndpoints: [],
  } as const;
  expect(describeService(made.core, "default", "web", [], made.backend)).toEqual({
    namespace: "default",
    name: "web",
    exists: true,
    type: "NodePort",
    problems: [],
    frontends: [
      {
        ...frontend,
        frontend: "10.96.0.1:80",
        nodePort: false,
        actions: { frontends: "pick endpoints 1" },
      },
      {
        ...frontend,
        frontend: "30080",
        nodePort: true,
        actions: { nodeports: "pick nodeport-endpoints 1 masquerade" },
      },
    ],
  });
});
