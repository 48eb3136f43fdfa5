import { expect, test } from "bun:test";
import type { ServiceId } from "../../src/model/service.ts";
import { tableId } from "../../src/model/tables.ts";
import { describeService } from "../../src/observe/service-view.ts";
import type { Problem } from "../../src/problems/problem.ts";
import { Committed } from "./fake-committed.ts";

const WEB = 1 as ServiceId;
const OTHER = 2 as ServiceId;
/** A backend without chains that serves both families. */
const DATAPLANE = { capabilities: { unserved: [] }, chains: undefined };

const PROBLEM: Problem = {
  subject: "Service default/web",
  code: "FRONTEND_TAKEN",
  field: "spec.externalIPs[0]",
  message: "taken",
};

function core(): Committed {
  const committed = new Committed();
  committed.addService({ id: WEB, type: "LoadBalancer" });
  committed.addService({ id: OTHER, name: "other" });
  return committed;
}

test("an unknown Service has no view", () => {
  expect(describeService(core(), "default", "absent", [], DATAPLANE)).toBeUndefined();
});

test("a Service has its frontends in order, its endpoints by slot, and its problems", () => {
  const committed = core();
  const slotTable = "endpoints";
  committed.set("frontends", WEB, "10.96.0.1 TCP 443", {
    verb: "recall",
    slotTable,
    snat: "plain",
    count: 1,
  });
  committed.set("learn", WEB, "10.96.0.1 TCP 443", {
    verb: "learn",
    nodePort: false,
    map: 17,
    seconds: 10800,
  });
  committed.set("frontends", WEB, "10.96.0.1 TCP 80", {
    verb: "pick",
    slotTable,
    snat: "plain",
    count: 2,
  });
  committed.set("endpoints", WEB, "10.96.0.1 TCP 80 slot-1", "10.1.0.2 8080");
  committed.set("endpoints", WEB, "10.96.0.1 TCP 80 slot-0", "10.1.0.1 8080");
  committed.set("endpoints", OTHER, "10.96.0.2 TCP 80 slot-0", "10.1.0.9 8080");
  committed.set("cluster-ips", WEB, "10.96.0.1");
  committed.set("restricted", WEB, "1.2.3.4 TCP 80");
  committed.set("allowed-sources", WEB, "1.2.3.4 TCP 80 10.0.0.0 10.255.255.255");
  committed.set("nodeports-outside", WEB, "TCP 30080", { verb: "accept" });
  committed.set("nodeports-no-endpoints", WEB, "TCP 30080", { verb: "drop" });
  committed.set("no-endpoints", WEB, "fd00::1 UDP 53", { verb: "reject" });
  const other = { ...PROBLEM, subject: "Service default/web-2" };

  const view = describeService(committed, "default", "web", [PROBLEM, other], DATAPLANE);

  expect(view?.problems).toEqual([PROBLEM]);
  expect(view).toMatchObject({ exists: true, type: "LoadBalancer" });
  expect(
    view?.frontends.map(({ frontend, protocol, family, actions, endpoints, allowed }) =>
      [frontend, protocol, family, JSON.stringify(actions), endpoints, allowed]
        .filter((word) => word !== undefined)
        .join(" "),
    ),
  ).toEqual([
    "1.2.3.4:80 TCP 4 {}  10.0.0.0/8",
    '10.96.0.1:80 TCP 4 {"frontends":"pick endpoints 2"} 10.1.0.1:8080,10.1.0.2:8080',
    '10.96.0.1:443 TCP 4 {"frontends":"recall endpoints 1","learn":"learn 10800s"} ',
    '[fd00::1]:53 UDP 6 {"no-endpoints":"reject"} ',
    '30080 TCP 4 {"nodeports-outside":"accept","nodeports-no-endpoints":"drop"} ',
  ]);
});

test("local endpoints are listed separately", () => {
  const committed = core();
  committed.set("local-endpoints", WEB, "1.2.3.4 TCP 80 slot-0", "10.1.0.1 8080");
  committed.set("nodeport-local-endpoints", WEB, "TCP 30080 slot-0", "10.1.0.1 8080");
  const view = describeService(committed, "default", "web", [], DATAPLANE);
  expect(
    view?.frontends.map(({ endpoints, localEndpoints }) => [endpoints, localEndpoints]),
  ).toEqual([
    [[], ["10.1.0.1:8080"]],
    [[], ["10.1.0.1:8080"]],
  ]);
});

test("elements of a deleted Service are shown with exists: false", () => {
  const committed = core();
  committed.set("frontends", WEB, "10.96.0.1 TCP 80", { verb: "reject" });
  committed.services.delete(WEB);
  expect(describeService(committed, "default", "web", [], DATAPLANE)).toMatchObject({
    exists: false,
    type: "",
    frontends: [{ frontend: "10.96.0.1:80" }],
  });
});

test("a frontend has the chains of its port, or the reason why it is not served", () => {
  const committed = core();
  committed.set("frontends", WEB, "10.96.0.1 TCP 80", { verb: "reject" });
  committed.set("nodeports", WEB, "TCP 30080", { verb: "reject" });
  committed.set("frontends", WEB, "fd00::1 TCP 80", { verb: "reject" });
  const view = describeService(committed, "default", "web", [], {
    chains: {
      locate: (table) => (table === tableId("frontends", 4) ? ["KUBE-SVC-ONE"] : []),
    },
    capabilities: { unserved: [{ family: 6, code: "TOOL_FAILED", reason: "no ip6tables" }] },
  });
  const reported = view?.frontends.map(({ frontend, chains, unserved }) => ({
    frontend,
    ...(chains && { chains }),
    ...(unserved && { unserved }),
  }));
  expect(reported).toEqual([
    { frontend: "10.96.0.1:80", chains: ["KUBE-SVC-ONE"] },
    { frontend: "[fd00::1]:80", unserved: "no ip6tables" },
    { frontend: "30080" },
  ]);
});
