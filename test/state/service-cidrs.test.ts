import { describe, expect, test } from "bun:test";
import { printCidr } from "../../src/net/address.ts";
import { ServiceCidrs } from "../../src/state/service-cidrs.ts";

const object = (name: string, ...cidrs: unknown[]) => ({ metadata: { name }, spec: { cidrs } });
const print = (cidrs: ServiceCidrs) => cidrs.cidrs.map(printCidr).join(" ");

describe("ServiceCIDRs", () => {
  test("are merged over all objects, sorted, IPv4 first", () => {
    const cidrs = new ServiceCidrs();
    expect(cidrs.update(object("a", "fd00::/112", "172.30.0.0/16"))).toEqual([]);
    expect(cidrs.update(object("b", "10.96.0.0/12"))).toEqual([]);
    expect(print(cidrs)).toBe("10.96.0.0/12 172.30.0.0/16 fd00::/112");
  });

  test("a range inside another is not listed, because intervals must not overlap", () => {
    const cidrs = new ServiceCidrs();
    cidrs.update(object("a", "10.96.1.0/24", "10.96.0.0/16"));
    cidrs.update(object("b", "10.0.0.0/8", "fd00::/112"));
    expect(print(cidrs)).toBe("10.0.0.0/8 fd00::/112");
    cidrs.remove("b");
    expect(print(cidrs)).toBe("10.96.0.0/16");
  });

  test("a range of two objects stays until both are gone", () => {
    const cidrs = new ServiceCidrs();
    cidrs.update(object("a", "10.96.0.0/12"));
    cidrs.update(object("b", "10.96.0.0/12"));
    cidrs.remove("a");
    expect(print(cidrs)).toBe("10.96.0.0/12");
    cidrs.remove("b");
    expect(print(cidrs)).toBe("");
  });

  test("an update replaces the object's ranges, a complete list replaces all objects", () => {
    const cidrs = new ServiceCidrs();
    cidrs.update(object("a", "10.96.0.0/12"));
    cidrs.update(object("a", "172.30.0.0/16"));
    expect(print(cidrs)).toBe("172.30.0.0/16");
    expect(cidrs.replace([object("c", "203.0.113.0/24")])).toEqual([]);
    expect(print(cidrs)).toBe("203.0.113.0/24");
    cidrs.replace([]);
    expect(print(cidrs)).toBe("");
  });

  test("the list is the same array until something changes", () => {
    const cidrs = new ServiceCidrs();
    cidrs.update(object("a", "10.96.0.0/12"));
    const before = cidrs.cidrs;
    cidrs.remove("unknown");
    expect(cidrs.cidrs).toBe(before);
  });

  test("an invalid range is reported, the others count", () => {
    const cidrs = new ServiceCidrs();
    const problems = cidrs.update(object("a", "10.96.0.0/33", "10.96.0.9/12", null));
    expect(problems).toEqual([
      {
        subject: "ServiceCIDR a",
        code: "OBJECT_INVALID",
        field: "spec.cidrs[0]",
        message: 'spec.cidrs[0]: invalid value "10.96.0.0/33": must be a CIDR such as 10.96.0.0/12',
      },
      {
        subject: "ServiceCIDR a",
        code: "OBJECT_INVALID",
        field: "spec.cidrs[2]",
        message: "spec.cidrs[2]: invalid value null: must be a CIDR such as 10.96.0.0/12",
      },
    ]);
    expect(print(cidrs)).toBe("10.96.0.0/12");
  });
});
