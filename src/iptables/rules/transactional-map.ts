/** Implements a Map with commit and rollback. Pure. */
export class TransactionalMap<Key, Value> {
  readonly #values = new Map<Key, Value>();
  /** The committed value of each changed key; undefined if it had none. */
  readonly #before = new Map<Key, Value | undefined>();
  #changed = new Set<Key>();

  get(key: Key): Value | undefined {
    return this.#values.get(key);
  }

  has(key: Key): boolean {
    return this.#values.has(key);
  }

  values(): IterableIterator<Value> {
    return this.#values.values();
  }

  entries(): IterableIterator<[Key, Value]> {
    return this.#values.entries();
  }

  /** Reports whether the key changed since the last `commit` or `rollback`. */
  isStaged(key: Key): boolean {
    return this.#before.has(key);
  }

  set(key: Key, value: Value): void {
    this.#note(key);
    this.#values.set(key, value);
  }

  delete(key: Key): void {
    this.#note(key);
    this.#values.delete(key);
  }

  /** The keys that `takeChanged` would return. */
  changed(): ReadonlySet<Key> {
    return this.#changed;
  }

  /** Returns the keys that may have changed since the last call. */
  takeChanged(): ReadonlySet<Key> {
    const changed = this.#changed;
    if (changed.size > 0) this.#changed = new Set();
    return changed;
  }

  commit(): void {
    this.#before.clear();
  }

  rollback(): void {
    for (const [key, value] of this.#before) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
      this.#changed.add(key);
    }
    this.#before.clear();
  }

  #note(key: Key): void {
    if (!this.#before.has(key)) this.#before.set(key, this.#values.get(key));
    this.#changed.add(key);
  }
}
