// Replays recordings of modules with V8: node v8_oracle.mjs DIR [NAME ...]
//
// The imports are made from the words of docs/guest-abi.md over a sorted map, not from the Rust code: a
// host cannot bless itself. README.md beside this file says what a recording is, and what is compared.
// Needs no packages. Nothing in the build runs this.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const REFERENCE_LEN = 72;
const SCAN_ENDED = 1n << 62n;
const MAX_ELEMENTS = 65_536;
const MAX_LOG_LINES = 64;
const SHOWN_BYTES = 400;
// Bytes of rows that one call of `lattice1_elements` gets here, or one row. Any number must do.
const PAGE_BYTES = 4_000;

// The calls in which imports are available. `take`, `hash`, `fail` and `log` always are.
const READ = ["prepare", "query", "apply", "migrate", "settle"];
const WRITE = ["apply", "migrate", "settle"];
const HISTORY = ["prepare", "query", "apply", "migrate", "elements"];
const CALLS = {
  get: READ, scan: READ, put: WRITE, remove: WRITE,
  count: HISTORY, number: HISTORY, stamp: HISTORY, op: HISTORY,
  element: ["elements"],
};

/** A call ends without an answer. */
class Trap extends Error {}
/** What was recorded and what was found here differ. */
class Difference extends Error {}

const hex = (text) => Buffer.from(text, "hex");
// Byte strings as map keys: one character a byte, so that they order as bytes do.
const toKey = (bytes) => bytes.toString("latin1");
const fromKey = (key) => Buffer.from(key, "latin1");

function u32(...numbers) {
  const bytes = Buffer.alloc(4 * numbers.length);
  numbers.forEach((number, nth) => bytes.writeUInt32LE(number, 4 * nth));
  return bytes;
}

function u64(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(number));
  return bytes;
}

function pageRow(key, value) {
  return Buffer.concat([u32(key.length, value.length), key, value]);
}

// BLAKE3 without a key, from its specification. A counter has 32 bits here: no memory has 4 TiB.

const IV = Uint32Array.of(
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
);
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];
const [BLOCK_BYTES, CHUNK_BYTES, ROUNDS] = [64, 1024, 7];
// The word of a message that is at each place in the next round.
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
// The words of the state that `mix` changes: columns, then diagonals.
const QUARTERS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];

const rotate = (word, bits) => (word >>> bits) | (word << (32 - bits));

/** The function G: it mixes two words of a message into the words `a` to `d` of the state. */
function mix(state, [a, b, c, d], x, y) {
  // A `Uint32Array` reduces the sums.
  state[a] += state[b] + x;
  state[d] = rotate(state[d] ^ state[a], 16);
  state[c] += state[d];
  state[b] = rotate(state[b] ^ state[c], 12);
  state[a] += state[b] + y;
  state[d] = rotate(state[d] ^ state[a], 8);
  state[c] += state[d];
  state[b] = rotate(state[b] ^ state[c], 7);
}

/** The chaining value after a block of 16 words. */
function compress(chaining, block, counter, length, flags) {
  const state = Uint32Array.of(...chaining, ...IV.subarray(0, 4), counter, 0, length, flags);
  let message = block;
  for (let round = 0; round < ROUNDS; round += 1) {
    QUARTERS.forEach((words, nth) => mix(state, words, message[2 * nth], message[2 * nth + 1]));
    message = PERMUTATION.map((from) => message[from]);
  }
  return state.slice(0, 8).map((word, nth) => word ^ state[nth + 8]);
}

function chunk(bytes, counter, flags) {
  let [chaining, start, at] = [IV, CHUNK_START, 0];
  do {
    const part = bytes.subarray(at, at + BLOCK_BYTES);
    const padded = Buffer.concat([part], BLOCK_BYTES);
    const block = Uint32Array.from({ length: 16 }, (_, nth) => padded.readUInt32LE(4 * nth));
    at += BLOCK_BYTES;
    const end = at < bytes.length ? 0 : CHUNK_END | flags;
    chaining = compress(chaining, block, counter, part.length, start | end);
    start = 0;
  } while (at < bytes.length);
  return chaining;
}

