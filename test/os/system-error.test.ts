import { expect, test } from "bun:test";
import { SluiceError } from "../../src/base/errors.ts";
import { EACCES, EEXIST, EINVAL, ENOBUFS, ENOENT, EPERM } from "../../src/os/posix.ts";
import { errnoOf, errnoText, isTransient, systemError } from "../../src/os/system-error.ts";

test("an error names the operation and the cause", () => {
  const error = systemError("create table inet sluice", EEXIST, "NETLINK_REFUSED");
  expect(error.message).toBe("create table inet sluice: file exists (EEXIST)");
  expect(error).toBeInstanceOf(SluiceError);
  expect([error.name, error.code]).toEqual(["SystemError", "NETLINK_REFUSED"]);
  expect(errnoOf(error)).toBe(EEXIST);
  expect(errnoOf(new Error("another"))).toBeUndefined();
  expect(errnoOf(new SluiceError("NETLINK_REFUSED", "another"))).toBeUndefined();
});

test("missing rights have a code of their own", () => {
  for (const errno of [EPERM, EACCES]) {
    const error = systemError("create table inet sluice", errno, "NETLINK_REFUSED");
    expect(error.code).toBe("PERMISSION_DENIED");
    expect(error.message).toEndWith(" (Sluice needs CAP_NET_ADMIN in this network namespace)");
    expect(errnoOf(error)).toBe(errno);
  }
});

test("an errno without a text is printed as a number", () => {
  expect(errnoText(9999)).toBe("errno 9999");
});

test("an error is transient when nothing was wrong with the request", () => {
  expect([ENOBUFS, ENOENT, EINVAL].map(isTransient)).toEqual([true, false, false]);
});
