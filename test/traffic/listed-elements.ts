/** Parses the elements of `nft list table inet sluice`, by map or set. */
import type { World } from "../../harness/netns/world.ts";

export interface Element {
  /** Fields of the key: `["10.96.0.1", "tcp", "80"]`. */
  readonly key: readonly string[];
  /** Fields of the value; none in a set. */
  readonly value: readonly string[];
  readonly comment: string;
}

/** Elements by the name of their map or set. */
export async function kernelElements(world: World): Promise<Map<string, Element[]>> {
  const text = await world.run("node1", ["nft", "list", "table", "inet", "sluice"]);
  const found = new Map<string, Element[]>();
  for (const [, name = "", body = ""] of text.matchAll(/^\t(?:map|set) (\S+) \{\n(.*?)^\t\}/gms)) {
    const elements = /elements = \{ (.*) \}/s.exec(body)?.[1];
    found.set(name, elements === undefined ? [] : elements.split(/,\s+/).map(parseElement));
  }
  return found;
}

function parseElement(text: string): Element {
  const comment = / comment "([^"]*)"/.exec(text)?.[1] ?? "";
  const plain = text
    .trim()
    .replace(/ comment "[^"]*"/, "")
    .replace(/ counter packets \d+ bytes \d+/, "")
    .replace(/ timeout \S+/, "")
    .replace(/ expires \S+/, "");
  const [key = "", value = ""] = plain.split(" : ");
  return { key: key.split(" . "), value: value === "" ? [] : value.split(" . "), comment };
}