/** The chaining value of a subtree; `counter` is the number of its first chunk. */
function subtree(bytes, counter, flags) {
  if (bytes.length <= CHUNK_BYTES) return chunk(bytes, counter, flags);
  // The left side has as many chunks as a power of two allows while the right side has a byte.
  let left = 1;
  while (2 * left * CHUNK_BYTES < bytes.length) left *= 2;
  const middle = left * CHUNK_BYTES;
  const [first, second] = [bytes.subarray(0, middle), bytes.subarray(middle)];
  const block = [...subtree(first, counter, 0), ...subtree(second, counter + left, 0)];
  return compress(IV, block, 0, BLOCK_BYTES, PARENT | flags);
}

function blake3(bytes) {
  return u32(...subtree(bytes, 0, ROOT));
}

/** The rows of a store, and the writes of a call over them. */
class Rows {
  committed = new Map();
  written = new Map();

  get(key) {
    return this.written.has(key) ? this.written.get(key) : this.committed.get(key);
  }

  /** `undefined` removes a row. */
  set(key, value) {
    this.written.set(key, value);
  }

  /** The keys of a range, ascending. */
  keys(isInside) {
    const found = new Set();
    for (const key of this.committed.keys()) if (isInside(key)) found.add(key);
    for (const [key, value] of this.written) {
      if (value === undefined) found.delete(key);
      else if (isInside(key)) found.add(key);
    }
    // Without a function to compare: by code units, which are the bytes.
    return [...found].sort();
  }

  commit() {
    for (const [key, value] of this.written) {
      if (value === undefined) this.committed.delete(key);
      else this.committed.set(key, value);
    }
    this.written.clear();
  }

  rollBack() {
    this.written.clear();
  }
}

const callsOfImports = { get: 0, take: 0, put: 0, remove: 0, scan: 0, count: 0 };
Object.assign(callsOfImports, { number: 0, stamp: 0, op: 0, hash: 0, element: 0, fail: 0, log: 0 });

/** One instance of a module, and the imports that it sees. */
class Instance {
  kept = null;
  logLines = 0;
  elements = [];
  pageRows = 0;
  row = 0;
  elementsOfRow = 0;

  constructor(store, phase) {
    this.store = store;
    this.phase = phase;
    const lattice1 = {};
    for (const name of Object.keys(callsOfImports)) {
      lattice1[name] = (...args) => {
        if (CALLS[name] && !CALLS[name].includes(this.phase)) {
          throw new Trap(`\`${name}\` is not available in \`${this.phase}\``);
        }
        callsOfImports[name] += 1;
        // Numbers of 32 bits come with a sign.
        const unsigned = (arg) => (typeof arg === "bigint" ? BigInt.asUintN(64, arg) : arg >>> 0);
        return this[name](...args.map(unsigned));
      };
    }
    this.exports = new WebAssembly.Instance(store.compiled, { lattice1 }).exports;
  }

  // Memory. It moves when it grows.

  memory(at, length) {
    const { buffer } = this.exports.memory;
    if (at + length > buffer.byteLength) throw new Trap(`${length} bytes at ${at} are beyond the memory`);
    return Buffer.from(buffer, at, length);
  }

  read(at, length) {
    return Buffer.from(this.memory(at, length));
  }

  write(at, bytes) {
    bytes.copy(this.memory(at, bytes.length));
  }

  deliver(bytes, buffer, capacity) {
    if (bytes.length > capacity) this.kept = bytes;
    else this.write(buffer, bytes);
    return BigInt(bytes.length);
  }

  // Imports

  get(key, keyLen, buffer, capacity) {
    const value = this.store.rows.get(toKey(this.read(key, keyLen)));
    this.memory(buffer, capacity);
    this.kept = null;
    return value === undefined ? -1n : this.deliver(value, buffer, capacity);
  }

