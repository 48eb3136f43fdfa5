/**
 * Reads and writes legacy tables (ip_tables) with the tools of iptables-legacy, to find and remove
 * the rules of other proxies. Never asks for a table that is not in use in this network namespace,
 * because that would load kernel modules.
 */
import { SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import { findTool, type SearchOptions, toolNames } from "./find-tools.ts";
import { legacyTableNames } from "./legacy-info.ts";
import { toolFailedError } from "./run-tool.ts";
import { Tools } from "./tools.ts";

/** The legacy tables of one family. */
export class LegacyTables {
  readonly family: Family;
  readonly #options: SearchOptions;
  #tools: Tools | undefined;

  constructor(family: Family, options: SearchOptions = {}) {
    this.family = family;
    this.#options = options;
  }

  /**
   * Names of the tables in use in this network namespace.
   * @throws SluiceError PERMISSION_DENIED
   */
  async names(): Promise<string[]> {
    return legacyTableNames(this.family);
  }

  /**
   * Reports whether a complete iptables-legacy is installed.
   * @throws SluiceError TOOL_FAILED
   */
  async isUsable(): Promise<boolean> {
    if (this.#tools !== undefined) return true;
    const found = await findTool(this.family, "legacy", this.#options);
    if (found !== undefined) this.#tools = new Tools(found);
    return found !== undefined;
  }

  /**
   * Names of all chains of a table. Reads the whole table.
   * @throws SluiceError TOOL_FAILED
   */
  async chains(table: string): Promise<ReadonlySet<string>> {
    const saved = await this.save(table);
    return new Set(Array.from(saved.matchAll(/^:(\S+) /gm), ([, name = ""]) => name));
  }

  /**
   * The output of iptables-save for a table.
   * @throws SluiceError TOOL_FAILED
   */
  async save(table: string): Promise<string> {
    return (await this.#usable()).save(table);
  }

  /**
   * Passes `text` for one table to iptables-restore, which applies all of it or nothing.
   * @throws SluiceError TOOL_FAILED
   */
  async restore(table: string, text: string): Promise<void> {
    const tools = await this.#usable();
    const result = await tools.restore(text);
    if (result.ok) return;
    const message = `write table ${table} of ${tools.path}: ${result.message}`;
    throw new SluiceError("TOOL_FAILED", message, tools.path);
  }

  async #usable(): Promise<Tools> {
    if ((await this.isUsable()) && this.#tools !== undefined) return this.#tools;
    const [name = ""] = toolNames(this.family, "legacy");
    throw toolFailedError(name, [], "not installed");
  }
}
