/** Checks four properties that have a bug unless FIXED is set; prints nothing if all hold. */
import fc from "fast-check";
import { assertProperty } from "../../../harness/property.ts";

const isFixed = process.env["FIXED"] !== undefined;
const holdsFor = (value: number) => isFixed || value % 5000 !== 4321;

const plain = fc.record({ value: fc.nat() });
assertProperty(
  "plain",
  fc.property(plain, ({ value }) => holdsFor(value)),
  1,
);

const bytes = fc.nat().map((value) => ({ bytes: new Uint8Array(4), value }));
assertProperty(
  "bytes",
  fc.property(bytes, ({ value }) => holdsFor(value)),
  1,
);

await assertProperty(
  "later",
  fc.asyncProperty(fc.nat(), async (value) => holdsFor(value)),
  1,
);

assertProperty(
  "variant",
  fc.property(fc.nat(), () => true),
  { numRuns: 1, variant: "debug" },
);