  take(buffer) {
    if (this.kept === null) throw new Trap("nothing to take");
    this.write(buffer, this.kept);
    this.kept = null;
  }

  put(key, keyLen, value, valueLen) {
    this.store.rows.set(toKey(this.read(key, keyLen)), this.read(value, valueLen));
  }

  remove(key, keyLen) {
    this.store.rows.set(toKey(this.read(key, keyLen)), undefined);
  }

  scan(flags, start, startLen, end, endLen, buffer, capacity) {
    const [from, to] = [toKey(this.read(start, startLen)), toKey(this.read(end, endLen))];
    const room = this.memory(buffer, capacity);
    const [fromKind, toKind, isDescending] = [flags & 3, (flags >>> 2) & 3, flags & 16];
    if (flags >= 32 || fromKind === 3 || toKind === 3) throw new Trap(`flags ${flags}`);
    const isAbove = [() => true, (key) => key >= from, (key) => key > from][fromKind];
    const isBelow = [() => true, (key) => key <= to, (key) => key < to][toKind];
    const keys = this.store.rows.keys((key) => isAbove(key) && isBelow(key));
    if (isDescending) keys.reverse();
    let filled = 0;
    for (const key of keys) {
      const row = pageRow(fromKey(key), this.store.rows.get(key));
      if (filled + row.length > capacity) return BigInt(filled === 0 ? -row.length : filled);
      row.copy(room, filled);
      filled += row.length;
    }
    return BigInt(filled) | SCAN_ENDED;
  }

  count() {
    return BigInt(this.store.ops.length);
  }

  number(op, out) {
    const index = this.store.indexes.get(toKey(this.read(op, REFERENCE_LEN)));
    const place = this.memory(out, 8);
    if (index === undefined) return 0;
    u64(index).copy(place);
    return 1;
  }

  stamp(index, out) {
    this.write(out, this.store.op(index).stamp);
  }

  op(index, buffer, capacity) {
    const { stamp, payload } = this.store.op(index);
    this.memory(buffer, capacity);
    this.kept = null;
    return this.deliver(Buffer.concat([stamp, payload]), buffer, capacity);
  }

  hash(bytes, length, out) {
    this.write(out, blake3(this.read(bytes, length)));
  }

  element(row, key, keyLen, value, valueLen) {
    const element = [this.read(key, keyLen), this.read(value, valueLen)];
    if (row < this.row || row >= this.pageRows) throw new Trap(`an element of row ${row}`);
    if (row > this.row) this.elementsOfRow = 0;
    this.row = row;
    this.elementsOfRow += 1;
    if (this.elementsOfRow > MAX_ELEMENTS) throw new Trap(`row ${row} has too many elements`);
    this.elements.push(element);
  }

  fail(message, length) {
    throw new Trap(this.read(message, length).toString());
  }

  log(_level, message, length) {
    this.read(message, length);
    this.logLines += 1;
    if (this.logLines > MAX_LOG_LINES) throw new Trap("too many lines in the log");
  }

  // Calls of exports

  call(name, ...args) {
    try {
      return this.exports[`lattice1_${name}`](...args);
    } catch (error) {
      const isTrap = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
      if (isTrap) throw new Trap(error.message);
      throw error;
    }
  }

  input(...parts) {
    const bytes = Buffer.concat(parts);
    const at = this.call("alloc", bytes.length) >>> 0;
    this.write(at, bytes);
    return [at, bytes.length];
  }

