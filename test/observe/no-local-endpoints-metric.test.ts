import { expect, test } from "bun:test";
import type { EndpointSelection } from "../../src/model/choice.ts";
import type { Service, ServiceId } from "../../src/model/service.ts";
import { NoLocalEndpoints } from "../../src/observe/no-local-endpoints-metric.ts";
import { Committed } from "./fake-committed.ts";

const ID = 1 as ServiceId;
const EXTERNAL: Partial<Service> = { externalLocal: true, type: "NodePort" };

function serviceWith(parts: Partial<Service>): Service {
  const committed = new Committed();
  committed.addService({ id: ID, ...parts });
  return committed.readService(ID) as Service;
}

function choice(family: 4 | 6, usable: boolean, local: number): EndpointSelection {
  const cluster = { pointer: 0, count: usable ? 2 : 0 };
  return { portIndex: 0, family, usable, cluster, local: { pointer: 0, count: local } };
}

/** `internal4 external4 internal6 external6`. */
function printed(counter: NoLocalEndpoints): string {
  const counts = counter.counts();
  const of = (policy: string, family: number) =>
    counts.find((count) => count.policy === policy && count.family === family)?.count;
  return [of("internal", 4), of("external", 4), of("internal", 6), of("external", 6)].join(" ");
}

test.each<[string, Partial<Service>, EndpointSelection[], string]>([
  ["no policy", {}, [choice(4, true, 0)], "0 0 0 0"],
  ["internal", { internalLocal: true }, [choice(4, true, 0)], "1 0 0 0"],
  ["external", EXTERNAL, [choice(4, true, 0), choice(6, true, 0)], "0 1 0 1"],
  ["both", { ...EXTERNAL, internalLocal: true }, [choice(6, true, 0)], "0 0 1 1"],
  [
    "an external policy on a Service of another type",
    { externalLocal: true },
    [choice(4, true, 0)],
    "0 0 0 0",
  ],
  ["a local endpoint", { internalLocal: true }, [choice(4, true, 1)], "0 0 0 0"],
  ["no endpoint anywhere", { internalLocal: true }, [choice(4, false, 0)], "0 0 0 0"],
])("%s", (_, parts, choices, wanted) => {
  const counter = new NoLocalEndpoints();
  counter.update(ID, serviceWith(parts), choices);
  expect(printed(counter)).toBe(wanted);
  counter.update(ID, undefined, choices);
  expect(printed(counter)).toBe("0 0 0 0");
});
