/** The admin API agrees with the kernel, as `nft` or iptables-save print it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { variantOf } from "../../harness/netns/backends.ts";
import { useLongTimeout } from "../../harness/netns/connections.ts";
import { SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import {
  externalIps,
  type ServiceSpec,
  service,
  slices,
} from "../../harness/netns/world-objects.ts";
import { type ActionCode, decodeAction, printAction } from "../../src/model/actions.ts";
import { TABLES } from "../../src/model/tables.ts";
import { testUnless } from "./exceptions.ts";
import { type Element, kernelElements } from "./listed-elements.ts";
import { chainOf, endpointsBehind, natRules } from "./saved-chains.ts";
import { describeBackends } from "./traffic-fixture.ts";

const SERVICES: readonly ServiceSpec[] = [
  { name: "plain", number: 1 },
  { name: "open", number: 2, type: "LoadBalancer", externalIPs: externalIps(2) },
  { name: "near", number: 3, type: "LoadBalancer", externalPolicy: "Local" },
  { name: "sticky", number: 4, type: "NodePort", affinitySeconds: 77 },
  { name: "restricted", number: 5, type: "LoadBalancer", sourceRanges: ["10.0.0.0/8", "fd00::/8"] },
  { name: "inside", number: 6, internalPolicy: "Local" },
  { name: "empty", number: 7, type: "NodePort" },
  { name: "many", number: 8, ports: [{}, { name: "dns", port: 53, protocol: "UDP" }] },
  { name: "stream", number: 9, ports: [{ protocol: "SCTP" }] },
];

useLongTimeout();

interface FrontendView {
  readonly frontend: string;
  readonly protocol: string;
  readonly family: 4 | 6;
  readonly nodePort: boolean;
  readonly actions: Readonly<Record<string, string>>;
  readonly endpoints: readonly string[];
  readonly localEndpoints: readonly string[];
  readonly allowed?: readonly string[];
}

const ACTION_TABLES = TABLES.filter((table) => table.value === "action").map((each) => each.name);

describeBackends((backend) => {
  const variant = variantOf(backend);
  let world: World;
  let program: SluiceProcess;

  beforeAll(async () => {
    world = await World.build();
    program = new SluiceProcess(world, { backend });
    for (const spec of SERVICES) {
      const ports = spec.ports === undefined ? {} : { ports: spec.ports };
      const endpoints = spec.name === "empty" ? [] : (["a1", "a2", "b1"] as const);
      program.put([service(spec), ...slices(spec.name, endpoints, ports)]);
    }
    await program.start();
  });
  afterAll(() => world.close());

  testUnless("elements", backend).each(SERVICES.map((spec) => ({ spec })))(
    "Service $spec.name",
    async ({ spec }) => {
      const { body, status } = await program.get(`/sluice/v1/services/default/${spec.name}`);
      expect(status).toBe(200);
      const views: FrontendView[] = JSON.parse(body).frontends;
      const kernel = await kernelElements(world);
      const owned = ACTION_TABLES.flatMap((table) =>
        ([4, 6] as const).flatMap((family) => {
          const elements = kernel.get(`${table}${family}`) ?? [];
          return elements
            .filter((each) => each.comment === `default/${spec.name}`)
            .map((each) => `${table} ${family} ${each.key.join(" ")}: ${actionOf(each)}`);
        }),
      );
      const reported = views.flatMap((view) =>
        Object.entries(view.actions).map(
          ([table, action]) => `${table} ${view.family} ${keyOf(view).join(" ")}: ${action}`,
        ),
      );
      expect(reported.length).toBeGreaterThan(0);
      expect(reported.sort()).toEqual(owned.sort());

      for (const view of views) {
        const prefix = view.nodePort ? "nodeport-" : "";
        expect(slotsOf(kernel.get(`${prefix}endpoints${view.family}`), view)).toEqual([
          ...view.endpoints,
        ]);
        expect(slotsOf(kernel.get(`${prefix}local-endpoints${view.family}`), view)).toEqual([
          ...view.localEndpoints,
        ]);
        const allowed = (kernel.get(`allowed-sources${view.family}`) ?? []).filter((each) =>
          startsWith(each, view),
        );
        expect(allowed.map((each) => each.key.at(-1) ?? "").sort()).toEqual(
          [...(view.allowed ?? [])].sort(),
        );
      }
    },
  );

  testUnless("elements", backend)("the state has the kernel's number of elements", async () => {
    const { body } = await program.get("/sluice/v1/state");
    const { elements }: { elements: Record<string, number> } = JSON.parse(body).counts;
    const kernel = await kernelElements(world);
    const counted = Object.fromEntries(
      TABLES.map(({ name }) => [
        name,
        (kernel.get(`${name}4`)?.length ?? 0) + (kernel.get(`${name}6`)?.length ?? 0),
      ]).filter(([, count]) => count !== 0),
    );
    expect(Object.fromEntries(Object.entries(elements).filter(([, count]) => count !== 0))).toEqual(
      counted,
    );
  });

  test.skipIf(variant === undefined).each(SERVICES.map((spec) => ({ spec })))(
    "the rules of Service $spec.name lead to the endpoints in the admin API",
    async ({ spec }) => {
      const { body } = await program.get(`/sluice/v1/services/default/${spec.name}`);
      const views: FrontendView[] = JSON.parse(body).frontends;
      expect(views.length).toBeGreaterThan(0);
      for (const view of views) {
        const [address, protocol = "", port] = view.nodePort
          ? [undefined, ...keyOf(view)]
          : keyOf(view);
        const rules = await natRules(world, variant ?? "nft", view.family);
        const chain = chainOf(rules, protocol, Number(port), address);
        const led = chain === undefined ? [] : endpointsBehind(rules, chain);
        expect(led).toEqual([...new Set([...view.endpoints, ...view.localEndpoints])].sort());
      }
    },
  );
});

/** The key of a frontend as nft prints it. */
function keyOf(view: FrontendView): string[] {
  const protocol = view.protocol.toLowerCase();
  if (view.nodePort) return [protocol, view.frontend];
  const [, address = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(view.frontend) ?? [];
  return [address, protocol, port];
}

function startsWith(element: Element, view: FrontendView): boolean {
  return keyOf(view).every((field, index) => element.key[index] === field);
}

/** The endpoints of a frontend in the order of their slots. */
function slotsOf(elements: readonly Element[] | undefined, view: FrontendView): string[] {
  const own = (elements ?? []).filter((each) => startsWith(each, view));
  const slot = (each: Element) => Number(each.key.at(-1));
  return own
    .sort((one, other) => slot(one) - slot(other))
    .map(({ value: [address = "", port = ""] }) =>
      address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
    );
}

/** nft prints the 32 bits of an action as a class id, in two hexadecimal halves. */
function actionOf(element: Element): string {
  const [major = "", minor = ""] = (element.value[0] ?? "").split(":");
  const code = Number.parseInt(major, 16) * 0x10000 + Number.parseInt(minor, 16);
  return printAction(decodeAction(code as ActionCode));
}