  /** Nothing for 0. */
  output(result) {
    if (result === 0n) return null;
    const place = BigInt.asUintN(64, result);
    return this.read(Number(place >> 32n), Number(place & 0xffff_ffffn));
  }
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(length) {
    if (length > this.bytes.length - this.at) throw new Error("the manifest ends too early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  u8() {
    return this.take(1)[0];
  }

  u64() {
    return this.take(8).readBigUInt64LE();
  }

  string() {
    return this.take(Number(this.u64())).toString();
  }

  sequence(member) {
    return Array.from({ length: Number(this.u64()) }, () => member());
  }
}

function readManifest(compiled) {
  const sections = WebAssembly.Module.customSections(compiled, "lattice.store");
  if (sections.length !== 1) throw new Error(`${sections.length} sections \`lattice.store\``);
  const reader = new Reader(Buffer.from(sections[0]));
  if (reader.take(2).readUInt16LE() !== 1) throw new Error("a manifest of another version");
  const param = () => [reader.string(), reader.string(), reader.u8(), reader.u8()];
  const method = () => [
    reader.u8(), reader.string(), reader.string(), reader.u8(), reader.sequence(param),
  ];
  const manifest = {
    storeType: reader.string(),
    firstSchema: reader.u64(),
    lastSchema: reader.u64(),
    elements: reader.u8(),
    methods: reader.sequence(method),
    converts: reader.sequence(() => reader.string()),
  };
  if (reader.at !== reader.bytes.length) throw new Error("bytes follow the manifest");
  return manifest;
}

/** A store whose code is a module: its rows and its history. */
class Store {
  rows = new Rows();
  ops = [];
  indexes = new Map();
  /** The op that is being applied. */
  current = null;

  constructor(path) {
    this.compiled = new WebAssembly.Module(readFileSync(path));
    this.manifest = readManifest(this.compiled);
    this.exports = WebAssembly.Module.exports(this.compiled).map(({ name }) => name);
  }

  has(name) {
    return this.exports.includes(`lattice1_${name}`);
  }

  op(index) {
    if (index < BigInt(this.ops.length)) return this.ops[Number(index)];
    if (index === BigInt(this.ops.length) && this.current) return this.current;
    throw new Trap(`no op has the apply index ${index}`);
  }

  pure(name, input) {
    const instance = new Instance(this, name);
    return instance.output(instance.call(name, ...instance.input(input)));
  }

  method(name, number, input) {
    const instance = new Instance(this, name);
    const output = instance.output(instance.call(name, number, ...instance.input(input)));
    const rest = output?.subarray(1);
    switch (output?.[0]) {
      case 0:
        return { answer: rest };
      case 1:
        return { param: Buffer.alloc(0), reason: rest };
      case 2: {
        const zero = rest.indexOf(0);
        if (zero < 0) return { param: Buffer.alloc(0), reason: rest };
        return { param: rest.subarray(0, zero), reason: rest.subarray(zero + 1) };
      }
      default:
        throw new Trap("an answer without a tag");
    }
  }

  /** Applies an op, or changes nothing and traps. */
  apply(op, kind, isValid) {
    const settles = this.has("settle");
    if (!isValid && !settles) return;
    try {
      const instance = new Instance(this, isValid ? "decode" : "settle");
      this.current = op;
      const place = instance.input(u64(this.ops.length), op.stamp, op.payload);
      if (isValid) {
        const [at, length] = place;
        const { length: own } = op.payload;
        const reason = instance.call("decode", at + length - own, own);
        if (reason !== 0n) throw new Trap("a valid payload is invalid where it is applied");
        instance.phase = "apply";
        instance.call("apply", ...place);
      }
      instance.phase = "settle";
      if (settles) instance.call("settle", kind, ...place);
      this.rows.commit();
    } finally {
      this.rows.rollBack();
      this.current = null;
    }
  }

  push(op) {
    this.indexes.set(toKey(op.stamp.subarray(8)), this.ops.length);
    this.ops.push(op);
  }

  listRows() {
    return this.rows.keys(() => true).map((key) => [fromKey(key), this.rows.get(key)]);
  }

  listElements() {
    const rows = this.listRows();
    if (this.manifest.elements === 0) return rows;
    const elements = [];
    while (rows.length > 0) {
      const page = [];
      for (let bytes = 0; rows.length > 0 && bytes < PAGE_BYTES; ) {
        page.push(pageRow(...rows.shift()));
        bytes += page.at(-1).length;
      }
      const instance = new Instance(this, "elements");
      instance.pageRows = page.length;
      instance.call("elements", this.manifest.lastSchema, ...instance.input(...page));
      elements.push(...instance.elements);
    }
    return elements;
  }
}

// Comparing

function differ(what, recorded, found) {
  const shown = (value) => {
    const text = Buffer.isBuffer(value) ? value.toString("hex") : String(value);
    return text.length > 400 ? `${text.slice(0, 400)}...` : text;
  };
  if (Buffer.isBuffer(recorded) && Buffer.isBuffer(found)) {
    let first = 0;
    while (first < recorded.length && recorded[first] === found[first]) first += 1;
    what = `${what}, byte ${first}`;
  }
  throw new Difference(`${what}: recorded ${shown(recorded)}, found ${shown(found)}`);
}

function compare(what, recorded, found) {
  const areBytes = Buffer.isBuffer(recorded) && Buffer.isBuffer(found);
  if (areBytes ? !recorded.equals(found) : recorded !== found) differ(what, recorded, found);
}

/** Whether the host shows these bytes as this text. Which characters it escapes is its own matter. */
function isShownAs(shown, bytes) {
  const text = bytes.toString("latin1");
  let at = 0;
  const skip = (part) => shown.startsWith(part, at) && ((at += part.length), true);
  for (let place = 0; place < text.length; ) {
    // A character of UTF-8, or a byte that is no part of one.
    const lead = bytes[place];
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const character = bytes.subarray(place, place + length).toString();
    const isBroken = toKey(Buffer.from(character)) !== text.slice(place, place + length);
    if (isBroken) {
      if (!skip(`\\x${lead.toString(16).padStart(2, "0")}`)) return false;
      place += 1;
      continue;
    }
    const isPlain = character >= " " && character <= "~" && character !== "\\";
    const escapes = [`\\u{${character.codePointAt(0).toString(16)}}`];
    const short = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
    if (short) escapes.push(short);
    const isEscaped = !isPlain && escapes.some(skip);
    if (!isEscaped && (character === "\\" || !skip(character))) return false;
    place += length;
  }
  return at === shown.length;
}

function compareText(what, recorded, found) {
  if (recorded === null || found === null) return compare(what, recorded, found);
  const shown = recorded.toString();
  if (found.length <= SHOWN_BYTES) {
    if (!isShownAs(shown, found)) differ(what, recorded, found);
    return;
  }
  // No character is cut in two.
  for (let end = SHOWN_BYTES - 3; end <= SHOWN_BYTES; end += 1) {
    const start = found.subarray(0, end);
    if (shown.endsWith("...") && isShownAs(shown.slice(0, -3), start)) return;
  }
  differ(what, recorded, found);
}

/** The trap, if a call ends with one. */
function trapOf(call) {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof Trap) return error;
    throw error;
  }
}

function compareOutcome(what, line, call) {
  let found = {};
  const trap = trapOf(() => {
    found = call();
  });
  const given = ["answer", "param", "reason"].filter((name) => name in line);
  if (trap || line.fault) {
    if (!trap || !line.fault) differ(what, line.fault ? "a trap" : "an answer", trap ?? "an answer");
    return;
  }
  compare(what, given.join(), Object.keys(found).join());
  for (const name of given) {
    const check = name === "reason" ? compareText : compare;
    check(`${what}, ${name}`, hex(line[name]), found[name]);
  }
}

class Replay {
  rows = [];
  elements = [];

  constructor(directory, name) {
    this.lines = readFileSync(join(directory, `${name}.jsonl`), "utf8").trimEnd().split("\n");
    this.store = new Store(join(directory, JSON.parse(this.lines[0]).file));
  }

  run() {
    let last = null;
    this.lines.slice(1).forEach((text, nth) => {
      last = JSON.parse(text);
      this[last.line](`line ${nth + 2}, ${last.line}`, last);
    });
    compare("the last line", "end", last?.line);
  }

  /** Decodes and describes a payload; gives whether it is valid. */
  decode(what, line) {
    const payload = hex(line.payload);
    let reason = null;
    const trap = trapOf(() => {
      reason = this.store.pure("decode", payload);
    });
    compare(`${what}, whether \`decode\` traps`, line.decode_fault === 1, trap !== null);
    if (!trap) {
      const recorded = line.invalid === null ? null : hex(line.invalid);
      compareText(`${what}, why it is invalid`, recorded, reason);
    }
    if (this.store.has("describe")) {
      const found = this.store.pure("describe", payload) ?? Buffer.alloc(0);
      compareText(`${what}, description`, hex(line.described), found);
    }
    return !trap && reason === null;
  }

  op(what, line) {
    compare(`${what}, apply index`, line.index, this.store.ops.length);
    const op = { stamp: hex(line.stamp), payload: hex(line.payload) };
    const isValid = line.kind === 0 && this.decode(what, line);
    const trap = trapOf(() => this.store.apply(op, line.kind, isValid));
    if (trap) differ(what, "an op that is applied", trap);
    this.store.push(op);
  }

  fault(what, line) {
    const op = { stamp: hex(line.stamp), payload: hex(line.payload) };
    const isValid = line.kind === 0 && this.decode(what, line);
    if (line.decode_fault) return;
    const trap = trapOf(() => this.store.apply(op, line.kind, isValid));
    if (!trap) differ(what, "a trap", "an op that is applied");
  }

  prepare(what, line) {
    compareOutcome(what, line, () => this.store.method("prepare", line.method, hex(line.input)));
  }

  query(what, line) {
    compareOutcome(what, line, () => this.store.method("query", line.method, hex(line.input)));
  }

  convert(what, line) {
    compareOutcome(what, line, () => ({ answer: this.store.pure("convert", hex(line.input)) }));
  }

  row(_, line) {
    this.rows.push([hex(line.key), hex(line.value)]);
  }

  element(_, line) {
    this.elements.push([hex(line.key), hex(line.value)]);
  }

  end(_, line) {
    const elements = this.store.listElements();
    const keys = new Set(elements.map(([key]) => toKey(key)));
    compare("keys of elements that differ", keys.size, elements.length);
    const pairs = { row: [this.rows, this.store.listRows()], element: [this.elements, elements] };
    for (const [name, [recorded, found]] of Object.entries(pairs)) {
      for (let nth = 0; nth < Math.min(recorded.length, found.length); nth += 1) {
        compare(`${name} ${nth}, key`, recorded[nth][0], found[nth][0]);
        compare(`${name} ${nth}, value`, recorded[nth][1], found[nth][1]);
      }
      compare(`number of ${name}s`, recorded.length, found.length);
      compare(`number of ${name}s in the last line`, line[`${name}s`], found.length);
    }
    compare("number of ops in the last line", line.ops, this.store.ops.length);
  }
}

function main([directory, ...names]) {
  if (directory === undefined) throw new Difference("usage: node v8_oracle.mjs DIR [NAME ...]");
  const files = readdirSync(directory).filter((file) => file.endsWith(".jsonl")).sort();
  const all = files.map((file) => file.slice(0, -".jsonl".length));
  const chosen = all.filter((name) => names.length === 0 || names.includes(name));
  if (chosen.length === 0) throw new Difference(`no recordings in ${directory}`);
  const shown = (number) => number.toLocaleString("en-US");
  for (const name of chosen) {
    const replay = new Replay(directory, name);
    try {
      replay.run();
    } catch (error) {
      if (error instanceof Difference) error.message = `${name}: ${error.message}`;
      if (error instanceof Trap) throw new Difference(`${name}: recorded an answer, found a trap: ${error.message}`);
      throw error;
    }
    const [ops, rows] = [replay.store.ops.length, replay.rows.length].map(shown);
    console.log(`${name}: ${ops} ops, ${rows} rows, ${shown(replay.elements.length)} elements match`);
  }
  const called = Object.entries(callsOfImports).map(([name, calls]) => `${name} ${shown(calls)}`);
  console.log(`imports called: ${called.join(", ")}`);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Difference)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
